"""GeoParquet against version 1.1.0 of its specification.

https://geoparquet.org/releases/v1.1.0/: the `geo` metadata against its published JSON schema, which
lies in `geoparquet/`, and the CRS in it against the schema of PROJJSON that pyproj brings along.
What a schema cannot say, of the columns and their content, is written down here from the text.
"""

import json
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
from jsonschema import Draft7Validator, ValidationError
from pydantic import JsonValue
from referencing import Registry
from referencing.jsonschema import DRAFT7
from shapely import from_wkb

from skycue.geo.feature_files import Feature, write_features
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask

PLACE = (0.3, 0.0, 593000.1, 0.0, -0.3, 5750000.7)
FEATURES = [
    Feature(outline_mask(np.eye(3, dtype=np.bool_), (5, 6)), {"phrase": "a tank", "score": 0.5}),
    Feature(None, {"phrase": "a ship", "score": None}),
]


SIDES = ("xmin", "ymin", "xmax", "ymax")
PUBLISHED = Path(__file__).parent / "geoparquet" / "schema.json"


def published_schema() -> Draft7Validator:
    """Return the schema of the specification, with that of PROJJSON where it refers to it."""
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    projjson = projjson_schema()
    known = Registry().with_resource(str(projjson["$id"]), DRAFT7.create_resource(projjson))
    return Draft7Validator(schema, registry=known)


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
    published_schema().validate(metadata)
    primary = metadata["primary_column"]
    assert list(metadata["columns"]) == [primary]
    column = metadata["columns"][primary]
    assert column["crs"] is not None  # null would say that nobody knows it
    assert column["encoding"] == "WKB"

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


@pytest.mark.parametrize(
    "wrong",
    [
        {"edges": "straight"},
        {"geometry_types": ["Polygon", "Polygon"]},
        {"crs": {"type": "ProjectedCRS"}},
        {"bbox": [0, 0, 1]},
        {"covering": {"bbox": {"xmin": ["bbox", "xmax"]}}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_the_published_schema_refuses_what_the_specification_forbids(
    tmp_path: Path, wrong: dict[str, JsonValue]
) -> None:
    path = tmp_path / "x.parquet"
    write_features(path, FEATURES, GeoReference("EPSG:32631", PLACE))
    metadata = json.loads(pq.read_schema(path).metadata[b"geo"])
    metadata["columns"][metadata["primary_column"]].update(wrong)
    with pytest.raises(ValidationError):
        published_schema().validate(metadata)


def test_parts_of_an_archive_join_where_one_of_them_lacks_a_value(tmp_path: Path) -> None:
    write_features(tmp_path / "a.parquet", FEATURES[:1], GeoReference("EPSG:32631", PLACE))
    write_features(tmp_path / "b.parquet", FEATURES[1:], GeoReference("EPSG:32631", PLACE))
    parts = [pq.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    joined = pa.concat_tables(parts, promote_options="default")
    assert joined["score"].to_pylist() == [0.5, None]
