"""Rows of an archive: findings on rasters in many CRS become tables of one schema in one CRS."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from skycue.geo.feature_files import COVERING, GEOMETRY, Feature, feature_table
from skycue.geo.georeference import GeoReference
from skycue.scale.parts import GEO

if TYPE_CHECKING:
    import pyarrow as pa

UNPLACED = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Geotransform of a raster without a place; none of its rows has an outline."""


def rows_of(
    features: Sequence[Feature],
    georeference: GeoReference | None,
    columns: "pa.Schema",
    *,
    out_crs: str,
) -> "pa.Table":
    """Return findings as a table that is alike for all rasters of a run.

    Args:
        features: Found on one raster, outlines in its pixels.
        georeference: Where it lies; without a place the rows have no outline.
        columns: Names and types of the properties.
        out_crs: CRS of the outlines.

    Raises:
        GeoError: If an outline cannot be brought to the CRS.
    """
    place = georeference
    if place is None:
        place = GeoReference(out_crs, UNPLACED)
        features = [Feature(None, feature.properties) for feature in features]
    table = feature_table(features, place, out_crs=out_crs)
    metadata = table.schema.metadata
    arrays = [_column(table, columns.field(name)) for name in columns.names]
    fields = [*columns, table.schema.field(GEOMETRY), table.schema.field(COVERING)]
    arrays += [table[GEOMETRY], table[COVERING]]
    import pyarrow as pa  # heavy: imported when used

    return pa.table(arrays, schema=pa.schema(fields, metadata=metadata))


def join_tables(tables: Sequence["pa.Table"]) -> "pa.Table":
    """Put tables of one schema one below the other; their extents are joined."""
    import pyarrow as pa  # heavy: imported when used

    geo = merge_geo([(table.schema.metadata or {}).get(GEO, b"") for table in tables])
    plain = [table.replace_schema_metadata(None) for table in tables]
    return pa.concat_tables(plain).replace_schema_metadata({GEO: geo} if geo else None)


def merge_geo(texts: Sequence[bytes]) -> bytes:
    """Return GeoParquet metadata that hold for all rows of several files with one CRS.

    Kinds of geometry and extents are joined; empty texts are passed over.
    """
    known = [json.loads(text) for text in texts if text]
    if not known:
        return b""
    merged: dict[str, JsonValue] = known[0]
    column = known[0]["columns"][known[0]["primary_column"]]
    others = [geo["columns"][geo["primary_column"]] for geo in known]
    column["geometry_types"] = sorted({kind for one in others for kind in one["geometry_types"]})
    extents = [one["bbox"] for one in others if "bbox" in one]
    if extents:
        half = len(extents[0]) // 2
        lows, highs = [e[:half] for e in extents], [e[half:] for e in extents]
        column["bbox"] = [*map(min, zip(*lows, strict=True)), *map(max, zip(*highs, strict=True))]
    return json.dumps(merged).encode()


def _column(table: "pa.Table", field: "pa.Field[pa.DataType]") -> "pa.Array | pa.ChunkedArray":
    """Return a property in the type of the run; a property that no row has is null."""
    import pyarrow as pa

    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    return table[field.name].cast(field.type)
