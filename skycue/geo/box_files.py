"""Files of boxes: GeoJSON, GeoPackage and GeoParquet, as a GIS writes them."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skycue.errors import BoxError
from skycue.geo.box_places import PlacedBoxes, place_outlines
from skycue.geo.crs import WGS84
from skycue.geo.georeference import GeoReference

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from shapely.geometry.base import BaseGeometry

SUFFIXES = (".geojson", ".json", ".gpkg", ".parquet")
"""Endings of the files that are read, in lower case."""
ID = "id"
"""Column or property that names a box; without it boxes are counted from 1."""
MAX_BYTES = 512 * 1024 * 1024
"""Of a file; boxes of a million features fit."""

# A GeoPackage is an SQLite file that says so (OGC 12-128r19, requirements 1 and 2).
_SQLITE = b"SQLite format 3\x00"
_APPLICATION_AT = 68
_GEOPACKAGE = (b"GPKG", b"GP10", b"GP11")
_PARQUET = b"PAR1"


class BoxOutlines(NamedTuple):
    """What a file of boxes holds.

    Attributes:
        ids: Names of the features, no two the same.
        outlines: Their geometries, or why one has none.
        crs: Of the coordinates, or None if the file does not say.
    """

    ids: list[str]
    outlines: "list[BaseGeometry | str]"
    crs: str | None


def read_box_file(
    path: Path,
    georeference: GeoReference | None,
    size: tuple[int, int],
    *,
    crs: str | None = None,
) -> PlacedBoxes:
    """Read the boxes of a file as boxes in pixels of a raster: around each feature's outline.

    Args:
        path: A file of one of `SUFFIXES`.
        georeference: Where the raster lies, or None.
        size: (height, width) of the raster.
        crs: Of the coordinates, in place of what the file says; `box_places.PIXELS` for pixels.

    Raises:
        BoxError: If the file cannot be read, holds no features, names two alike, or does not say
            its CRS and none is given.
        GeoError: If a CRS is unknown or not tied to the Earth.
    """
    read = read_outlines(path)
    known = crs or read.crs
    if known is None:
        raise BoxError(
            f"{path} does not say its CRS: give it by --box-crs, such as EPSG:4326, or pixels."
        )
    return place_outlines(read.outlines, read.ids, known, georeference, size)


def read_outlines(path: Path) -> BoxOutlines:
    """Read the features of a file in their own CRS.

    Raises:
        BoxError: If the file cannot be read, holds no features, or names two alike.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BoxError(f"cannot read boxes from {path}: its name ends in none of {SUFFIXES}.")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BoxError(f"cannot read boxes from {path}: over {MAX_BYTES // 2**20} MB; cut it.")
        with path.open("rb") as file:
            head = file.read(_APPLICATION_AT + 4)
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise BoxError(f"cannot read boxes from {path}: {why}.") from error
    if suffix == ".gpkg":
        read = _read_geopackage(path, head)
    elif suffix == ".parquet":
        read = _read_geoparquet(path, head)
    else:
        read = _read_geojson(path)
    if not read.ids:
        raise BoxError(f"{path} holds no features: give at least one box.")
    name, times = Counter(read.ids).most_common(1)[0]
    if times > 1:
        raise BoxError(f"{times} boxes of {path} have the id '{name}': give each its own.")
    return read


def _read_geojson(path: Path) -> BoxOutlines:
    """Read RFC 7946, or the older form that names a CRS."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BoxError(f"cannot read boxes from {path}: not JSON ({error}).") from error
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "FeatureCollection":
        features = content.get("features")
    else:
        features = [content if kind == "Feature" else {"geometry": content}]
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise BoxError(f"cannot read boxes from {path}: its features are not a list of objects.")
    outlines = [_geometry_of(feature.get("geometry")) for feature in features]
    names = []
    for feature in features:
        properties = feature.get("properties")
        named = properties.get(ID) if isinstance(properties, dict) else None
        names.append(feature.get(ID, named))
    crs = WGS84
    if isinstance(content, dict) and content.get("crs"):
        try:
            crs = str(content["crs"]["properties"]["name"])
        except (KeyError, TypeError) as error:
            raise BoxError(
                f"cannot read the CRS of {path}; it is given by name, or by --box-crs."
            ) from error
    return BoxOutlines(_names(names), outlines, crs)


def _geometry_of(geometry: object) -> "BaseGeometry | str":
    """Read a GeoJSON geometry, or say why it is none."""
    from shapely import from_geojson
    from shapely.errors import ShapelyError

    if geometry is None:
        return "it has no geometry."
    try:
        outline: BaseGeometry = from_geojson(json.dumps(geometry))
    except (ShapelyError, TypeError) as error:
        return f"its geometry cannot be read ({' '.join(str(error).split())})."
    return outline


def _read_geopackage(path: Path, head: bytes) -> BoxOutlines:
    """Read the only layer of a GeoPackage that has geometries."""
    from pyogrio import list_layers, read_dataframe
    from pyogrio.errors import DataSourceError

    application = head[_APPLICATION_AT : _APPLICATION_AT + 4]
    if not head.startswith(_SQLITE) or application not in _GEOPACKAGE:
        raise BoxError(f"cannot read boxes from {path}: not a GeoPackage.")
    try:
        layers = [str(name) for name, kind in list_layers(path.resolve()) if kind is not None]
        if len(layers) != 1:
            named = ", ".join(layers) or "none"
            raise BoxError(
                f"{path} holds {len(layers)} layers with geometries ({named}); one is read: copy "
                "it by `ogr2ogr boxes.gpkg FILE LAYER`."
            )
        frame = read_dataframe(path.resolve(), layer=layers[0], fid_as_index=True)
    except (DataSourceError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise BoxError(f"cannot read boxes from {path}: damaged ({said}).") from error
    return _outlines_of(frame)


def _read_geoparquet(path: Path, head: bytes) -> BoxOutlines:
    """Read a GeoParquet file."""
    import geopandas
    from pyarrow import ArrowException

    if not head.startswith(_PARQUET):
        raise BoxError(f"cannot read boxes from {path}: not a Parquet file.")
    try:
        frame = geopandas.read_parquet(path.resolve())
    except (ArrowException, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        raise BoxError(f"cannot read boxes from {path}: {said}") from error
    return _outlines_of(frame.reset_index(drop=True))


def _outlines_of(frame: "GeoDataFrame") -> BoxOutlines:
    """Take the geometries of a table, and the names of its rows."""
    outlines: list[BaseGeometry | str] = [
        "it has no geometry." if outline is None else outline for outline in frame.geometry
    ]
    names = list(frame[ID]) if ID in frame.columns else [None] * len(frame)
    crs = None if frame.crs is None else frame.crs.to_string()
    return BoxOutlines(_names(names), outlines, crs)


def _names(given: Sequence[object]) -> list[str]:
    """Return names as text; what has none is counted from 1."""
    names = []
    for n, name in enumerate(given, start=1):
        if isinstance(name, float) and name.is_integer():  # a column of whole numbers with gaps
            name = int(name)
        missing = name is None or name != name  # a missing number is not itself
        names.append(str(n if missing else name))
    return names
