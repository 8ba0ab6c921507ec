"""Maps as files that others read."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from shapely.affinity import scale

from skycue.errors import GeoError
from skycue.geo.feature_files import Feature, write_features
from skycue.geo.georeference import GeoReference
from skycue.geo.label_tiles import NO_CLASS, read_labels
from skycue.geo.outlines import class_polygons
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
    path: Path,
    file_format: MapFormat,
    record: MapRecord,
    files: MapFiles,
    georeference: GeoReference | None,
) -> None:
    """Write a map as a file.

    Args:
        path: Where; its suffix is that of the format.
        file_format: Which: `cog` holds the probabilities, a band a class; the vector formats hold
            regions of one class.
        record: The map.
        files: Its files.
        georeference: Where the classified raster lies, or None.

    Raises:
        GeoError: If map coordinates are asked for and there are none.
    """
    if file_format == "cog":
        shutil.copyfile(files.probabilities, path)
        return
    labels = read_labels(files.labels)
    if file_format == "png":
        table = np.zeros((256, 4), dtype=np.uint8)
        table[: len(record.classes), :3] = levels_of([one.colour for one in record.classes])
        table[: len(record.classes), 3] = 255
        Image.fromarray(table[labels]).save(path, "PNG")
        return
    if georeference is None:
        raise GeoError(
            "the raster has no place on the ground, so there are no map coordinates to write: take "
            "the formats cog or png."
        )
    signed = np.where(labels == NO_CLASS, -1, labels.astype(np.int32))
    features = (
        Feature(
            scale(region.outline, record.stride, record.stride, origin=(0, 0)),
            {"class_name": record.classes[region.label].name, "cells": int(region.outline.area)},
        )
        for region in class_polygons(signed)
    )
    write_features(path, features, georeference)
