"""Areas of outlines on the ground, in square metres of the WGS 84 ellipsoid.

Longitude and latitude are brought to the cylindrical equal-area projection of the ellipsoid, whose
plane areas are true everywhere (J. P. Snyder, "Map Projections: A Working Manual", USGS
Professional Paper 1395, 1987, equations 10-14, 10-15 and 3-12,
https://doi.org/10.3133/pp1395). The area of a pixel in the raster's own CRS would not do: in UTM
it is up to 0.2 % off, in Web Mercator at 60 degrees it is four times too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skycue.geo.georeference import GeoReference
from skycue.geo.placing import outline_in_degrees
from skycue.geo.tiles import PixelWindow

if TYPE_CHECKING:
    from shapely import MultiPolygon

SEMI_MAJOR_M = 6378137.0
"""Metres from the centre of the Earth to the equator, a in WGS 84."""
FLATTENING = 1 / 298.257223563
"""f in WGS 84."""
PARTS = 8
"""Of a pixel's side, for `gsd_m`: an edge strays by a share of a part, which is little of it."""


def area_m2(outline: MultiPolygon, georeference: GeoReference) -> float:
    """Return the area of an outline on the ground, in square metres.

    Antimeridian and poles make no difference. Edges are those of `outline_in_degrees`, whose strays
    are all that keeps the area from being exact.

    Args:
        outline: In pixels of the raster.
        georeference: Where the raster lies.

    Raises:
        GeoError: As `outline_in_degrees` does.
    """
    from shapely import transform

    if outline.is_empty:
        return 0.0
    return float(transform(outline_in_degrees(outline, georeference), _to_equal_area).area)


def gsd_m(georeference: GeoReference, size: tuple[int, int]) -> float:
    """Return the ground sampling distance in the middle of a raster, in metres.

    It is the side of a square with the area of a pixel there on the WGS 84 ellipsoid: at a pole
    too, where lengths along meridians and parallels tell nothing.

    Args:
        georeference: Where the raster lies.
        size: (height, width) of the raster.

    Raises:
        GeoError: If the CRS cannot be read, is not tied to the Earth, or ends before there.
    """
    from shapely import MultiPolygon, box

    fine = georeference.of_window(PixelWindow(0, 0, 1, 1), (PARTS, PARTS))
    x, y = (PARTS * (length / 2 - 0.5) for length in (size[1], size[0]))
    pixel = MultiPolygon([box(x, y, x + PARTS, y + PARTS)])
    return float(np.sqrt(area_m2(pixel, fine)))


def _to_equal_area(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring longitudes and latitudes [N, 2] to a plane of true areas, in metres."""
    e2 = FLATTENING * (2 - FLATTENING)
    e = np.sqrt(e2)
    sine = np.sin(np.radians(degrees[:, 1]))
    q = (1 - e2) * (sine / (1 - e2 * sine**2) + np.arctanh(e * sine) / e)  # equation 3-12
    x = SEMI_MAJOR_M * np.radians(degrees[:, 0])  # equation 10-14, true at the equator
    return np.stack([x, SEMI_MAJOR_M * q / 2], axis=1)  # equation 10-15; [N, 2]
