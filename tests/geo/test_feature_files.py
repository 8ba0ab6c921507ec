"""Features to GeoParquet, GeoPackage and GeoJSON, and what reads them back."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydantic import JsonValue
from shapely import MultiPolygon, box, get_coordinates, transform
from shapely.geometry import shape

from skycue.errors import FeatureError, GeoError
from skycue.geo.feature_files import Feature, column_of, feature_table, suffix_of, write_features
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask, polygons_of
from tests.geo.back_to_pixels import back_to_pixels, stray

ROTTERDAM = GeoReference("EPSG:32631", (0.3, 0.0, 593000.1, 0.0, -0.3, 5750000.7))
SUFFIXES = [".parquet", ".gpkg", ".geojson"]
MASK = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=np.bool_)
OUTLINE = outline_mask(MASK, (40, 70))

# Text that every format holds: GeoPackage cuts at NUL, and no file holds half a surrogate pair.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
NUMBERS = st.tuples(*[st.floats(-50, 50)] * 4).filter(
    lambda numbers: abs(numbers[0] * numbers[3] - numbers[1] * numbers[2]) > 1e-3
)  # a, b, d, e of a geotransform that is not flat


def read(path: Path) -> geopandas.GeoDataFrame:
    """Read a file as its users do."""
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path)


def rows_of(path: Path) -> list[dict[str, JsonValue]]:
    """Return the properties of the rows of a file, as the format holds them."""
    if path.suffix == ".geojson":
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        return [feature["properties"] for feature in features]
    if path.suffix == ".parquet":
        table = pq.read_table(path).drop_columns(["geometry", "bbox"])
    else:
        _, table = pyogrio.read_arrow(path, read_geometry=False)
    rows: list[dict[str, JsonValue]] = table.to_pylist()
    return rows


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg"])
@settings(max_examples=20, deadline=None)
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 6))).filter(np.any),
    offset=st.tuples(st.integers(0, 199_999), st.integers(0, 199_999)),
    numbers=st.tuples(*[st.floats(-50, 50)] * 4).filter(
        lambda t: abs(t[0] * t[3] - t[1] * t[2]) > 1e-3
    ),
    origin=st.tuples(st.floats(1e5, 9e5), st.floats(0, 9e6)),
)
def test_coordinates_come_back_bit_for_bit(
    suffix: str,
    mask: NDArray[np.bool_],
    offset: tuple[int, int],
    numbers: tuple[float, float, float, float],
    origin: tuple[float, float],
) -> None:
    a, b, d, e = numbers
    place = GeoReference("EPSG:32631", (a, b, origin[0], d, e, origin[1]))
    outline = outline_mask(mask, offset)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"tanks{suffix}"
        write_features(path, [Feature(outline, {"name": "x"})], place)
        back = read(path)
    assert back.crs == "EPSG:32631"
    expected = polygons_of(transform(outline, place.to_map))
    assert back.geometry[0].equals_exact(expected, tolerance=0)
    assert all(part.exterior.is_ccw for part in back.geometry[0].geoms)
    np.testing.assert_array_equal(get_coordinates(back.geometry[0]), get_coordinates(expected))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_place_and_an_outline_without_polygons_have_no_geometry(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"x{suffix}"
    rows = [Feature(None, {"n": 1}), Feature(OUTLINE, {"n": 2}), Feature(MultiPolygon(), {"n": 3})]
    write_features(path, rows, ROTTERDAM)
    back = read(path)
    assert back.n.tolist() == [1, 2, 3]
    assert [geometry is None for geometry in back.geometry] == [True, False, True]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_features_make_a_file_with_no_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"none{suffix}"
    write_features(path, [], ROTTERDAM)
    back = read(path)
    assert len(back) == 0
    assert back.crs == ("EPSG:4326" if suffix == ".geojson" else "EPSG:32631")
    write_features(path, iter([Feature(None, {"n": 1})]), ROTTERDAM)
    assert read(path).n.tolist() == [1]


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from(["ä", "b c", "油"]), JSON_VALUES), max_size=4))
def test_properties_come_back(suffix: str, rows: list[dict[str, JsonValue]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        write_features(path, [Feature(OUTLINE, row) for row in rows], ROTTERDAM)
        back = rows_of(path)
    assert len(back) == len(rows)
    for name in ("ä", "b c", "油"):
        values = [row.get(name) for row in rows]
        found = [row.get(name) for row in back]
        is_json = found != values
        assert [json.loads(v) if is_json and isinstance(v, str) else v for v in found] == values


@pytest.mark.parametrize(
    ("values", "kind", "column"),
    [
        ([True, None, False], pa.bool_(), [True, None, False]),
        ([1, None, -(2**63) + 1], pa.int64(), [1, None, -(2**63) + 1]),
        ([1, 2.5, None], pa.float64(), [1.0, 2.5, None]),
        ([2**63, 1], pa.string(), ["9223372036854775808", "1"]),
        ([2**53 + 1, 0.5], pa.string(), ["9007199254740993", "0.5"]),
        (["ö", None], pa.string(), ["ö", None]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["ö", 1], pa.string(), ['"ö"', "1"]),
        ([{"ö": [1, None]}, [2]], pa.string(), ['{"ö": [1, null]}', "[2]"]),
        ([None, None], pa.null(), [None, None]),
        ([], pa.null(), []),
    ],
)
def test_a_column_has_the_type_of_its_values(
    values: list[JsonValue], kind: pa.DataType, column: list[object]
) -> None:
    array = column_of(values)
    assert array.type == kind
    assert array.to_pylist() == column


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", [math.nan, math.inf, [math.nan], "\ud800", {"x": -math.inf}])
def test_what_json_cannot_hold_is_refused_with_the_row(
    tmp_path: Path, suffix: str, value: JsonValue
) -> None:
    rows = [Feature(OUTLINE, {"score": 0.5}), Feature(OUTLINE, {"score": value})]
    with pytest.raises(FeatureError, match="feature 1 has a property that JSON cannot hold"):
        write_features(tmp_path / f"x{suffix}", rows, ROTTERDAM)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "properties", "message"),
    [
        (".parquet", {"geometry": 1}, "'geometry' has the name of a column that GeoParquet keeps"),
        (".parquet", {"bbox": 1}, "'bbox' has the name of a column that GeoParquet keeps"),
        (".gpkg", {"FID": 1}, "'FID' has the name of another column of the GeoPackage"),
        (".gpkg", {"Name": 1, "name": 2}, "'name' has the name of another column"),
        (".gpkg", {"name": "a\0b"}, "NUL character"),
        (".geojson", {"": 1}, "feature 0 has a property without a name"),
    ],
)
def test_names_and_text_that_a_format_would_lose_are_refused(
    tmp_path: Path, suffix: str, properties: dict[str, JsonValue], message: str
) -> None:
    with pytest.raises(FeatureError, match=message) as caught:
        write_features(tmp_path / f"x{suffix}", [Feature(OUTLINE, properties)], ROTTERDAM)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_replaced_as_a_whole_or_stays_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    write_features(path, [Feature(OUTLINE, {"n": n}) for n in range(5)], ROTTERDAM)
    write_features(path, [Feature(OUTLINE, {"n": 7})], ROTTERDAM)
    assert read(path).n.tolist() == [7]
    before = path.read_bytes()

    def broken() -> Iterator[Feature]:
        yield Feature(OUTLINE, {"n": 8})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(path, broken(), ROTTERDAM)
    nowhere = GeoReference("EPSG:32631", (1e9, 0.0, 1e12, 0.0, -1e9, 1e12))
    out_crs = None if suffix == ".geojson" else "EPSG:4326"
    with pytest.raises(GeoError, match="does not reach"):
        write_features(path, [Feature(OUTLINE, {"n": 9})], nowhere, out_crs=out_crs)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".parquet", ".gpkg"])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", "EPSG:3857", "EPSG:4258", "OGC:CRS84"])
def test_features_in_another_crs_come_back_to_their_pixels(
    tmp_path: Path, suffix: str, crs: str
) -> None:
    path = tmp_path / f"x{suffix}"
    outline = MultiPolygon([box(0, 0, 4000, 2000) - box(100, 100, 200, 1500)])
    write_features(path, [Feature(outline, {}), Feature(None, {})], ROTTERDAM, out_crs=crs)
    back = read(path)
    assert back.crs.equals(crs, ignore_axis_order=True)
    assert stray(back_to_pixels(back.geometry[0], crs, ROTTERDAM), outline) <= 0.1


def test_the_raster_s_own_crs_by_another_name_changes_no_coordinate() -> None:
    rows = [Feature(OUTLINE, {})]
    plain = feature_table(rows, ROTTERDAM)["geometry"]
    named = feature_table(rows, ROTTERDAM, out_crs="urn:ogc:def:crs:EPSG::32631")["geometry"]
    assert plain == named


def test_geojson_lies_in_its_pixels_and_in_its_bbox(tmp_path: Path) -> None:
    place = GeoReference("EPSG:32601", (30.0, 10.0, 166021.0, 10.0, -30.0, 0.0))  # across 180
    path = tmp_path / "x.geojson"
    outlines = [outline_mask(MASK, (x, x)) for x in (0, 20, 400)]
    write_features(path, [Feature(outline, {"ö": "油"}) for outline in outlines], place)
    text = path.read_text(encoding="utf-8")
    assert "油" in text
    collection = json.loads(text)
    west, _, east, _ = collection["bbox"]
    assert west > 179 > -179 > east  # longitudes between them lie across the antimeridian
    for feature, outline in zip(collection["features"], outlines, strict=True):
        geometry = shape(feature["geometry"])
        assert stray(back_to_pixels(geometry, "EPSG:4326", place), outline) <= 0.1
        x = get_coordinates(geometry)[:, 0]
        assert ((x >= west) | (x <= east)).all()


def test_pixels_of_a_millimetre_keep_their_tenth(tmp_path: Path) -> None:
    place = GeoReference("EPSG:32631", (1e-3, 0.0, 593000.0, 0.0, -1e-3, 5750000.0))
    path = tmp_path / "x.geojson"
    write_features(path, [Feature(OUTLINE, {})], place)
    geometry = read(path).geometry[0]
    assert stray(back_to_pixels(geometry, "EPSG:4326", place), OUTLINE) <= 0.1


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match=r"'\.shp' names no kind of feature file. \.parquet"):
        suffix_of(tmp_path / "tanks.shp")
    with pytest.raises(FeatureError, match="GeoJSON is always in WGS 84"):
        write_features(tmp_path / "tanks.geojson", [], ROTTERDAM, out_crs="EPSG:3857")
    assert suffix_of(tmp_path / "TANKS.GPKG", "EPSG:3857") == ".gpkg"
