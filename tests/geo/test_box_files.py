"""Files of boxes as a GIS writes them."""

import json
from pathlib import Path

import geopandas
import pytest
from shapely import box, from_wkt

from skycue.errors import BoxError, GeoError
from skycue.geo.box_files import read_box_file, read_outlines
from skycue.geo.georeference import GeoReference

SIZE = (1000, 1000)
ROTTERDAM = GeoReference("EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0))
METRES = [box(593100, 5749900, 593200, 5749950), box(593000, 5749990, 593010, 5750000)]
PIXELS = [(200.0, 100.0, 400.0, 200.0), (0.0, 0.0, 20.0, 20.0)]


def frame(crs: str | None = "EPSG:32631", **columns: list[object]) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"note": ["a", "b"], **columns}, geometry=METRES, crs=crs)


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def feature(geometry: object, **members: object) -> dict[str, object]:
    return {"type": "Feature", "properties": {}, "geometry": geometry, **members}


SQUARE = {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]}


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326", "EPSG:28992"])
def test_boxes_of_every_format_and_crs_are_found(tmp_path: Path, suffix: str, crs: str) -> None:
    path = tmp_path / f"boxes{suffix}"
    table = frame(id=["tank", "shed"]).to_crs(crs)
    if suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_file(path, **({"RFC7946": "NO"} if suffix == ".geojson" else {}))
    placed = read_box_file(path, ROTTERDAM, SIZE)
    assert placed.refused == []
    assert [found.id for found in placed.boxes] == ["tank", "shed"]
    # a rectangle of the raster may lean in another CRS; its corners come back, and surround it
    for found, expected in zip(placed.boxes, PIXELS, strict=True):
        assert found.box == pytest.approx(expected, abs=0.02)


def test_without_ids_boxes_are_counted_and_a_missing_one_too(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "a.parquet")
    assert read_outlines(tmp_path / "a.parquet").ids == ["1", "2"]
    frame(id=[7, None]).to_parquet(tmp_path / "b.parquet")
    assert read_outlines(tmp_path / "b.parquet").ids == ["7", "2"]
    mixed = {
        "type": "FeatureCollection",
        "features": [feature(SQUARE, id=7), feature(SQUARE, properties={"id": "x"})],
    }
    assert read_outlines(write_json(tmp_path / "c.json", mixed)).ids == ["7", "x"]


def test_the_given_crs_counts_instead_of_the_one_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame(crs=None).to_parquet(path)
    with pytest.raises(BoxError, match=r"does not say its CRS: give it by --box-crs"):
        read_box_file(path, ROTTERDAM, SIZE)
    placed = read_box_file(path, ROTTERDAM, SIZE, crs="EPSG:32631")
    assert [found.box for found in placed.boxes] == PIXELS
    in_pixels = read_box_file(write_json(tmp_path / "b.geojson", SQUARE), None, SIZE, crs="pixels")
    assert in_pixels.boxes[0].box == (1.0, 1.0, 2.0, 2.0)


def test_geojson_cut_at_the_antimeridian_is_one_box_again(tmp_path: Path) -> None:
    date_line = GeoReference("EPSG:4326", (0.001, 0.0, 179.5, 0.0, -0.001, 1.0))
    halves = {
        "type": "MultiPolygon",
        "coordinates": [
            [[[179.9, 0.5], [180.0, 0.5], [180.0, 0.6], [179.9, 0.6], [179.9, 0.5]]],
            [[[-180.0, 0.5], [-179.9, 0.5], [-179.9, 0.6], [-180.0, 0.6], [-180.0, 0.5]]],
        ],
    }
    placed = read_box_file(write_json(tmp_path / "a.geojson", feature(halves)), date_line, SIZE)
    assert placed.boxes[0].box == pytest.approx((400, 400, 600, 500), abs=1e-6)


def test_each_feature_that_is_no_box_is_refused_and_the_others_used(tmp_path: Path) -> None:
    features = [
        feature(None),
        feature({"type": "Point", "coordinates": [1, 1]}),
        feature({"type": "Polygon", "coordinates": [[[1, 1], [2, float("nan")]]]}),
        feature({"type": "Polygon", "coordinates": "all"}),
        feature({"type": "Polygon", "coordinates": []}),
        feature(SQUARE),
        feature({"type": "LineString", "coordinates": [[1, 1], [9, 1]]}),
    ]
    path = write_json(tmp_path / "a.geojson", {"type": "FeatureCollection", "features": features})
    placed = read_box_file(path, None, SIZE, crs="pixels")
    assert [found.id for found in placed.boxes] == ["6"]
    reasons = [refused.reason for refused in placed.refused]
    for reason, said in zip(
        reasons,
        [
            "no geometry",
            "Point without an area",
            "cannot be read",
            "cannot be read",
            "no geometry",
            "LineString without an area",
        ],
        strict=True,
    ):
        assert said in reason
        assert "\n" not in reason


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.geojson", b"{", "not JSON"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}', "holds no features"),
        ("a.geojson", b'{"type": "FeatureCollection", "features": 5}', "not a list of objects"),
        ("a.geojson", b"[" * 100_000, "not JSON"),
        ("a.gpkg", b"<OGRVRTDataSource></OGRVRTDataSource>", "not a GeoPackage"),
        ("a.parquet", b"PAR1 and no more", "cannot read boxes from"),
        ("a.parquet", b"{}", "not a Parquet file"),
        ("a.shp", b"", "its name ends in none of"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BoxError, match=message) as caught:
        read_box_file(tmp_path / name, ROTTERDAM, SIZE)
    assert "\n" not in str(caught.value)


def test_missing_files_equal_ids_and_unknown_systems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BoxError, match=r"gone\.gpkg: no such file"):
        read_outlines(tmp_path / "gone.gpkg")
    frame(id=["a", "a"]).to_parquet(tmp_path / "twice.parquet")
    with pytest.raises(BoxError, match=r"2 boxes of .* have the id 'a'"):
        read_outlines(tmp_path / "twice.parquet")
    odd = {**feature(SQUARE), "crs": {"type": "name", "properties": {"name": "EPSG:0"}}}
    with pytest.raises(GeoError, match="no coordinate reference system 'EPSG:0'"):
        read_box_file(write_json(tmp_path / "odd.geojson", odd), ROTTERDAM, SIZE)
    with pytest.raises(BoxError, match="cannot read the CRS"):
        read_outlines(write_json(tmp_path / "b.geojson", {**feature(SQUARE), "crs": "EPSG:4326"}))


def test_a_cut_off_geopackage_and_json_of_something_else_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.gpkg"
    frame().to_file(path)
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(BoxError, match=r"cannot read boxes from .*cut\.gpkg: damaged") as caught:
        read_outlines(path)
    assert "\n" not in str(caught.value)
    numbers = read_box_file(write_json(tmp_path / "a.json", [1, 2]), ROTTERDAM, SIZE)
    assert "its geometry cannot be read" in numbers.refused[0].reason


def test_two_layers_are_not_guessed_between(tmp_path: Path) -> None:
    path = tmp_path / "two.gpkg"
    frame().to_file(path, layer="tanks")
    frame().to_file(path, layer="sheds")
    with pytest.raises(BoxError, match=r"holds 2 layers with geometries \(tanks, sheds\)"):
        read_outlines(path)


def test_an_outline_of_many_corners_becomes_the_box_around_it(tmp_path: Path) -> None:
    star = from_wkt("POLYGON ((10 10, 20 40, 50 50, 20 60, 10 90, 0 50, 10 10))")
    geopandas.GeoDataFrame(geometry=[star], crs=None).to_parquet(tmp_path / "star.parquet")
    placed = read_box_file(tmp_path / "star.parquet", None, SIZE, crs="pixels")
    assert placed.boxes[0].box == (0.0, 10.0, 50.0, 90.0)
