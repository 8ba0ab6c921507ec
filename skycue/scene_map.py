"""A raster to a map of classes: probabilities of each cell, polygons, and a picture of them."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from skycue.config import Config
from skycue.files import write_atomically
from skycue.geo.areas import area_m2
from skycue.geo.cells import CellGrid
from skycue.geo.cog import Block, write_cog
from skycue.geo.feature_files import Feature, write_features
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import class_polygons
from skycue.geo.raster import MAX_PIXELS, Raster
from skycue.geo.stac import SourceRaster, UsedModel, write_stac_item
from skycue.geo.tiles import PixelWindow
from skycue.inference import SceneClassifier
from skycue.map_drawing import MAX_SIDE, draw_class_map
from skycue.progress import progress_bar
from skycue.scene_windows import classify_windows

logger = logging.getLogger(__name__)

FeatureFormat = Literal["gpkg", "parquet", "geojson"]
"""Kinds of files that polygons are written as."""

PROBABILITIES_FILE = "probabilities.tif"
CLASSES_FILE = "classes"
"""Without the ending, which says its format."""
PICTURE_FILE = "quicklook.png"
ITEM_FILE = "item.json"
"""The STAC Item of the map."""
MAP_FILE = "map.json"
"""Written last: where it stands, the map is complete."""
CELLS_AT_ONCE = 50_000
"""Cells, about, whose probabilities are in memory at a time."""
NO_CLASS = -1
"""Label of cells without a valid pixel."""


class MapRecord(Config):
    """What `map.json` says of a map."""

    raster: str
    """The file."""
    raster_sha256: str
    """Of its content."""
    bands: tuple[int, ...]
    """Bands that were shown, counted from 1."""
    model: str
    """The classifier as it was named."""
    model_sha256: str
    """Of all that decides its probabilities."""
    window: int
    """Side of a window in pixels."""
    stride: int
    """Side of a cell in pixels."""
    size: tuple[int, int]
    """(rows, columns) of cells."""
    classified: int
    """Cells that have a class."""
    skipped: int
    """Cells whose windows hold no valid pixel."""
    cells: dict[str, int]
    """How many cells are of each class."""
    reused: int
    """Windows whose encodings were kept by an earlier run; equal windows count once."""
    encoded: int
    """Windows that were encoded."""
    files: tuple[str, ...]
    """What lies beside this one."""
    seconds: float


class SceneMap:
    """Which class each cell of a raster has, as it becomes known.

    Attributes:
        grid: The cells.
        class_names: C names.
        labels: Index of each cell's most probable class, `NO_CLASS` where there is none, int16
            [h, w].
        scores: Its probability, float32 [h, w].
    """

    def __init__(self, grid: CellGrid, class_names: Sequence[str]) -> None:
        self.grid, self.class_names = grid, tuple(class_names)
        shape = (grid.rows, grid.columns)
        self.labels: NDArray[np.int16] = np.full(shape, NO_CLASS, dtype=np.int16)
        self.scores: NDArray[np.float32] = np.zeros(shape, dtype=np.float32)

    def fill(self, classifier: SceneClassifier, raster: Raster) -> Iterator[Block]:
        """Classify all cells, and yield their probabilities in blocks of whole rows."""
        columns = self.grid.columns
        n_rows = max(1, CELLS_AT_ONCE // columns)
        with progress_bar("classifying windows", len(self.grid)) as advance:
            for top in range(0, self.grid.rows, n_rows):
                windows = self.grid[top * columns : (top + n_rows) * columns]
                found = classify_windows(
                    classifier, raster, windows, self.class_names, advance=advance
                ).reshape(-1, columns, len(self.class_names))  # [h, w, C]
                is_known = np.isfinite(found[..., 0])
                part = slice(top, top + len(found))
                self.labels[part] = np.where(is_known, found.argmax(axis=-1), NO_CLASS)
                self.scores[part] = np.where(is_known, found.max(axis=-1), 0)
                yield Block(0, top, found.transpose(2, 0, 1))

    def counts(self) -> dict[str, int]:
        """Return how many cells are of each class."""
        found = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return dict(zip(self.class_names, found.tolist(), strict=True))

    def features(self, place: GeoReference) -> Iterator[Feature]:
        """Yield the regions of cells of one class that share edges, with their outlines in cells.

        Args:
            place: Where the cells lie, for areas.
        """
        regions, labels = _regions_of(self.labels, len(self.class_names))
        inside = regions >= 0
        n_cells = np.bincount(regions[inside], minlength=len(labels))
        scores = np.bincount(regions[inside], self.scores[inside], minlength=len(labels))
        for number, outline in class_polygons(regions):
            properties: dict[str, JsonValue] = {
                "class": self.class_names[labels[number]],
                "score": float(scores[number] / n_cells[number]),
                "cells": int(n_cells[number]),
                "area_m2": area_m2(outline, place),
            }
            yield Feature(outline, properties)


def write_map(
    classifier: SceneClassifier,
    raster: Raster,
    folder: Path,
    *,
    window: int,
    stride: int,
    class_names: Sequence[str] | None = None,
    formats: Iterable[FeatureFormat] = ("gpkg",),
    model: str = "",
) -> MapRecord:
    """Classify a raster and write its map into a folder; memory is bounded whatever its size.

    `probabilities.tif` has a band for each class and a pixel for each cell, NaN where no pixel is
    valid; `classes.*` has a polygon for each region of a class, where the raster has a place;
    `quicklook.png` shows them; `item.json` is their STAC Item; `map.json` is what this function
    returns, and written last.

    Args:
        classifier: A fitted scene classifier; the store of its encoder makes a second map quick.
        raster: What to classify, as it was opened: its bands and its stretch.
        folder: Where to write; what a former map left there is replaced.
        window: Side in pixels of what is classified for a cell.
        stride: Side of a cell in pixels, at most `window`.
        class_names: Classes to tell apart; those fitted on if not given.
        formats: Of the polygons.
        model: What the classifier is called in the record.

    Raises:
        GeoError: If window and stride make no grid.
        SkycueError: As `classify_windows` does.
    """
    started = time.perf_counter()
    grid = CellGrid(raster.size, window, stride)
    names = classifier.class_names if class_names is None else tuple(class_names)
    found = SceneMap(grid, names)
    (folder / MAP_FILE).unlink(missing_ok=True)
    place = raster.georeference and grid.georeference(raster.georeference)
    before = classifier.encoder.counts
    write_cog(
        folder / PROBABILITIES_FILE,
        found.fill(classifier, raster),
        place,
        nodata=float("nan"),
        descriptions=names,
        size=(grid.rows, grid.columns),
        dtype="float32",
    )
    files = [PROBABILITIES_FILE, PICTURE_FILE, *_write_polygons(found, raster, folder, formats)]
    picture = draw_class_map(found.labels, names, _backdrop(raster, grid))
    write_atomically(folder / PICTURE_FILE, picture)
    used = UsedModel(model or classifier.config.method.name, classifier.fingerprint)
    _write_item(raster, used, folder, files)
    after, n_known = classifier.encoder.counts, int((found.labels >= 0).sum())
    record = MapRecord(
        raster=str(raster.path),
        raster_sha256=raster.sha256(),
        bands=raster.bands,
        model=used.name,
        model_sha256=used.sha256,
        window=window,
        stride=stride,
        size=(grid.rows, grid.columns),
        classified=n_known,
        skipped=len(grid) - n_known,
        cells=found.counts(),
        reused=after.reused - before.reused,
        encoded=after.computed - before.computed,
        files=tuple(sorted([*files, ITEM_FILE])),
        seconds=round(time.perf_counter() - started, 1),
    )
    write_atomically(folder / MAP_FILE, record.model_dump_json(indent=2) + "\n")
    return record


def _write_polygons(
    found: SceneMap, raster: Raster, folder: Path, formats: Iterable[FeatureFormat]
) -> list[str]:
    """Write the regions of classes, and return the names of the files; none without a place."""
    if raster.georeference is None:
        logger.warning("%s has no place on the map: its classes have no polygons.", raster.path)
        return []
    place = found.grid.georeference(raster.georeference)
    features = list(found.features(place))
    names = [f"{CLASSES_FILE}.{kind}" for kind in dict.fromkeys(formats)]
    for name in names:
        write_features(folder / name, features, place)
    return names


def _write_item(raster: Raster, model: UsedModel, folder: Path, files: Sequence[str]) -> None:
    """Write the STAC Item of the files of a map."""
    write_stac_item(
        folder / ITEM_FILE,
        {name: folder / name for name in files},
        source=SourceRaster(raster.path.name, raster.sha256(), raster.size, raster.georeference),
        model=model,
        created=datetime.now(UTC),
    )


def _regions_of(
    labels: NDArray[np.int16], n_classes: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number the regions of cells of one class that share edges.

    Returns:
        The number of each cell's region, negative where it has no class, [h, w]; and the class of
        each region, [R].
    """
    from scipy.ndimage import label  # heavy: imported when used

    regions = np.full(labels.shape, -1, dtype=np.int32)
    class_of: list[int] = []
    for number in range(n_classes):
        found, n_found = label(labels == number)
        inside = found > 0
        regions[inside] = found[inside] - 1 + len(class_of)
        class_of += [number] * n_found
    return regions, np.array(class_of, dtype=np.int64)


def _backdrop(raster: Raster, grid: CellGrid) -> NDArray[np.uint8] | None:
    """Return the raster under all cells, small, white where it has no value.

    None where it would take long: where a large raster has no small overview.
    """
    small = [size for size in raster.overview_sizes if max(size) <= 4 * MAX_SIDE]
    if raster.size[0] * raster.size[1] > MAX_PIXELS and not small:
        return None
    height, width = grid.rows * grid.stride, grid.columns * grid.stride
    factor = max(1.0, max(height, width) / MAX_SIDE)
    size = (max(1, round(height / factor)), max(1, round(width / factor)))
    shown = raster.read(PixelWindow(0, 0, width, height), size)
    return np.where(shown.valid, shown.pixels, np.uint8(255))
