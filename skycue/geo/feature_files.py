"""Outlines with properties to files that a GIS opens: GeoParquet, GeoPackage, GeoJSON.

GeoParquet (version 1.1.0, https://geoparquet.org/releases/v1.1.0/) and GeoPackage (OGC 12-128r19)
hold the coordinates of the raster's own CRS, bit for bit as the geotransform gives them.
GeoJSON is RFC 7946, always in WGS 84 (`skycue.geo.vectors`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from pydantic import JsonValue

from skycue.errors import FeatureError
from skycue.files import replacing
from skycue.geo.crs import WGS84, crs_of
from skycue.geo.georeference import GeoReference
from skycue.geo.longitudes import Extent
from skycue.geo.placing import place_outline
from skycue.geo.vectors import bbox_json, feature_json

if TYPE_CHECKING:
    import pyarrow as pa
    from shapely import MultiPolygon

GEOMETRY = "geometry"
"""Column of the outlines."""
COVERING = "bbox"
"""Column of their extents in GeoParquet, by which a reader skips what it does not need."""
GEOPARQUET_VERSION = "1.1.0"
GEOPACKAGE_VERSION = "1.2"
"""Newer ones make GDAL before 3.7 warn, and QGIS with it; nothing in them is needed here."""
SUFFIXES = (".parquet", ".gpkg", ".geojson")
"""File name endings that `write_features` knows."""

_GPKG_OWN = frozenset({"fid", "geom"})  # columns of GDAL's GeoPackages, in lower case
_MAX_INT64 = (1 << 63) - 1
_MAX_EXACT = 1 << 53  # whole numbers up to here are floating-point numbers too


class Feature(NamedTuple):
    """What becomes one row of a file.

    Attributes:
        outline: In pixels of the raster it was found on; None, or without polygons, where the
            feature has no place.
        properties: What the feature says: plain values, lists and objects of JSON.
    """

    outline: MultiPolygon | None
    properties: dict[str, JsonValue]


def write_features(
    path: Path,
    features: Iterable[Feature],
    georeference: GeoReference,
    *,
    out_crs: str | None = None,
) -> None:
    """Write features as GeoParquet, GeoPackage or GeoJSON, as the file name ends.

    A file of this name is replaced as a whole, or stays as it was if anything goes wrong; who must
    not replace one calls `skycue.files.refuse_overwrite` first.

    Args:
        path: Ends in .parquet, .gpkg or .geojson.
        features: In the order of the rows; there may be none.
        georeference: Where the raster lies whose pixels the outlines are given in.
        out_crs: CRS of the file, in place of the raster's. GeoJSON is always in WGS 84.

    Raises:
        FeatureError: If the file name ends otherwise, GeoJSON is asked for in another CRS, or a
            property cannot be written.
        GeoError: If the CRS cannot be read or an outline cannot be brought to the one asked for.
    """
    kind = suffix_of(path, out_crs)
    if kind == ".geojson":
        _write_geojson(path, features, georeference)
        return
    table = feature_table(features, georeference, out_crs=out_crs)
    with replacing(path) as partial:
        if kind == ".parquet":
            _write_parquet(partial, table)
        else:
            _write_geopackage(partial, table, out_crs or georeference.crs)


def suffix_of(path: Path, out_crs: str | None = None) -> str:
    """Return the ending by which `write_features` knows what to write.

    Commands call it before they compute anything.

    Raises:
        FeatureError: If it is none, or GeoJSON is asked for in a CRS that it cannot have.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FeatureError(
            f"cannot write {path}: '{suffix}' names no kind of feature file. "
            f"{', '.join(SUFFIXES)} are allowed."
        )
    if suffix == ".geojson" and out_crs not in (None, WGS84, "OGC:CRS84"):
        raise FeatureError(
            f"cannot write {path} in {out_crs}: GeoJSON is always in WGS 84. "
            "Leave the CRS out, or write .parquet or .gpkg."
        )
    return suffix


def feature_table(
    features: Iterable[Feature], georeference: GeoReference, *, out_crs: str | None = None
) -> pa.Table:
    """Return features as a table that `pyarrow.parquet` writes as GeoParquet.

    Columns are the properties, in the order in which they first appear, and the outlines as WKB in
    `geometry`. A column has the type of its values: booleans, whole numbers, numbers or text;
    lists, objects, mixed values and whole numbers beyond 64 bits are written as text in JSON. An
    absent property is null. The metadata say that the table is GeoParquet and name its CRS.

    Args:
        features: In the order of the rows.
        georeference: Where the raster lies.
        out_crs: CRS of the coordinates, in place of the raster's.

    Raises:
        FeatureError: If a property cannot be written.
        GeoError: If the CRS cannot be read or an outline cannot be brought to the one asked for.
    """
    import pyarrow as pa  # heavy: imported when used
    from shapely import to_wkb

    crs = out_crs or georeference.crs
    outlines: list[MultiPolygon | None] = []
    rows: list[dict[str, JsonValue]] = []
    for number, feature in enumerate(features):
        _check_properties(feature.properties, number)
        outlines.append(_placed(feature.outline, georeference, crs))
        rows.append(feature.properties)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: column_of([row.get(name) for row in rows]) for name in names}
    if clash := {GEOMETRY, COVERING} & columns.keys():
        raise FeatureError(
            f"the property '{min(clash)}' has the name of a column that GeoParquet keeps for "
            "itself. Rename it."
        )
    wkb = [None if outline is None else to_wkb(outline, flavor="iso") for outline in outlines]
    columns[GEOMETRY] = pa.array(wkb, pa.binary())
    columns[COVERING] = _covering(outlines)
    metadata = {"geo": json.dumps(_geo_metadata(outlines, crs))}
    return pa.table(columns).replace_schema_metadata(metadata)


def column_of(values: Sequence[JsonValue]) -> pa.Array:
    """Return the values of a property as a column of one type; None is null."""
    import pyarrow as pa  # heavy: imported when used

    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values))  # joins a column of any type in another part of an archive
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {str}:
        return pa.array(values, pa.string())
    if kinds <= {int, float}:
        largest = max((abs(value) for value in values if isinstance(value, int)), default=0)
        if kinds == {int} and largest <= _MAX_INT64:
            return pa.array(values, pa.int64())
        if largest <= _MAX_EXACT:
            return pa.array(
                [None if v is None else float(cast(float, v)) for v in values], pa.float64()
            )
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pa.array(texts, pa.string())


def _placed(
    outline: MultiPolygon | None, georeference: GeoReference, crs: str
) -> MultiPolygon | None:
    """Bring an outline from pixels to the CRS of the file; None where it has no polygons."""
    if outline is None or outline.is_empty:
        return None
    return place_outline(outline, georeference, crs)


def _covering(outlines: Sequence[MultiPolygon | None]) -> pa.Array:
    """Return the extent of each outline, as the column `bbox` holds it."""
    import pyarrow as pa  # heavy: imported when used

    sides = ("xmin", "ymin", "xmax", "ymax")
    extents = [None if o is None else dict(zip(sides, o.bounds, strict=True)) for o in outlines]
    return pa.array(extents, pa.struct([(side, pa.float64()) for side in sides]))


def _geo_metadata(outlines: Sequence[MultiPolygon | None], crs: str) -> dict[str, JsonValue]:
    """Return what GeoParquet says of the file under the key `geo`."""
    bounds = np.array([outline.bounds for outline in outlines if outline is not None])  # [N, 4]
    column: dict[str, JsonValue] = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon"] if len(bounds) else [],
        "crs": crs_of(crs).to_json_dict(),
        "edges": "planar",
        "orientation": "counterclockwise",
        "covering": {
            COVERING: {side: [COVERING, side] for side in ("xmin", "ymin", "xmax", "ymax")}
        },
    }
    if len(bounds):
        column["bbox"] = [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()]
    return {
        "version": GEOPARQUET_VERSION,
        "primary_column": GEOMETRY,
        "columns": {GEOMETRY: column},
    }


def _check_properties(properties: dict[str, JsonValue], number: int) -> None:
    """Make sure that every value of a feature can be said in JSON."""
    try:
        json.dumps(properties, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise FeatureError(
            f"feature {number} has a property that JSON cannot hold: {error}. "
            "Allowed are finite numbers, sound text, true, false, lists and objects of such."
        ) from error
    if "" in properties:
        raise FeatureError(f"feature {number} has a property without a name. Name it.")


def _write_parquet(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq  # heavy: imported when used

    pq.write_table(table, path, compression="zstd")


def _write_geopackage(path: Path, table: pa.Table, crs: str) -> None:
    """Write a table as the one layer of a GeoPackage, named after the file."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyogrio import write_arrow  # heavy: imported when used

    table = table.drop_columns([COVERING])
    seen = set(_GPKG_OWN)
    for number, field in enumerate(table.schema):
        if field.name.lower() in seen:
            raise FeatureError(
                f"the property '{field.name}' has the name of another column of the GeoPackage, "
                "where capitals do not count. Rename it, or write .parquet."
            )
        seen.add(field.name.lower())
        column = table.column(number)
        if pa.types.is_null(field.type):  # a type that GDAL does not know
            table = table.set_column(number, field.name, column.cast(pa.string()))
        elif pa.types.is_string(field.type) and pc.any(pc.match_substring(column, "\0")).as_py():
            raise FeatureError(
                f"the property '{field.name}' has text with a NUL character, where a GeoPackage "
                "would cut it. Take it out, or write .parquet."
            )
    write_arrow(
        table,
        path,
        layer=path.stem,
        driver="GPKG",
        geometry_name=GEOMETRY,
        geometry_type="MultiPolygon",
        crs=crs,
        dataset_options={"VERSION": GEOPACKAGE_VERSION},
    )


def _write_geojson(path: Path, features: Iterable[Feature], georeference: GeoReference) -> None:
    """Write a feature collection, one feature a line, without holding more than one."""
    extents: list[Extent] = []
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, feature in enumerate(features):
            _check_properties(feature.properties, number)
            written, parts = feature_json(feature.outline, feature.properties, georeference)
            extents += parts
            file.write((",\n" if number else "\n") + json.dumps(written, ensure_ascii=False))
        file.write("\n]")
        if extents:
            file.write(f', "bbox": {json.dumps(bbox_json(extents))}')
        file.write("}\n")
