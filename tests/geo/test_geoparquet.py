"""GeoParquet against version 1.1.0 of its specification.

https://geoparquet.org/releases/v1.1.0/: the requirements on the `geo` metadata and on the columns,
written down here from its text; the CRS against the schema of PROJJSON that pyproj brings along.
"""

import json
from pathlib import Path
from typing import cast

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
from pydantic import JsonValue
from shapely import from_wkb

from skycue.geo.feature_files import Feature, write_features
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask

PLACE = (0.3, 0.0, 593000.1, 0.0, -0.3, 5750000.7)
FEATURES = [
    Feature(outline_mask(np.eye(3, dtype=np.bool_), (5, 6)), {"phrase": "a tank", "score": 0.5}),
    Feature(None, {"phrase": "a ship", "score": None}),
]


def path_to(side: str) -> JsonValue:
    """Say where a covering finds one side: a column of structs and a field of that name."""
    items: JsonValue = [{"type": "string"}, {"const": side}]
    return {"type": "array", "items": items, "minItems": 2, "maxItems": 2}


SIDES = ("xmin", "ymin", "xmax", "ymax")
COLUMN: JsonValue = {
    "type": "object",
    "required": ["encoding", "geometry_types"],
    "properties": {
        "encoding": {"const": "WKB"},
        "geometry_types": {
            "type": "array",
            "uniqueItems": True,
            "items": {"pattern": "^(GeometryCollection|(Multi)?(Point|LineString|Polygon))( Z)?$"},
        },
        "crs": {"type": ["object", "null"]},
        "edges": {"enum": ["planar", "spherical"]},
        "orientation": {"const": "counterclockwise"},
        "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
        "epoch": {"type": "number"},
        "covering": {
            "type": "object",
            "required": ["bbox"],
            "properties": {
                "bbox": {
                    "type": "object",
                    "required": [*SIDES],
                    "properties": {side: path_to(side) for side in SIDES},
                }
            },
        },
    },
}
SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "required": ["version", "primary_column", "columns"],
    "properties": {
        "version": {"const": "1.1.0"},
        "primary_column": {"type": "string", "minLength": 1},
        "columns": {"type": "object", "minProperties": 1, "additionalProperties": COLUMN},
    },
}


def projjson_schema() -> dict[str, JsonValue]:
    """Return the schema of PROJJSON."""
    path = Path(pyproj.datadir.get_data_dir()) / "projjson.schema.json"
    return cast(dict[str, JsonValue], json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("rows", [FEATURES, FEATURES[1:], []], ids=["some", "no place", "none"])
@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:32631",
        "EPSG:4326",
        "EPSG:3413",
        "+proj=laea +lat_0=1",
        'LOCAL_CS["a",UNIT["metre",1]]',
    ],
)
def test_a_file_meets_the_specification(tmp_path: Path, crs: str, rows: list[Feature]) -> None:
    path = tmp_path / "x.parquet"
    write_features(path, rows, GeoReference(crs, PLACE))
    metadata = json.loads(pq.read_schema(path).metadata[b"geo"])
    jsonschema.validate(metadata, SCHEMA, cls=jsonschema.Draft7Validator)
    primary = metadata["primary_column"]
    assert list(metadata["columns"]) == [primary]
    column = metadata["columns"][primary]
    jsonschema.validate(column["crs"], projjson_schema(), cls=jsonschema.Draft7Validator)

    table = pq.read_table(path)
    assert table.schema.field(primary).type == pa.binary()  # at the root and not repeated
    outlines = from_wkb(table[primary].to_pylist())
    placed = [outline for outline in outlines if outline is not None]
    assert column["geometry_types"] == sorted({outline.geom_type for outline in placed})
    assert all(part.exterior.is_ccw for outline in placed for part in outline.geoms)

    covering = column["covering"]["bbox"]
    root = covering["xmin"][0]
    assert {tuple(covering[side]) for side in SIDES} == {(root, side) for side in SIDES}
    assert [table.schema.field(root).type.field(side).type for side in SIDES] == [pa.float64()] * 4
    extents = [row and tuple(row[side] for side in SIDES) for row in table[root].to_pylist()]
    assert extents == [outline and outline.bounds for outline in outlines]
    if placed:
        west, south, east, north = np.array([outline.bounds for outline in placed]).T
        assert column["bbox"] == [west.min(), south.min(), east.max(), north.max()]
    else:
        assert "bbox" not in column


def test_parts_of_an_archive_join_where_one_of_them_lacks_a_value(tmp_path: Path) -> None:
    write_features(tmp_path / "a.parquet", FEATURES[:1], GeoReference("EPSG:32631", PLACE))
    write_features(tmp_path / "b.parquet", FEATURES[1:], GeoReference("EPSG:32631", PLACE))
    parts = [pq.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    joined = pa.concat_tables(parts, promote_options="default")
    assert joined["score"].to_pylist() == [0.5, None]
