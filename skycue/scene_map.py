"""A raster to the files of its map: probabilities of each cell, polygons, and a picture of them."""

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from skycue.class_map import ClassMap
from skycue.config import Config
from skycue.files import write_atomically
from skycue.geo.cells import CellGrid
from skycue.geo.cog import write_cog
from skycue.geo.feature_files import write_features
from skycue.geo.raster import Raster
from skycue.geo.stac import SourceRaster, UsedModel, write_stac_item
from skycue.inference import SceneClassifier

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
    """Cells that have a class: all that hold a valid pixel."""
    straddling: int
    """How many of them hold pixels without a value too; polygons count such cells whole."""
    skipped: int
    """Cells without a valid pixel."""
    cells: dict[str, int]
    """How many cells are of each class."""
    reused: int
    """Windows whose encodings were kept by an earlier run; equal windows count once."""
    encoded: int
    """Windows that were encoded."""
    files: tuple[str, ...]
    """What lies beside this one."""
    seconds: float


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

    `probabilities.tif` has a band for each class and a pixel for each cell, NaN where none of the
    cell's pixels is valid; `classes.*` has a polygon for each region of a class, cut to the
    raster, where that has a place; `quicklook.png` shows them; `item.json` is their STAC Item;
    `map.json` is what this function returns, and written last.

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
    found = ClassMap(raster, grid, names)
    (folder / MAP_FILE).unlink(missing_ok=True)
    place = raster.georeference and grid.georeference(raster.georeference)
    before = classifier.encoder.counts
    write_cog(
        folder / PROBABILITIES_FILE,
        found.fill(classifier),
        place,
        nodata=float("nan"),
        descriptions=names,
        size=(grid.rows, grid.columns),
        dtype="float32",
    )
    files = [PROBABILITIES_FILE, PICTURE_FILE, *_write_polygons(found, raster, folder, formats)]
    write_atomically(folder / PICTURE_FILE, found.draw())
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
        straddling=int(((found.valid_shares > 0) & (found.valid_shares < 1)).sum()),
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
    found: ClassMap, raster: Raster, folder: Path, formats: Iterable[FeatureFormat]
) -> list[str]:
    """Write the regions of classes, and return the names of the files; none without a place."""
    if raster.georeference is None:
        logger.warning("%s has no place on the map: its classes have no polygons.", raster.path)
        return []
    features = list(found.features())
    names = [f"{CLASSES_FILE}.{kind}" for kind in dict.fromkeys(formats)]
    for name in names:
        write_features(folder / name, features, raster.georeference)
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
