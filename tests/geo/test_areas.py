"""Areas on the ground against numbers worked out by hand and against PROJ's geodesics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from shapely import MultiPolygon, box, get_coordinates, segmentize

from skycue.geo.areas import area_m2, gsd_m
from skycue.geo.georeference import GeoReference

EARTH_M2 = 510065621724089.0  # of the WGS 84 ellipsoid, as GeographicLib's Planimeter has it
GLOBE = GeoReference("EPSG:4326", (1.0, 0.0, -180.0, 0.0, -1.0, 90.0))
UTM = GeoReference("EPSG:32631", (0.5, 0.0, 500000.0, 0.0, -0.5, 5750000.0))


def square(x_min: float, y_min: float, x_max: float, y_max: float) -> MultiPolygon:
    """Return a rectangle in pixels."""
    return MultiPolygon([box(x_min, y_min, x_max, y_max)])


def geodesic_area(outline: MultiPolygon, place: GeoReference) -> float:
    """Return the area within geodesics between many corners, by GeographicLib inside PROJ."""
    dense = segmentize(outline, outline.length / 4000)
    to_degrees = Transformer.from_crs(place.crs, "EPSG:4326", always_xy=True)
    longitudes, latitudes = to_degrees.transform(*place.to_map(get_coordinates(dense)).T)
    return abs(Geod(ellps="WGS84").polygon_area_perimeter(longitudes, latitudes)[0])


def test_the_globe_has_the_area_of_the_earth() -> None:
    assert area_m2(square(0, 0, 360, 180), GLOBE) == pytest.approx(EARTH_M2, rel=1e-12)
    assert area_m2(square(30, 0, 60, 90), GLOBE) == pytest.approx(EARTH_M2 / 24, rel=1e-12)


def test_on_the_central_meridian_of_utm_pixels_are_larger_than_they_say() -> None:
    area = area_m2(square(0, 0, 2, 2), UTM)  # 1 m2 in the projection, whose scale is 0.9996 there
    assert area == pytest.approx(1 / 0.9996**2, rel=1e-7)


def test_in_web_mercator_pixels_are_as_much_too_large_as_latitude_makes_them() -> None:
    y = 8399737.889818357  # 60 degrees north
    place = GeoReference("EPSG:3857", (1.0, 0.0, 1e6, 0.0, -1.0, y + 50))
    area = area_m2(square(0, 0, 100, 100), place)
    e2 = 0.00669437999014
    stretch = (1 - e2 * 0.75) ** 2 / (1 - e2)  # a^2 over the product of the radii of curvature
    assert area == pytest.approx(10000 * 0.25 / stretch, rel=2e-5)
    assert area_m2(MultiPolygon(), place) == 0.0


@pytest.mark.parametrize(
    "place",
    [
        UTM,
        GeoReference("EPSG:32601", (300.0, 100.0, 166021.0, 100.0, -300.0, 0.0)),  # across 180
        GeoReference("EPSG:3413", (25e3, 0.0, -1e6, 0.0, -25e3, 1e6)),  # around the pole
        GeoReference("EPSG:3031", (1000.0, 0.0, -20e3, 0.0, -1000.0, 20e3)),
        GeoReference("EPSG:3035", (1000.0, 0.0, 4e6, 0.0, 1000.0, 3e6)),  # south-up
    ],
    ids=lambda place: place.crs,
)
@settings(max_examples=20, deadline=None)
@given(
    x=st.integers(0, 79), y=st.integers(0, 79), width=st.integers(1, 80), height=st.integers(1, 80)
)
def test_areas_are_those_within_geodesics(
    place: GeoReference, x: int, y: int, width: int, height: int
) -> None:
    outline = square(x, y, x + width, y + height)
    strays = 0.02 * outline.length / outline.area  # the share that edges may add or take
    assert area_m2(outline, place) == pytest.approx(geodesic_area(outline, place), rel=strays)


def test_an_equal_area_crs_agrees_with_its_own_plane() -> None:
    place = GeoReference("EPSG:3035", (10.0, 0.0, 4321000.0, 0.0, -10.0, 3210000.0))
    outline = MultiPolygon([box(0, 0, 100, 100) - box(20, 20, 50, 40)])
    assert area_m2(outline, place) == pytest.approx((10000 - 600) * 100.0, rel=1e-6)
    assert np.isfinite(area_m2(outline, place))


@pytest.mark.parametrize("side", [360, 361, 364, 400, 380])
def test_the_sampling_distance_at_a_pole_is_that_of_the_projection(side: int) -> None:
    place = GeoReference("EPSG:3413", (1000.0, 0.0, -180e3, 0.0, -1000.0, 180e3))  # pole: 180, 180
    # Polar stereographic, true at 70 degrees: Snyder's equations 21-35 with 14-15 and 15-9 for a
    # point at the pole, its scale is m_c * sqrt((1 + e)^(1 + e) * (1 - e)^(1 - e)) / (2 * t_c).
    e, latitude = 0.0818191908426, np.radians(70)
    sine = e * np.sin(latitude)
    m = np.cos(latitude) / np.sqrt(1 - sine**2)
    t = np.tan(np.pi / 4 - latitude / 2) / ((1 - sine) / (1 + sine)) ** (e / 2)
    scale = m * np.sqrt((1 + e) ** (1 + e) * (1 - e) ** (1 - e)) / (2 * t)
    assert gsd_m(place, (side, side)) == pytest.approx(1000 / scale, rel=5e-3)


def test_the_sampling_distance_is_the_side_of_a_square_as_large_as_the_middle_pixel() -> None:
    assert gsd_m(UTM, (10, 20)) == pytest.approx(0.5 / 0.9996, rel=1e-6)
    turned = GeoReference("EPSG:32631", (0.3, 0.4, 500000.0, 0.4, -0.3, 5750000.0))
    assert gsd_m(turned, (11, 21)) == pytest.approx(0.5 / 0.9996, rel=1e-6)
