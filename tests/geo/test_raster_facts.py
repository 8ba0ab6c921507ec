"""What a viewer is told of where a raster lies."""

from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from skycue.geo.raster_facts import RasterFacts, facts_of
from tests.made_up_rasters import write_tiff


def facts_at(folder: Path, crs: str, transform: Affine) -> RasterFacts:
    pixels = np.full((3, 40, 60), 9, dtype=np.uint8)
    return facts_of(write_tiff(folder / "scene.tif", pixels, crs=crs, transform=transform))


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90.0), ("EPSG:3031", -90.0)])
def test_a_raster_around_a_pole_reaches_it(tmp_path: Path, crs: str, pole: float) -> None:
    facts = facts_at(tmp_path, crs, Affine(1000.0, 0.0, -30e3, 0.0, -1000.0, 20e3))
    assert facts.bounds_wgs84 is not None
    west, south, east, north = facts.bounds_wgs84
    assert (west, east) == (-180.0, 180.0)
    corner = 90 - 36.06 * 1.03 / 111.69  # km from the pole, scale, and km of a degree there
    assert sorted(map(abs, (south, north))) == pytest.approx([corner, abs(pole)], abs=0.01)
    assert pole in (south, north)
    assert facts.gsd_m == pytest.approx(1030, rel=0.01)
    assert [grid.grid for grid in facts.grids] == ["pixels"]


def test_bounds_cross_the_antimeridian(tmp_path: Path) -> None:
    facts = facts_at(tmp_path, "EPSG:4326", Affine(0.5, 0.0, 170.0, 0.0, -0.5, 10.0))
    assert facts.bounds_wgs84 == pytest.approx((170.0, -10.0, -160.0, 10.0))


def test_bounds_of_a_raster_of_the_whole_globe(tmp_path: Path) -> None:
    facts = facts_at(tmp_path, "EPSG:4326", Affine(6.0, 0.0, -180.0, 0.0, -4.5, 90.0))
    assert facts.bounds_wgs84 == pytest.approx((-180.0, -90.0, 180.0, 90.0))


def test_a_crs_that_does_not_reach_leaves_pixels(tmp_path: Path) -> None:
    facts = facts_at(tmp_path, "EPSG:3035", Affine(1e6, 0.0, 1e9, 0.0, -1e6, 1e9))
    assert (facts.crs, facts.gsd_m, facts.bounds_wgs84) == (None, None, None)
