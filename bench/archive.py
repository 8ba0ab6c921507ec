"""What do two workers do over an archive, of what twice one worker would?

    python -m bench.archive

Drawn rasters are classified window by window by zero-shot `mini`, each worker on one thread. The
clock starts when all have loaded the model and done their first unit: an archive that takes hours
does not feel the start. Efficiency is the speed of two workers over twice that of one. The cores of
one machine share memory and clock, so the bare loop of a worker is timed too, in two processes that
know nothing of each other: an engine can reach no more. The last answer compares a worker with that
loop; between them lie checking rasters, placing outlines, and writing and proving parts.
"""

import tempfile
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import numpy as np
import torch
from PIL import Image

from bench.timing import NO_TARGET, Options, Result, read_options, report
from skycue.backbones.pretrained import load_clip
from skycue.encoding import SceneEncoder
from skycue.geo.cells import CellGrid
from skycue.geo.georeference import GeoReference
from skycue.geo.raster import Raster
from skycue.geo.write_raster import write_raster
from skycue.inference import SceneClassifier
from skycue.scale.classify_work import ClassifyWork, open_classify_work
from skycue.scale.crew import Crew
from skycue.scale.local import LocalEngine
from skycue.scale.parts import Receipt
from skycue.scale.plan import Plan, make_plan
from skycue.scale.ray_engine import RayEngine
from skycue.scale.work import DoUnit, Places, Unit, Work
from skycue.scene_config import config_of
from skycue.scene_windows import classify_windows

if TYPE_CHECKING:
    import pyarrow as pa

TARGET = 0.9
"""Of the efficiency of two workers, where the cores allow it."""
CLASSES = ("forest", "water", "houses", "field", "road", "harbour", "airport", "desert")
WINDOW = 64
PLACE = GeoReference("EPSG:32631", (0.5, 0.0, 593_000.0, 0.0, -0.5, 5_750_000.0))
SPOTS_OF_WINDOW = 4
"""Random colours along a window; what lies between them is interpolated."""


ENGINES: dict[str, type[LocalEngine] | type[RayEngine]] = {"local": LocalEngine, "ray": RayEngine}
MEETING_S = 0.01
"""Seconds between looks for the other workers."""


class Size(NamedTuple):
    """How much is done.

    Attributes:
        side: Pixels along a raster.
        n_units: Units, an even number.
        unit_size: Windows of a unit.
    """

    side: int = 2048
    n_units: int = 10
    unit_size: int = 128


class Case(NamedTuple):
    """What all runs share."""

    work: ClassifyWork
    plan: Plan
    size: Size


def prepare(folder: Path, size: Size, backbone: str = "mini") -> Case:
    """Write a classifier and rasters, and plan them."""
    encoder = SceneEncoder(load_clip(backbone, "cpu"), batch_size=64)
    config = config_of("zero-shot")
    classifier = SceneClassifier.fit_items(
        [], CLASSES, config, encoder=encoder, seed=1, backbone=backbone
    )
    classifier.save(folder / "model")
    rng = np.random.default_rng(1)
    n_windows = (size.side // WINDOW) ** 2
    rasters = []
    for number in range(-(-size.n_units * size.unit_size // n_windows)):
        spots = size.side * SPOTS_OF_WINDOW // WINDOW
        colours = rng.integers(256, size=(spots, spots, 3), dtype=np.uint8)
        whole = Image.fromarray(colours).resize((size.side, size.side), Image.Resampling.BICUBIC)
        rasters.append(folder / f"raster_{number}.tif")
        pixels = np.ascontiguousarray(np.asarray(whole).transpose(2, 0, 1))
        write_raster(rasters[-1], pixels, PLACE)
    work = open_classify_work(
        folder / "model", window=WINDOW, stride=WINDOW, out_crs=PLACE.crs, device="cpu"
    )
    plan = make_plan(rasters, work, unit_size=size.unit_size)
    return Case(work, Plan(plan.record, plan.table.slice(0, size.n_units)), size)


def measure(options: Options, size: Size | None = None, *, backbone: str = "mini") -> list[Result]:
    """Time the bare loop and both engines with one worker and with two."""
    with tempfile.TemporaryDirectory() as name:
        case = prepare(Path(name), size or Size(), backbone)
        speeds: dict[str, list[float]] = {}
        for _ in range(options.rounds):  # in turns
            found = {"loop": [bare(case, n_workers) for n_workers in (1, 2)]}
            for way, engine in ENGINES.items():
                found[way] = [speed(case.plan, case.work, engine, n) for n in (1, 2)]
            for way, both in found.items():
                speeds[way] = [*map(max, both, speeds.get(way, both))]
    loop = _efficiency("the bare loop in two processes", speeds["loop"], options, asked=False)
    overhead = speeds["local"][0] / speeds["loop"][0]
    return [
        loop,
        _efficiency("skycue run --engine local", speeds["local"], options, asked=True),
        _efficiency("skycue run --engine ray", speeds["ray"], options, asked=True),
        Result(
            question="one worker of `skycue run classify` against the bare loop",
            answer=f"{100 * overhead:.0f} %",
            target=f"at least {100 * TARGET:.0f} %",
            met=overhead >= TARGET,
            detail=f"{speeds['local'][0]:.0f} against {speeds['loop'][0]:.0f} windows/s",
        ),
    ]


def bare(case: Case, n_workers: int) -> float:
    """Return the windows a second of independent processes, together."""
    with ProcessPoolExecutor(n_workers, get_context("spawn")) as processes:
        found = [processes.submit(loop_alone, case) for _ in range(n_workers)]
        return sum(future.result() for future in found)


def loop_alone(case: Case) -> float:
    """Classify the windows of the units of a short run, and return windows a second."""
    torch.set_num_threads(1)
    classifier = SceneClassifier.load(case.work.model, device="cpu")
    units = list(case.plan.units())[: case.size.n_units // 2]
    started = 0.0
    n_windows = 0
    for number, unit in enumerate(units):
        if number == 1:  # the first warms up, and waits for the other process
            started, n_windows = time.perf_counter(), 0
        raster = Raster.open(unit.raster)
        grid = CellGrid(raster.size, WINDOW, WINDOW)
        windows = grid[unit.first : unit.first + unit.n_places]
        n_windows += len(classify_windows(classifier, raster, windows, advance=lambda _: None))
    return n_windows / (time.perf_counter() - started)


class Together(NamedTuple):
    """Work whose workers begin at one moment: each waits, when it has loaded, for all others.

    Attributes:
        work: What is done.
        meeting: Folder in which each worker leaves a file.
        n_workers: How many meet.
    """

    work: Work
    meeting: Path
    n_workers: int

    @property
    def identity(self) -> str:
        """Return that of the work."""
        return self.work.identity

    def places(self, raster: Path) -> Places:
        """Return those of the work."""
        return self.work.places(raster)

    def off_all_rasters(self, placed: AbstractSet[str]) -> list[tuple[str, str]]:
        """Return those of the work."""
        return self.work.off_all_rasters(placed)

    def empty(self) -> "pa.Table":
        """Return that of the work."""
        return self.work.empty()

    def load(self, threads: int) -> DoUnit:
        """Load, and wait for the others."""
        do = self.work.load(threads)
        (self.meeting / uuid4().hex).touch()
        while len(list(self.meeting.iterdir())) < self.n_workers:
            time.sleep(MEETING_S)
        return do


def speed(plan: Plan, work: Work, engine: type[LocalEngine] | type[RayEngine], n: int) -> float:
    """Return the places a second that n workers do, from the moment when each has done a unit."""
    with tempfile.TemporaryDirectory() as name:
        folder, meeting = Path(name) / "run", Path(name) / "meeting"
        meeting.mkdir()
        plan.save(folder)
        together = Together(work, meeting, n)
        ends, n_places = [], []
        with closing(engine(together, folder, n_workers=n, threads=1)) as started:
            crew = Crew(started, plan.units(), len(plan), _must_not_fail)
            for receipt in crew.run():
                ends.append(time.perf_counter())
                n_places.append(receipt.n_places)
    return sum(n_places[n:]) / (ends[-1] - ends[n - 1])


def _must_not_fail(unit: Unit, reason: str) -> Receipt:
    raise AssertionError(f"{unit.id}: {reason}")


def _efficiency(what: str, speeds: Sequence[float], options: Options, *, asked: bool) -> Result:
    """Say how two workers compare with twice one."""
    efficiency = speeds[1] / (2 * speeds[0])
    return Result(
        question=f"two workers of one thread against twice one, {what}",
        answer=f"{100 * efficiency:.0f} %",
        target=f"at least {100 * TARGET:.0f} %" if asked else NO_TARGET,
        met=not asked or efficiency >= TARGET,
        detail=f"{speeds[0]:.0f} and {speeds[1]:.0f} windows/s, best of {options.rounds}",
    )


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
