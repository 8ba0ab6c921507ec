"""Outlines in pixels to other CRSs and back, at the places where longitudes jump."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from shapely import MultiPolygon, box, get_coordinates
from shapely.affinity import translate

from skycue.errors import GeoError
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask
from skycue.geo.placing import outline_in_degrees, place_outline
from tests.geo.back_to_pixels import back_to_pixels, stray

MAX_STRAY = 0.1  # pixels, the bar of the project
MERCATOR_TURN = 2 * 20037508.342789244

ARCTIC = GeoReference("EPSG:3413", (25000.0, 0.0, -3850000.0, 0.0, -25000.0, 5850000.0))
ARCTIC_POLE = (154, 234)  # 3850000 / 25000, 5850000 / 25000
ANTARCTIC = GeoReference("EPSG:3031", (1000.0, 0.0, -3000000.0, 0.0, -1000.0, 3000000.0))
ANTARCTIC_POLE = (3000, 3000)

PLACES = {
    "utm": GeoReference("EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0)),
    "south-up": GeoReference("EPSG:32733", (10.0, 0.0, 300000.0, 0.0, 10.0, 6000000.0)),
    "rotated": GeoReference("EPSG:32631", (8.0, 6.0, 593000.0, 6.0, -8.0, 5750000.0)),
    "mirrored and sheared": GeoReference("EPSG:3035", (-900.0, 300.0, 4e6, 100.0, 700.0, 3e6)),
    "utm across 180": GeoReference("EPSG:32601", (30.0, 10.0, 166021.0, 10.0, -30.0, 0.0)),
    "pacific mercator": GeoReference("EPSG:3832", (900.0, 0.0, 3337000.0, 0.0, -900.0, -2e6)),
    "degrees across 180": GeoReference("EPSG:4326", (0.1, 0.0, 179.7, 0.0, -0.1, 66.0)),
    "far north": GeoReference("EPSG:3413", (100.0, 0.0, -400.0, 0.0, -100.0, 400.0)),
    "far south": GeoReference("EPSG:3031", (50.0, 20.0, -350.0, 20.0, -50.0, 150.0)),
    "kilometres of Europe": GeoReference("EPSG:3035", (25e3, 0.0, 3.5e6, 0.0, -25e3, 4e6)),
    "another datum": GeoReference("EPSG:27700", (5.0, 0.0, 400000.0, 0.0, -5.0, 300000.0)),
}


def square(x_min: float, y_min: float, x_max: float, y_max: float) -> MultiPolygon:
    """Return a rectangle in pixels."""
    return MultiPolygon([box(x_min, y_min, x_max, y_max)])


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@settings(max_examples=25, deadline=None)
@given(
    mask=arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any),
    scale=st.sampled_from([1, 1, 40]),
)
def test_degrees_brought_back_stray_less_than_a_tenth_of_a_pixel(
    place: GeoReference, mask: NDArray[np.bool_], scale: int
) -> None:
    if "3413" in place.crs or "3031" in place.crs:
        scale = 1
    outline = outline_mask(np.kron(mask, np.ones((scale, scale), dtype=np.bool_)))
    degrees = outline_in_degrees(outline, place)
    assert degrees.is_valid
    longitudes, latitudes = get_coordinates(degrees).T
    assert np.abs(longitudes).max() <= 180
    assert np.abs(latitudes).max() <= 90
    turn = 360.0 if place.crs == "EPSG:4326" else None
    back = back_to_pixels(degrees, "EPSG:4326", place, turn=turn)
    assert stray(back, outline) <= MAX_STRAY
    assert abs(back.area - outline.area) <= 0.03 * outline.length


@pytest.mark.parametrize(
    "outline",
    [
        square(-50, -30, 50, 60),  # the pole inside
        square(0, 0, 46, 66),  # at a corner
        square(-54, -34, 0, 0),  # at the opposite corner
        square(0, -34, 46, 66),  # on an edge
        square(-1, -1, 1, 1),  # four pixels around it
        MultiPolygon([box(-54, -34, 46, 66) - box(-4, -4, 6, 6)]),  # in a hole
        MultiPolygon([box(-54, -34, 46, 66) - box(0, 0, 6, 6)]),  # at a hole's corner
        MultiPolygon([box(-54, -34, 0, 0), box(0, 0, 46, 66)]),  # where two touch
    ],
)
@pytest.mark.parametrize(
    ("place", "pole"), [(ARCTIC, ARCTIC_POLE), (ANTARCTIC, ANTARCTIC_POLE)], ids=["north", "south"]
)
@pytest.mark.parametrize("step", [(0.0, 0.0), (0.5, 0.25), (0.0, 0.5), (1e-4, -1e-4)])
def test_outlines_at_a_pole_come_back(
    outline: MultiPolygon,
    place: GeoReference,
    pole: tuple[int, int],
    step: tuple[float, float],
) -> None:
    beside = translate(outline, pole[0] + step[0], pole[1] + step[1])
    degrees = outline_in_degrees(beside, place)
    assert degrees.is_valid
    assert stray(back_to_pixels(degrees, "EPSG:4326", place), beside) <= MAX_STRAY


def test_a_polygon_around_a_pole_is_closed_through_the_pole() -> None:
    degrees = outline_in_degrees(square(153, 233, 155, 235), ARCTIC)
    (part,) = degrees.geoms
    assert part.bounds[0] == -180
    assert part.bounds[2:] == (180, 90)
    assert box(-180, 89.9, 180, 90).within(part)  # 25 km are 0.22 degrees
    south = outline_in_degrees(square(2999, 2999, 3001, 3001), ANTARCTIC)
    assert south.bounds[1] == -90


@pytest.mark.parametrize(
    ("crs", "bounds"),
    [
        ("EPSG:3857", (-20037508.342789244, 20037508.342789244)),
        ("EPSG:3832", (3339584.0, 3659554.0)),
    ],
)
def test_in_a_projected_crs_the_edge_of_the_world_cuts_too(
    crs: str, bounds: tuple[float, float]
) -> None:
    place = PLACES["utm across 180"]
    outline = square(0, 0, 8000, 8000)
    placed = place_outline(outline, place, crs)
    assert (placed.bounds[0], placed.bounds[2]) == pytest.approx(bounds, abs=1.0)
    assert len(placed.geoms) == (2 if crs == "EPSG:3857" else 1)
    assert stray(back_to_pixels(placed, crs, place), outline) <= MAX_STRAY


def test_a_raster_that_runs_on_beyond_the_edge_of_its_own_crs() -> None:
    place = GeoReference("EPSG:3857", (10000.0, 0.0, 19000000.0, 0.0, -10000.0, 1000000.0))
    outline = square(50, 0, 200, 100)  # x from 19,500,000 to 21,000,000, where 180 E is 20,037,508
    degrees = outline_in_degrees(outline, place)
    assert [part.bounds[0] for part in degrees.geoms].count(-180) == 1
    back = back_to_pixels(degrees, "EPSG:4326", place, turn=MERCATOR_TURN)
    assert stray(back, outline) <= MAX_STRAY


def test_a_globe_of_0_to_360_degrees_is_the_globe_of_minus_180_to_180() -> None:
    globe = GeoReference("EPSG:4326", (1.0, 0.0, 0.0, 0.0, -1.0, 90.0))
    assert outline_in_degrees(square(0, 0, 360, 180), globe).equals(box(-180, -90, 180, 90))
    east = outline_in_degrees(square(170, 10, 190, 20), globe)
    assert sorted(part.bounds for part in east.geoms) == [
        (-180, 70, -170, 80),
        (170, 70, 180, 80),
    ]


def test_in_its_own_crs_coordinates_are_those_of_the_geotransform() -> None:
    place = GeoReference("EPSG:32631", (0.3, 0.1, 593000.1, 0.1, -0.3, 5750000.7))
    corner = (7.0, 11.0)
    expected = (0.3 * 7.0 + 0.1 * 11.0 + 593000.1, 0.1 * 7.0 + -0.3 * 11.0 + 5750000.7)
    for size in (1, 2, 5):
        placed = place_outline(square(*corner, 7 + size, 11 + size), place, "EPSG:32631")
        assert expected in {tuple(point) for point in get_coordinates(placed)}
        assert placed.geoms[0].exterior.is_ccw
    wkt = "+proj=utm +zone=31 +datum=WGS84 +type=crs"
    same = place_outline(square(*corner, 9, 13), GeoReference(wkt, place.transform), wkt)
    assert expected in {tuple(point) for point in get_coordinates(same)}


@pytest.mark.parametrize(
    ("place", "outline", "crs", "message"),
    [
        (ANTARCTIC, square(0, 0, 6000, 6000), "EPSG:3857", "the edge of the world in the CRS"),
        (ANTARCTIC, square(0, 0, 1, 1), "EPSG:4807", "is not in degrees"),
        (ANTARCTIC, square(0, 0, 1, 1), "EPSG:99999", "no coordinate reference system"),
        (
            GeoReference("+proj=laea +lat_0=0 +lon_0=0", (1e5, 0.0, -2e6, 0.0, -1e5, 9.5e6)),
            square(0, 0, 40, 190),
            "EPSG:4326",
            "both poles or all of the Earth",
        ),
        (
            GeoReference("EPSG:32631", (1e9, 0.0, 1e12, 0.0, -1e9, 1e12)),
            square(0, 0, 2, 2),
            "EPSG:4326",
            "does not reach",
        ),
        (
            GeoReference('LOCAL_CS["site",UNIT["metre",1]]', ANTARCTIC.transform),
            square(0, 0, 2, 2),
            "EPSG:4326",
            "not tied to the Earth",
        ),
    ],
)
def test_what_cannot_be_placed_is_refused_in_one_line(
    place: GeoReference, outline: MultiPolygon, crs: str, message: str
) -> None:
    with pytest.raises(GeoError, match=message) as caught:
        place_outline(outline, place, crs)
    assert "\n" not in str(caught.value)
