"""A run over an archive from inputs to files: what `skycue run` does, for Python."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from skycue.config import Config
from skycue.errors import FailedPlacesError
from skycue.scale.compact import compact
from skycue.scale.crew import Engine
from skycue.scale.inputs import find_rasters
from skycue.scale.local import LocalEngine
from skycue.scale.manifest import MANIFEST_FILE, Manifest
from skycue.scale.ray_engine import RayEngine
from skycue.scale.run import open_plan, run_plan
from skycue.scale.work import Work

logger = logging.getLogger(__name__)

EngineName = Literal["local", "ray"]
Again = Literal["failed", "inputs"]
"""What of a run that was begun is looked at anew: units with failures, or the inputs."""


class ArchiveConfig(Config):
    """Settings of `skycue run` beside its options."""

    unit_size: int = Field(default=1024, ge=1)
    """Windows or boxes of a unit: what is lost when a worker dies, and the rows of a part."""
    threads: int = Field(default=1, ge=1)
    """Processor cores of a worker. Results of other numbers may differ in their last digits."""
    gpus: float = Field(default=0.0, ge=0)
    """GPUs of a worker on Ray; 0.5 lets two share one."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; on Ray, cuda is a GPU that was given to the worker."""
    dtype: str = "auto"
    """auto, float32, bfloat16 or float16; auto is float32 where boxes are described. Name one where
    machines differ."""
    bands: tuple[int | str, ...] | None = None
    """One band or three to show, by number from 1 or name; those that each raster says if none."""
    batch_size: int | None = Field(default=None, ge=1)
    """Images encoded at once; the model's own number if none."""
    box_crs: str | None = None
    """CRS of the file of boxes, in place of what it says."""
    ask: str | None = None
    """A question in place of the region model's own."""
    asset: str | None = None
    """Key of the asset that is taken of each STAC Item; those of role "data" if none."""
    keep_going: bool = False
    """End well although windows, boxes or rasters failed."""


class ArchiveResult(NamedTuple):
    """What a run ended with.

    Attributes:
        manifest: What was done and what failed.
        files: The merged files; none where they were not asked for.
    """

    manifest: Manifest
    files: list[Path]


def run_archive(
    work: Work,
    inputs: Sequence[str],
    folder: Path,
    *,
    settings: dict[str, str],
    engine: EngineName = "local",
    address: str | None = None,
    n_workers: int | None = None,
    config: ArchiveConfig | None = None,
    again: Again | None = None,
    merge: bool = False,
) -> ArchiveResult:
    """Do an archive, or go on where it was left.

    Args:
        work: What is to be done.
        inputs: Folders, patterns, STAC files, lists and rasters (`inputs`).
        folder: Where the plan, the parts and the manifest lie.
        settings: What the work is called by, for people.
        engine: What starts workers.
        address: Of a Ray cluster.
        n_workers: How many work at a time; as many as there is room for if not given.
        config: The other settings.
        again: What is looked at anew.
        merge: Merge the parts at the end.

    Raises:
        FailedPlacesError: If all is written, and something failed, and `keep_going` is not set.
        SkycueError: Of the kind that fits, if the run cannot begin or go on.
    """
    config = config or ArchiveConfig()
    empty = work.empty()  # refuses an unknown CRS before anything is read
    plan = open_plan(
        folder,
        work,
        [os.path.abspath(given) for given in inputs],  # a pattern has no file to resolve
        lambda given: find_rasters(given, asset=config.asset),
        unit_size=config.unit_size,
        settings=settings,
        replan=again == "inputs",
    )

    def start() -> Engine:
        if engine == "ray":
            return RayEngine(
                work,
                folder.resolve(),
                address=address,
                n_workers=n_workers,
                threads=config.threads,
                gpus=config.gpus,
            )
        room = max(1, (os.cpu_count() or 1) // config.threads)
        return LocalEngine(
            work, folder.resolve(), n_workers=n_workers or room, threads=config.threads
        )

    manifest = run_plan(folder, plan, work, start, retry_failed=again == "failed")
    files = compact(folder, plan, empty) if merge else []
    if not manifest.is_flawless and not config.keep_going:
        raise FailedPlacesError(
            f"{manifest.n_failed:,} of {manifest.n_places:,} places failed, and "
            f"{len(manifest.unusable):,} rasters or boxes could not be planned; all others are "
            f"done. Reasons are in {folder / MANIFEST_FILE}: --again failed tries them once more, "
            "--set keep_going=true is content."
        )
    return ArchiveResult(manifest, files)
