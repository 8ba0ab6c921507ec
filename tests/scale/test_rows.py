"""Findings on rasters in several CRS become tables of one schema in one CRS."""

import json

import pyarrow as pa
import pytest
import shapely
from pyproj import Transformer
from shapely import MultiPolygon, box

from skycue.errors import GeoError
from skycue.geo.feature_files import Feature
from skycue.geo.georeference import GeoReference
from skycue.scale.rows import join_tables, merge_geo, rows_of

COLUMNS = pa.schema([("name", pa.string()), ("score", pa.float32()), ("n", pa.int32())])
UTM = GeoReference("EPSG:32631", (10.0, 0.0, 628_000.0, 0.0, -10.0, 5_804_000.0))
SQUARE = MultiPolygon([box(0, 0, 4, 4)])


def test_tables_of_all_rasters_have_one_schema() -> None:
    full = rows_of(
        [Feature(SQUARE, {"n": 3, "name": "a", "score": 0.5})], UTM, COLUMNS, out_crs="EPSG:4326"
    )
    part = rows_of([Feature(SQUARE, {"score": 0.25})], UTM, COLUMNS, out_crs="EPSG:4326")
    none = rows_of([], None, COLUMNS, out_crs="EPSG:4326")
    assert full.schema.remove_metadata() == part.schema.remove_metadata()
    assert full.schema.remove_metadata() == none.schema.remove_metadata()
    assert full.column_names == ["name", "score", "n", "geometry", "bbox"]
    joined = join_tables([none, full, part])
    assert joined.select(["name", "score", "n"]).to_pylist() == [
        {"name": "a", "score": 0.5, "n": 3},
        {"name": None, "score": 0.25, "n": None},
    ]


def test_outlines_lie_in_the_crs_of_the_run() -> None:
    table = rows_of([Feature(SQUARE, {})], UTM, COLUMNS, out_crs="EPSG:4326")
    outline = shapely.from_wkb(table["geometry"][0].as_py())
    to_degrees = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    corner = to_degrees.transform(628_000.0, 5_804_000.0)
    assert (
        min(
            shapely.Point(corner).distance(shapely.Point(p))
            for p in outline.geoms[0].exterior.coords
        )
        < 1e-9
    )
    column = json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 4326}


def test_a_raster_without_a_place_has_rows_without_outlines() -> None:
    table = rows_of([Feature(SQUARE, {"n": 1})], None, COLUMNS, out_crs="EPSG:4326")
    assert table["geometry"].to_pylist() == [None]
    assert table["n"].to_pylist() == [1]


def test_an_unknown_crs_is_refused() -> None:
    with pytest.raises(GeoError, match="EPSG:1"):
        rows_of([Feature(SQUARE, {})], UTM, COLUMNS, out_crs="EPSG:1")


def test_extents_are_joined_by_hand() -> None:
    def geo(bbox: list[float] | None, kinds: list[str]) -> bytes:
        column = {"encoding": "WKB", "geometry_types": kinds} | ({"bbox": bbox} if bbox else {})
        return json.dumps({"primary_column": "g", "columns": {"g": column}}).encode()

    merged = merge_geo(
        [geo(None, []), b"", geo([0, 5, 1, 6], ["Polygon"]), geo([-2, 5.5, 0.5, 9], ["Point"])]
    )
    assert json.loads(merged)["columns"]["g"] == {
        "encoding": "WKB",
        "geometry_types": ["Point", "Polygon"],
        "bbox": [-2, 5, 1, 9],
    }
    assert merge_geo([b""]) == b""
