"""Classify an archive: a row for each cell of each raster, as its map would have them."""

import json
import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from skycue.geo.cells import CellGrid
from skycue.geo.feature_files import Feature
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.geo.valid_cells import holds_value
from skycue.model_folder import hash_of_bytes, read_model
from skycue.scale.rasters import PLACE_ERRORS, note_of, open_planned, try_each
from skycue.scale.rows import join_tables, rows_of
from skycue.scale.work import DoUnit, Failure, Places, Unit, UnitRows

if TYPE_CHECKING:
    import pyarrow as pa

    from skycue.inference import SceneClassifier

ROWS_VERSION = 3
"""Raised when the meaning of a row changes: rows of another version are not mixed with these."""
PROBABILITY = "p_"
"""Begins the name of the column of a class."""


class ClassifyWork(NamedTuple):
    """What `skycue run classify` does to an archive.

    Attributes:
        model: Folder of a fitted classifier, which all workers see.
        model_sha256: Of its files, when the run was begun.
        class_names: Its classes.
        window: Side in pixels of what is classified for a cell.
        stride: Side of a cell in pixels.
        out_crs: CRS of the rows.
        bands: One band or three to show; None takes those that each raster says.
        batch_size: Windows encoded at once; the classifier's own if None.
        device: Where to compute, as `skycue.device.resolve_device` reads it.
        dtype: Number format to compute in, likewise.
    """

    model: Path
    model_sha256: str
    class_names: tuple[str, ...]
    window: int
    stride: int
    out_crs: str
    bands: tuple[int | str, ...] | None = None
    batch_size: int | None = None
    device: str = "auto"
    dtype: str = "auto"

    @property
    def identity(self) -> str:
        """Hash of all that decides the row of a cell."""
        facts = {
            "work": "classify",
            "version": ROWS_VERSION,
            "model": self.model_sha256,
            "window": self.window,
            "stride": self.stride,
            "out_crs": self.out_crs,
            "bands": self.bands,
            "dtype": self.dtype,
        }
        return hash_of_bytes(json.dumps(facts).encode())

    def places(self, raster: Path) -> Places:
        """Count the cells of a raster, and find its stretch."""
        opened = Raster.open(raster, bands=self.bands)
        return Places(len(CellGrid(opened.size, self.window, self.stride)), note=note_of(opened))

    def off_all_rasters(self, placed: AbstractSet[str]) -> list[tuple[str, str]]:
        """Return nothing: cells are those of the rasters."""
        return []

    def empty(self) -> "pa.Table":
        """Return a table without rows."""
        return rows_of([], None, self.columns(), out_crs=self.out_crs)

    def columns(self) -> "pa.Schema":
        """Return the columns beside the cell's outline: its window, and what that shows."""
        import pyarrow as pa  # heavy: imported when used

        place = [(name, pa.int32()) for name in ("x", "y", "width", "height")]
        classes = [(PROBABILITY + name, pa.float32()) for name in self.class_names]
        return pa.schema(
            [
                ("unit", pa.string()),
                ("raster", pa.string()),
                ("source_crs", pa.string()),
                *place,
                ("class", pa.string()),
                ("score", pa.float32()),
                *classes,
            ]
        )

    def load(self, threads: int) -> DoUnit:
        """Load the classifier."""
        import torch  # heavy: imported when used

        from skycue.device import resolve_device, resolve_dtype
        from skycue.inference import SceneClassifier

        torch.set_num_threads(threads)
        place = resolve_device(self.device)
        classifier = SceneClassifier.load(
            self.model,
            device=place,
            dtype=resolve_dtype(self.dtype, place),
            batch_size=self.batch_size,
        )
        return lambda unit: self._do(unit, classifier)

    def _do(self, unit: Unit, classifier: "SceneClassifier") -> UnitRows:
        """Classify the cells of a unit."""
        from skycue.scene_windows import classify_windows

        try:
            raster = open_planned(unit, self.bands)
        except PLACE_ERRORS as error:
            return UnitRows(self.empty(), (Failure(unit.raster, "", unit.n_places, str(error)),))
        grid = CellGrid(raster.size, self.window, self.stride)

        def classify(cells: Sequence[int]) -> "pa.Table":
            held = holds_value(raster, [grid.cell(cell) for cell in cells])
            cells = [cell for cell, holds in zip(cells, held, strict=True) if holds]
            windows = [grid[cell] for cell in cells]
            found = classify_windows(classifier, raster, windows, advance=lambda _: None)
            outlines = [grid.cell(cell) for cell in cells]
            features = list(self._features(unit, raster, outlines, windows, found))
            return rows_of(features, raster.georeference, self.columns(), out_crs=self.out_crs)

        def name(cell: int) -> str:
            return ",".join(map(str, grid[cell]))

        cells = range(unit.first, unit.first + unit.n_places)
        tables, failures = try_each(cells, classify, name, unit.raster)
        table = join_tables([self.empty(), *tables])
        n_failed = sum(failure.n_places for failure in failures)
        return UnitRows(table, tuple(failures), unit.n_places - n_failed - table.num_rows)

    def _features(
        self,
        unit: Unit,
        raster: Raster,
        cells: Sequence[PixelWindow],
        windows: Sequence[PixelWindow],
        probabilities: NDArray[np.float32],
    ) -> Iterator[Feature]:
        """Yield a feature for each cell that has a class."""
        from shapely import MultiPolygon, box

        crs = raster.georeference and raster.georeference.crs
        for cell, window, row in zip(cells, windows, probabilities.tolist(), strict=True):
            if math.isnan(row[0]):
                continue
            score = max(row)
            properties: dict[str, JsonValue] = {
                "unit": unit.id,
                "raster": unit.raster,
                "source_crs": crs,
                **window._asdict(),
                "class": self.class_names[row.index(score)],
                "score": score,
                **{
                    PROBABILITY + name: value
                    for name, value in zip(self.class_names, row, strict=True)
                },
            }
            corners = (cell.x, cell.y, cell.x + cell.width, cell.y + cell.height)
            yield Feature(MultiPolygon([box(*corners)]), properties)


def open_classify_work(
    model: Path,
    *,
    window: int,
    stride: int,
    out_crs: str,
    bands: Sequence[int | str] | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> ClassifyWork:
    """Return the work of a model, whose folder is read and whose backbone is not loaded.

    Raises:
        CheckpointError: If the folder is incomplete or damaged.
        GeoError: If the windows leave gaps.
    """
    CellGrid((1, 1), window, stride)  # refuses a stride that leaves gaps, before anything is read
    record, _ = read_model(model)
    # Not the hash of the file: when and by what a model was fitted decides no row.
    decides = (record.config, record.backbone_fingerprint, record.captions, record.sentence_encoder)
    facts = [*map(str, decides), *record.prompt_names, *record.class_names, record.learned_sha256]
    return ClassifyWork(
        model=model.resolve(),
        model_sha256=hash_of_bytes(json.dumps(facts).encode()),
        class_names=record.class_names,
        window=window,
        stride=stride,
        out_crs=out_crs,
        bands=None if bands is None else tuple(bands),
        batch_size=batch_size,
        device=device,
        dtype=dtype,
    )
