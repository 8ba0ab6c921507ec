"""The job that gives a class to each cell of a raster."""

import tempfile
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from skycue.class_map import NO_CLASS, ClassMap
from skycue.errors import ConflictError
from skycue.geo.cells import CellGrid
from skycue.geo.cog import write_cog
from skycue.geo.label_tiles import MAX_CLASSES
from skycue.geo.label_tiles import NO_CLASS as UNLABELLED
from skycue.service.job_runner import JobContext
from skycue.service.rasters import Rasters
from skycue.service.scene_maps import LABELS, PROBABILITIES, SceneMaps
from skycue.service.scene_models import SceneModels

MAX_CELLS = 4_000_000
"""Cells of a map; larger ones are made by `skycue classify` or `skycue run`."""
CLASSIFY_SHARE = 0.95
"""Of the whole job, when all windows are classified."""


class ClassifyJobRequest(BaseModel):
    """What is to be classified."""

    raster: str
    model: str
    window: int
    stride: int


class ClassifyJob:
    """Classifies rasters."""

    def __init__(self, rasters: Rasters, models: SceneModels, maps: SceneMaps, spool: Path) -> None:
        """Hold what the job needs."""
        self._rasters, self._models, self._maps, self._spool = rasters, models, maps, spool

    def check(self, owner: str, request: ClassifyJobRequest) -> None:
        """Refuse what cannot be classified, before a job waits.

        Raises:
            NotFoundError: If the owner sees no such raster or model.
            ConflictError: If the raster is not ready, or the map would be too large.
            GeoError: If the stride exceeds the window.
        """
        size = self._rasters.facts(owner, request.raster).size
        model = self._models.get(owner, request.model)
        cells = len(CellGrid(size, request.window, request.stride))
        if cells > MAX_CELLS:
            raise ConflictError(
                f"a map of {cells:,} cells is too large; at most {MAX_CELLS:,}: take a larger "
                "stride, or run `skycue classify` on the server."
            )
        if len(model.classes) > MAX_CLASSES:
            raise ConflictError(f"a map shows {MAX_CLASSES} classes at most.")

    def __call__(self, context: JobContext) -> str | None:
        """Classify what a job says, and return the id of the map."""
        request = ClassifyJobRequest.model_validate(context.job.request)
        owner = context.job.owner
        self.check(owner, request)
        context.progress(0.0, "loading the model")
        classifier = self._models.load(owner, request.model, self._spool)
        self._spool.mkdir(parents=True, exist_ok=True)
        with (
            self._rasters.open(owner, request.raster) as raster,
            tempfile.TemporaryDirectory(dir=self._spool) as name,
        ):
            grid = CellGrid(raster.size, request.window, request.stride)
            found = ClassMap(raster, grid, classifier.class_names)
            done = 0

            def advance(windows: int) -> None:
                nonlocal done
                done += windows
                share = CLASSIFY_SHARE * done / len(grid)
                context.progress(share, f"{done:,} of {len(grid):,} windows")

            folder, cells = Path(name), (grid.rows, grid.columns)
            on_map = raster.georeference and grid.georeference(raster.georeference)
            write_cog(
                folder / PROBABILITIES,
                found.fill(classifier, advance),
                on_map,
                nodata=float("nan"),
                descriptions=found.class_names,
                size=cells,
                dtype="float32",
            )
            has_class = found.labels != NO_CLASS
            labels = np.where(has_class, found.labels, UNLABELLED).astype(np.uint8)
            write_cog(
                folder / LABELS, labels[None], on_map, nodata=UNLABELLED, descriptions=["class"]
            )
            context.check()
            return self._maps.add(
                owner,
                folder,
                raster=request.raster,
                model=request.model,
                class_names=found.class_names,
                window=request.window,
                stride=request.stride,
                size=cells,
                n_skipped=int((~has_class).sum()),
            )
