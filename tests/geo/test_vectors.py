"""Outlines to RFC 7946 features."""

from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.warp import transform
from shapely.geometry import Polygon, shape

from skycue.errors import GeoError
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask
from skycue.geo.vectors import bbox_json, feature_json

ROTTERDAM = GeoReference("EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0))

Mask = NDArray[np.bool_]


def filled(size: tuple[int, int], *rectangles: tuple[int, int, int, int]) -> Mask:
    """Return a mask with rectangles x_min, y_min, x_max, y_max."""
    mask = np.zeros(size, dtype=np.bool_)
    for x_min, y_min, x_max, y_max in rectangles:
        mask[y_min:y_max, x_min:x_max] = True
    return mask


def feature(mask: Mask, place: GeoReference) -> dict[str, object]:
    """Return the one feature of a mask."""
    return cast(dict[str, object], feature_json(outline_mask(mask), {}, place)[0])


def test_corners_are_longitude_and_latitude_to_a_millimetre() -> None:
    only = feature(filled((10, 10), (2, 3, 6, 8)), ROTTERDAM)
    ring = np.array(cast(dict[str, list[object]], only["geometry"])["coordinates"][0])
    x, y = [593001.0, 593003.0], [5749998.5, 5749996.0]  # pixels 2 and 6, 3 and 8
    lon, lat = transform(
        "EPSG:32631", "EPSG:4326", [x[0], x[1], x[1], x[0]], [y[0]] * 2 + [y[1]] * 2
    )
    expected = np.stack([lon, lat], axis=1)
    gaps = np.abs(ring[None, :-1] - expected[:, None]).max(axis=2).min(axis=1)
    assert len(ring) == 5
    assert gaps.max() <= 0.51e-8
    assert only["bbox"] == pytest.approx([min(lon), min(lat), max(lon), max(lat)], abs=1e-8)
    assert 4.3 < ring[0, 0] < 4.4  # longitude first: Rotterdam lies at 4.35 E, 51.9 N
    assert 51.8 < ring[0, 1] < 52.0


def test_rings_follow_the_right_hand_rule_and_holes_run_the_other_way() -> None:
    mask = filled((12, 12), (1, 1, 10, 10)) & ~filled((12, 12), (4, 4, 6, 6))
    coordinates = cast(dict[str, list[list[list[float]]]], feature(mask, ROTTERDAM)["geometry"])
    outer, hole = (Polygon(ring).exterior for ring in coordinates["coordinates"])
    assert outer.is_ccw
    assert not hole.is_ccw


def test_a_feature_across_the_antimeridian_is_cut_there() -> None:
    place = GeoReference("EPSG:4326", (0.25, 0.0, 179.0, 0.0, -0.25, 10.0))
    only = feature(filled((8, 8), (2, 2, 6, 6)), place)  # 179.5 E to 179.5 W
    geometry = shape(only["geometry"])
    assert geometry.geom_type == "MultiPolygon"
    assert sorted(part.bounds for part in geometry.geoms) == [
        (-180.0, 8.5, -179.5, 9.5),
        (179.5, 8.5, 180.0, 9.5),
    ]
    assert only["bbox"] == [179.5, 8.5, -179.5, 9.5]


def test_a_feature_at_the_antimeridian_s_edge_is_not_cut() -> None:
    globe = GeoReference("EPSG:4326", (10.0, 0.0, -180.0, 0.0, -10.0, 90.0))
    only = feature(filled((18, 36), (34, 0, 36, 18)), globe)
    assert shape(only["geometry"]).bounds == (160.0, -90.0, 180.0, 90.0)
    assert only["bbox"] == [160.0, -90.0, 180.0, 90.0]
    whole = feature(np.ones((18, 36), dtype=np.bool_), globe)
    assert whole["bbox"] == [-180.0, -90.0, 180.0, 90.0]


def test_the_box_of_many_features_may_cross_the_antimeridian() -> None:
    place = GeoReference("EPSG:4326", (0.25, 0.0, 179.0, 0.0, -0.25, 10.0))
    left, right = filled((8, 8), (0, 0, 2, 2)), filled((8, 8), (6, 6, 8, 8))
    extents = [feature_json(outline_mask(mask), {}, place)[1] for mask in (left, right)]
    assert bbox_json([*extents[0], *extents[1]]) == [179.0, 8.0, -179.0, 10.0]


@pytest.mark.parametrize(
    ("spans", "span"),
    [
        ([(10, 20)], (10, 20)),
        ([(-180, -179), (179, 180)], (179, -179)),
        ([(-180, 180), (3, 4)], (-180, 180)),
        ([(-10, -5), (5, 10), (-7, 0)], (-10, 10)),
        ([(-100, -90), (100, 110)], (100, -90)),  # 160 degrees across, 210 the other way
        ([(-120, -90), (0, 10), (90, 120)], (-120, 120)),
        ([(-60, -50), (-20, 179), (-179, -100)], (-60, -100)),
    ],
)
def test_an_extent_is_the_smallest_way_round(
    spans: list[tuple[float, float]], span: tuple[float, float]
) -> None:
    extents = [(west, 0.0, east, 1.0) for west, east in spans]
    assert bbox_json(extents) == [span[0], 0.0, span[1], 1.0]


def test_nothing_and_an_empty_mask_have_no_geometry() -> None:
    empty = outline_mask(np.zeros((4, 4), dtype=np.bool_))
    for outline in (None, empty):
        assert feature_json(outline, {"number": 1}, ROTTERDAM) == (
            {"type": "Feature", "properties": {"number": 1}, "geometry": None},
            [],
        )


def test_a_long_edge_follows_its_bend() -> None:
    place = GeoReference("EPSG:3035", (1000.0, 0.0, 3900000.0, 0.0, -1000.0, 3300000.0))
    geometry = shape(feature(filled((400, 400), (0, 0, 400, 400)), place)["geometry"])
    x, y = transform("EPSG:3035", "EPSG:4326", [3900000.0 + 200000.0], [3300000.0])
    edge = geometry.boundary.distance(shape({"type": "Point", "coordinates": (x[0], y[0])}))
    assert edge * 111_000 < 100.0  # metres, of pixels of a kilometre


def test_a_crs_without_a_way_to_the_ground_is_refused_in_one_line() -> None:
    local = 'LOCAL_CS["site grid",UNIT["metre",1]]'
    with pytest.raises(GeoError, match="is not tied to the Earth") as caught:
        feature(np.ones((2, 2), dtype=np.bool_), GeoReference(local, ROTTERDAM.transform))
    assert "\n" not in str(caught.value)
    far = GeoReference("EPSG:32631", (1e9, 0.0, 1e12, 0.0, -1e9, 1e12))
    with pytest.raises(GeoError, match="does not reach"):
        feature(np.ones((2, 2), dtype=np.bool_), far)
    with pytest.raises(GeoError, match="no coordinate reference system"):
        feature(np.ones((2, 2), dtype=np.bool_), GeoReference("EPSG:1", ROTTERDAM.transform))
