"""Maps as files that others read."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skycue.class_map import NO_CLASS, ClassMap
from skycue.errors import GeoError
from skycue.files import write_atomically
from skycue.geo.cells import CellGrid
from skycue.geo.feature_files import write_features
from skycue.geo.label_tiles import NO_CLASS as UNLABELLED
from skycue.geo.label_tiles import read_labels, read_scores
from skycue.geo.raster import Raster
from skycue.geo.valid_cells import valid_shares
from skycue.map_drawing import ClassColour
from skycue.service.records import MapFormat, MapRecord
from skycue.service.scene_maps import levels_of


class MapFiles(NamedTuple):
    """The files of a map."""

    probabilities: Path
    labels: Path


SUFFIX_OF: dict[MapFormat, str] = {
    "geojson": ".geojson",
    "parquet": ".parquet",
    "gpkg": ".gpkg",
    "cog": ".tif",
    "png": ".png",
}


def export_map(
    path: Path, file_format: MapFormat, record: MapRecord, files: MapFiles, raster: Raster
) -> None:
    """Write a map as a file, as `skycue classify` writes it.

    Args:
        path: Where; its suffix is that of the format.
        file_format: Which: `cog` holds the probabilities, a band a class; the vector formats hold
            regions of one class; `png` shows the classes over the raster, with their legend.
        record: The map.
        files: Its files.
        raster: What was classified.

    Raises:
        GeoError: If map coordinates are asked for and the raster has none.
    """
    if file_format == "cog":
        shutil.copyfile(files.probabilities, path)
        return
    grid = CellGrid(raster.size, record.window, record.stride)
    found = ClassMap(raster, grid, [one.name for one in record.classes])
    labels = read_labels(files.labels)
    found.labels[:] = np.where(labels == UNLABELLED, NO_CLASS, labels.astype(np.int16))
    if file_format == "png":
        levels = levels_of([one.colour for one in record.classes]).tolist()
        write_atomically(path, found.draw([ClassColour(*level) for level in levels]))
        return
    if raster.georeference is None:
        raise GeoError(
            "the raster has no place on the ground, so there are no map coordinates to write: take "
            "the formats cog or png."
        )
    found.scores[:] = read_scores(files.probabilities)
    found.valid_shares[:] = valid_shares(raster, grid)
    write_features(path, found.features(), raster.georeference)
