"""Describe boxes all over an archive: a row for each phrase, with the outline of its mask."""

import functools
import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skycue.box_windows import ViewNeeds, group_boxes
from skycue.boxes import PlacedBox
from skycue.errors import BoxError
from skycue.geo.box_files import BoxOutlines, read_outlines
from skycue.geo.box_places import place_outlines
from skycue.geo.cells import CellGrid
from skycue.geo.feature_files import Feature
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.model_folder import hash_of_bytes
from skycue.raster_answers import RasterAnswer
from skycue.raster_describer import describe_boxes
from skycue.scale.rasters import PLACE_ERRORS, note_of, open_planned, try_each
from skycue.scale.rows import join_tables, rows_of
from skycue.scale.work import DoUnit, Failure, Places, Unit, UnitRows
from skycue.shown_windows import NOTHING_VALID

if TYPE_CHECKING:
    import pyarrow as pa

    from skycue.region_describer import RegionDescriber

ROWS_VERSION = 1
"""Raised when the meaning of a row changes: rows of another version are not mixed with these."""


class DescribeWork(NamedTuple):
    """What `skycue run describe` does to an archive.

    Attributes:
        model: Name of a region model that all workers can load.
        model_sha256: Letters of its hash.
        needs: What it asks of the window around a box.
        boxes: File of boxes in any CRS; None describes every window of a grid.
        boxes_crs: CRS of the file, in place of what it says.
        window: Side of the windows of the grid in pixels.
        ask: What to ask in place of the model's usual question.
        out_crs: CRS of the rows.
        bands: One band or three to show; None takes those that each raster says.
        device: Where to compute, as `skycue.device.resolve_device` reads it.
        dtype: Number format to compute in, likewise.
    """

    model: str
    model_sha256: str
    needs: ViewNeeds
    boxes: Path | None
    boxes_crs: str | None
    window: int
    ask: str | None
    out_crs: str
    bands: tuple[int | str, ...] | None = None
    device: str = "auto"
    dtype: str = "float32"

    @property
    def identity(self) -> str:
        """Hash of all that decides the rows of a box; boxes themselves stand in the units."""
        facts = {
            "work": "describe",
            "version": ROWS_VERSION,
            "model": self.model_sha256,
            "window": None if self.boxes else self.window,
            "ask": self.ask,
            "out_crs": self.out_crs,
            "bands": self.bands,
            "dtype": self.dtype,
        }
        return hash_of_bytes(json.dumps(facts).encode())

    def places(self, raster: Path) -> Places:
        """Count the windows of a raster, or find the boxes that lie on it, neighbours together."""
        opened = Raster.open(raster, bands=self.bands)
        if self.boxes is None:
            n_windows = len(CellGrid(opened.size, self.window, self.window))
            return Places(n_windows, note=note_of(opened))
        known = _outlines_of(self.boxes, self.boxes_crs)
        if opened.georeference is None:
            raise BoxError(f"{raster} has no place on the ground, so no box of {self.boxes} on it.")
        assert known.crs is not None, "open_describe_work saw to it"
        found = place_outlines(
            known.outlines, known.ids, known.crs, opened.georeference, opened.size
        )
        placed = [PlacedBox(each.id, each.box) for each in found.boxes]
        groups = group_boxes(placed, opened.size, self.needs)
        boxes = tuple(each for group in groups for each in group.boxes)
        return Places(len(boxes), boxes, note_of(opened) if boxes else "")

    def off_all_rasters(self, placed: AbstractSet[str]) -> list[tuple[str, str]]:
        """Return the boxes of the file that lie on no raster."""
        if self.boxes is None:
            return []
        known = _outlines_of(self.boxes, self.boxes_crs)
        return [
            (name, outline if isinstance(outline, str) else "it lies on no raster of the archive.")
            for name, outline in zip(known.ids, known.outlines, strict=True)
            if name not in placed
        ]

    def empty(self) -> "pa.Table":
        """Return a table without rows."""
        return rows_of([], None, self.columns(), out_crs=self.out_crs)

    def columns(self) -> "pa.Schema":
        """Return the columns beside the outline: the box, what is said of it, and of what part."""
        import pyarrow as pa  # heavy: imported when used

        text, number = pa.string(), pa.float64()
        names = {
            "unit": text,
            "raster": text,
            "source_crs": text,
            "box_id": text,
            **dict.fromkeys(("box_x_min", "box_y_min", "box_x_max", "box_y_max"), number),
            "phrase": text,
            "span_start": pa.int32(),
            "span_end": pa.int32(),
            "class_name": text,
            "class_score": number,
            "score": number,
            "prompted": pa.bool_(),
            "area_m2": number,
            "caption": text,
            "flags": text,
            "model": text,
            **dict.fromkeys(("window_x", "window_y", "window_width", "window_height"), pa.int32()),
            "scale": number,
        }
        return pa.schema(list(names.items()))

    def load(self, threads: int) -> DoUnit:
        """Load the region model."""
        import torch  # heavy: imported when used

        from skycue.device import resolve_device, resolve_dtype
        from skycue.region_describer import RegionDescriber

        torch.set_num_threads(threads)
        place = resolve_device(self.device)
        describer = RegionDescriber.load(
            self.model, device=place, dtype=resolve_dtype(self.dtype, place)
        )
        return lambda unit: self._do(unit, describer)

    def _do(self, unit: Unit, describer: "RegionDescriber") -> UnitRows:
        """Describe the boxes of a unit."""
        try:
            raster = open_planned(unit, self.bands)
        except PLACE_ERRORS as error:
            return UnitRows(self.empty(), (Failure(unit.raster, "", unit.n_places, str(error)),))
        n_skipped = 0

        def describe(boxes: Sequence[PlacedBox]) -> "pa.Table":
            nonlocal n_skipped
            answers = describe_boxes(describer, raster, boxes, ask=self.ask)
            filled = [each for each in answers if each.answer.flags != (NOTHING_VALID,)]
            features = [f for answer in filled for f in self._features(unit, raster, answer)]
            table = rows_of(features, raster.georeference, self.columns(), out_crs=self.out_crs)
            n_skipped += len(answers) - len(filled)  # last: a try that raises counts nothing
            return table

        boxes = unit.boxes or self._windows(unit, raster)
        tables, failures = try_each(boxes, describe, lambda placed: placed.id, unit.raster)
        return UnitRows(join_tables([self.empty(), *tables]), tuple(failures), n_skipped)

    def _windows(self, unit: Unit, raster: Raster) -> list[PlacedBox]:
        """Return the windows of a unit as boxes: side by side, and cut to the raster."""
        grid = CellGrid(raster.size, self.window, self.window)
        places = range(unit.first, unit.first + unit.n_places)
        return [_box_of(grid.cell(place)) for place in places]

    def _features(self, unit: Unit, raster: Raster, answer: RasterAnswer) -> Iterator[Feature]:
        """Yield a feature for each phrase, and one for an answer without any."""
        crs = raster.georeference and raster.georeference.crs
        x_min, y_min, x_max, y_max = answer.placed.box
        common = {
            "unit": unit.id,
            "raster": unit.raster,
            "source_crs": crs,
            "box_x_min": x_min,
            "box_y_min": y_min,
            "box_x_max": x_max,
            "box_y_max": y_max,
        }
        for outline, properties in answer.to_features() or [self._wordless(answer)]:
            yield Feature(outline, {**properties, **common})

    def _wordless(self, answer: RasterAnswer) -> Feature:
        """Return what is said of a box whose caption has no phrase."""
        said, window = answer.answer, answer.shown.window
        return Feature(
            None,
            {
                "box_id": answer.placed.id,
                "caption": said.caption,
                "flags": "; ".join(said.flags),
                "model": said.model,
                "window_x": window.x,
                "window_y": window.y,
                "window_width": window.width,
                "window_height": window.height,
                "scale": float(answer.shown.scale),
            },
        )


def open_describe_work(
    model: str,
    *,
    boxes: Path | None,
    boxes_crs: str | None = None,
    window: int = 256,
    ask: str | None = None,
    out_crs: str,
    bands: Sequence[int | str] | None = None,
    device: str = "auto",
    dtype: str = "float32",
) -> DescribeWork:
    """Return the work of a region model, which is loaded once for its hash.

    Raises:
        CheckpointError: If nothing of that name can be loaded.
        BoxError: If the file of boxes cannot be read or does not say its CRS.
    """
    from skycue.region_describer import RegionDescriber

    if boxes is not None:
        _outlines_of(boxes, boxes_crs)
    describer = RegionDescriber.load(model)
    folder = Path(model)
    return DescribeWork(
        model=str(folder.resolve()) if folder.is_dir() else model,
        model_sha256=describer.model.rsplit("@", 1)[-1],
        needs=describer.needs,
        boxes=boxes,
        boxes_crs=boxes_crs,
        window=window,
        ask=ask,
        out_crs=out_crs,
        bands=None if bands is None else tuple(bands),
        device=device,
        dtype=dtype,
    )


@functools.lru_cache(maxsize=1)
def _outlines_of(path: Path, crs: str | None) -> BoxOutlines:
    """Read a file of boxes once for all rasters of a plan."""
    read = read_outlines(path)
    known = crs or read.crs
    if known is None:
        raise BoxError(f"{path} does not say its CRS: give it by --box-crs, such as EPSG:4326.")
    return read._replace(crs=known)


def _box_of(window: PixelWindow) -> PlacedBox:
    x, y, width, height = window
    name = ",".join(map(str, window))
    return PlacedBox(name, (float(x), float(y), float(x + width), float(y + height)))
