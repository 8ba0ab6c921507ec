"""Boxes in any CRS on rasters of any place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skycue.errors import BoxError, GeoError
from skycue.geo.box_places import place_boxes
from skycue.geo.crs import reproject
from skycue.geo.georeference import GeoReference

SIZE = (1000, 1000)
ROTTERDAM = GeoReference("EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0))
DATE_LINE = GeoReference("EPSG:4326", (0.001, 0.0, 179.5, 0.0, -0.001, 1.0))
GLOBE = GeoReference("EPSG:4326", (1.0, 0.0, -180.0, 0.0, -1.0, 90.0))
ARCTIC = GeoReference("EPSG:3995", (10000.0, 0.0, -5e6, 0.0, -10000.0, 5e6))


def one(
    box: tuple[float, ...], crs: str, place: GeoReference | None, size: tuple[int, int] = SIZE
) -> tuple[float, ...]:
    """Place one box that can be used."""
    placed = place_boxes([box], crs, place, size)
    assert placed.refused == []
    return placed.boxes[0].box


def refusal(box: tuple[float, ...], crs: str, place: GeoReference | None) -> str:
    """Place one box that cannot be used."""
    placed = place_boxes([box], crs, place, SIZE)
    assert placed.boxes == []
    assert "\n" not in placed.refused[0].reason
    return placed.refused[0].reason


def test_a_box_in_the_crs_of_the_raster_is_found_by_hand() -> None:
    # 0.5 m a pixel: 100 m east of the left edge is pixel 200, 50 m south of the upper one is 100
    box = (593100.0, 5749900.0, 593200.0, 5749950.0)
    assert one(box, "EPSG:32631", ROTTERDAM) == (200.0, 100.0, 400.0, 200.0)


def test_longitude_comes_first_whatever_the_crs_says() -> None:
    corners = np.array([[200.0, 100.0], [400.0, 200.0]])
    (west, north), (east, south) = reproject(ROTTERDAM.to_map(corners), "EPSG:32631", "EPSG:4326")
    assert 4.3 < west < 4.4
    assert 51.8 < south < 51.9
    # the box stands straight in degrees and so leans by 1.1 degrees on the raster
    assert one((west, south, east, north), "EPSG:4326", ROTTERDAM) == pytest.approx(
        (200, 100, 400, 200), abs=5.0
    )
    assert "lies outside the raster of 1000 x 1000 pixels" in refusal(
        (south, west, north, east), "EPSG:4326", ROTTERDAM
    )


@settings(max_examples=60, deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    flipped=st.booleans(),
    gsd=st.floats(0.1, 100.0),
    middle=st.tuples(st.floats(-3.0, 3.0), st.floats(-75.0, 75.0)),
    corner=st.tuples(st.floats(0.3, 0.5), st.floats(0.3, 0.5)),
    extent=st.tuples(st.floats(0.01, 0.2), st.floats(0.01, 0.2)),
)
def test_a_pixel_box_surrounds_its_box_in_degrees_tightly(
    angle: float,
    flipped: bool,
    gsd: float,
    middle: tuple[float, float],
    corner: tuple[float, float],
    extent: tuple[float, float],
) -> None:
    centre = reproject(np.array([middle]), "EPSG:4326", "EPSG:32631")[0]
    c, s, sign = gsd * np.cos(angle), gsd * np.sin(angle), 1.0 if flipped else -1.0
    offset = np.array([[c, s * sign], [s, -c * sign]]) @ np.array([500.0, 500.0])
    place = GeoReference(
        "EPSG:32631",
        (c, s * sign, centre[0] - offset[0], s, -c * sign, centre[1] - offset[1]),
    )
    inner = np.array([corner, np.add(corner, extent)]) * 1000
    degrees = reproject(place.to_map(inner), "EPSG:32631", "EPSG:4326")
    (west, south), (east, north) = degrees.min(axis=0), degrees.max(axis=0)
    # the same by brute force: a thousand points on each edge
    along = np.linspace(0.0, 1.0, 1001)
    x, y = west + (east - west) * along, south + (north - south) * along
    edges = [np.stack(pair, axis=1) for level in (south, north) for pair in [(x, x * 0 + level)]]
    edges += [np.stack([y * 0 + level, y], axis=1) for level in (west, east)]
    points = place.to_pixels(reproject(np.concatenate(edges), "EPSG:4326", "EPSG:32631"))
    expected = np.clip([*points.min(axis=0), *points.max(axis=0)], 0, 1000)
    np.testing.assert_allclose(
        one((west, south, east, north), "EPSG:4326", place), expected, atol=0.1
    )


@pytest.mark.parametrize(
    "box", [(179.9, 0.5, -179.9, 0.6), (179.9, 0.5, 180.1, 0.6), (-180.1, 0.5, -179.9, 0.6)]
)
def test_a_box_across_the_antimeridian_has_three_spellings(box: tuple[float, ...]) -> None:
    assert one(box, "EPSG:4326", DATE_LINE) == pytest.approx((400, 400, 600, 500), abs=1e-6)


def test_a_box_across_the_antimeridian_lies_well_on_a_raster_in_metres() -> None:
    zone_60 = GeoReference("EPSG:32660", (100.0, 0.0, 813000.0, 0.0, -100.0, 50000.0))
    west, east = (
        one((179.9, -0.2, 180.0, 0.2), "EPSG:4326", zone_60),
        one((-180.0, -0.2, -179.9, 0.2), "EPSG:4326", zone_60),
    )
    both = one((179.9, -0.2, -179.9, 0.2), "EPSG:4326", zone_60)
    assert both == pytest.approx((west[0], min(west[1], east[1]), east[2], max(west[3], east[3])))
    assert both[2] - both[0] == pytest.approx(0.2 * 111_320 / 100, rel=0.01)


def test_a_box_that_the_raster_shows_at_both_ends_or_tears_is_refused() -> None:
    at_both = place_boxes([(179.0, -5.0, -179.0, 5.0)], "EPSG:4326", GLOBE, (180, 360))
    assert "meets the raster at both ends of its turn" in at_both.refused[0].reason
    mercator = GeoReference("EPSG:3857", (100.0, 0.0, 19937508.0, 0.0, -100.0, 50000.0))
    torn = refusal((178.0, -0.2, -178.0, 0.2), "EPSG:4326", mercator)
    assert "crosses the edge of the map of the raster's CRS EPSG:3857" in torn
    assert one((179.5, -0.2, 180.0, 0.2), "EPSG:4326", mercator)[2] == 1000.0


def test_the_whole_earth_is_the_whole_raster() -> None:
    for place, size in ((GLOBE, (180, 360)), (DATE_LINE, SIZE)):
        assert one((-180.0, -90.0, 180.0, 90.0), "EPSG:4326", place, size) == (
            *(0.0, 0.0),
            *(float(size[1]), float(size[0])),
        )


def test_a_cap_around_the_pole_is_a_square_on_a_polar_map_and_refused_in_degrees() -> None:
    cap = one((-180.0, 80.0, 180.0, 90.0), "EPSG:4326", ARCTIC)
    radius = abs(reproject(np.array([[0.0, 80.0]]), "EPSG:4326", "EPSG:3995")[0, 1]) / 10000
    assert cap == pytest.approx((500 - radius, 500 - radius, 500 + radius, 500 + radius))
    around_pole = place_boxes([(-1e6, -1e6, 1e6, 1e6)], "EPSG:3995", GLOBE, (180, 360))
    assert "encloses a pole" in around_pole.refused[0].reason


def test_each_box_is_used_or_refused_under_its_id() -> None:
    boxes = [(5.0, 5.0, 2000.0, 20.0), (1500.0, 5.0, 1600.0, 20.0), (10.0, 10.0, 20.0, 20.0)]
    placed = place_boxes(boxes, "pixels", None, SIZE, ids=["a", "b", "c"])
    assert [(box.id, box.box) for box in placed.boxes] == [
        ("a", (5.0, 5.0, 1000.0, 20.0)),
        ("c", (10.0, 10.0, 20.0, 20.0)),
    ]
    assert [box.id for box in placed.refused] == ["b"]
    assert placed.refused[0].reason.startswith("box b [1500, 5, 1600, 20] lies outside the image")
    assert place_boxes([], "EPSG:4326", ROTTERDAM, SIZE) == ([], [])


@pytest.mark.parametrize(
    ("box", "crs", "message"),
    [
        ((4.3, 51.0, 4.2, float("nan")), "EPSG:4326", "holds a number that is not finite"),
        ((4.3, 51.0, float("inf"), 52.0), "EPSG:4326", "holds a number that is not finite"),
        ((4.3, 52.0, 4.4, 51.0), "EPSG:4326", "has no area: y_max must exceed y_min"),
        ((4.3, 51.0, 4.3, 52.0), "EPSG:4326", "has no area: x_max must exceed x_min"),
        ((5e5, 5e6, 4e5, 6e6), "EPSG:32631", "has no area: x_max must exceed x_min"),
        ((4.3, 51.0, 4.4), "EPSG:4326", "has 3 numbers, not 4"),
        ((200.0, 1.0, -200.0, 2.0), "EPSG:4326", "more than a turn of 360 degrees"),
        ((4.3, 89.0, 4.4, 95.0), "EPSG:4326", "does not reach all of it"),
        ((170.0, 10.0, 175.0, 20.0), "EPSG:4326", "lies outside the raster"),
    ],
)
def test_what_is_no_box_is_one_line(box: tuple[float, ...], crs: str, message: str) -> None:
    reason = refusal(box, crs, ROTTERDAM)
    assert message in reason
    assert reason.startswith("box 1: ")


def test_a_raster_without_a_place_takes_pixels_only() -> None:
    with pytest.raises(BoxError, match=r"EPSG:4326 cannot be put on a raster without a place"):
        place_boxes([(1.0, 2.0, 3.0, 4.0)], "EPSG:4326", None, SIZE)
    assert one((1.0, 2.0, 3.0, 4.0), "Pixels", ROTTERDAM) == (1.0, 2.0, 3.0, 4.0)


def test_an_unknown_crs_is_named() -> None:
    with pytest.raises(GeoError, match="no coordinate reference system 'EPSG:0': give one that"):
        place_boxes([(1.0, 2.0, 3.0, 4.0)], "EPSG:0", ROTTERDAM, SIZE)


def test_degrees_that_are_taken_for_pixels_are_refused() -> None:
    degrees = (4.3542, 51.8946, 4.3552, 51.8951)
    reason = refusal(degrees, "pixels", ROTTERDAM)
    assert reason.startswith("box 1 [4.3542, 51.8946, 4.3552, 51.8951] is under one pixel wide")
    assert "--box-crs EPSG:4326" in reason
    assert one((1.5, 2.0, 2.5, 3.0), "pixels", ROTTERDAM) == (1.5, 2.0, 2.5, 3.0)
    assert one((-9.5, 2.0, 0.5, 3.0), "pixels", ROTTERDAM) == (0.0, 2.0, 0.5, 3.0)


def test_a_box_named_box_is_called_once() -> None:
    placed = place_boxes([(500.0, 2.0, 500.0, 4.0)], "pixels", None, SIZE, ids=["box"])
    assert placed.refused[0].reason.startswith("box: [500, 2, 500, 4] has no area")
