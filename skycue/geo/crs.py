"""From one coordinate reference system to another."""

import numpy as np
from numpy.typing import NDArray

from skycue.errors import GeoError

WGS84 = "EPSG:4326"
"""The CRS of GeoJSON; coordinates are given as longitude, latitude."""

_ASSIGN = "Assign the right CRS and geotransform with `gdal_edit.py -a_srs` and `-a_ullr`."


def reproject(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """Bring points [N, 2] from one CRS to another; degrees are longitude, latitude.

    Raises:
        GeoError: If a CRS is unknown or not tied to the Earth, or does not reach a point.
    """
    from rasterio._err import CPLE_BaseError  # GDAL's errors; rasterio.errors leaves them out
    from rasterio.crs import CRS
    from rasterio.errors import CRSError
    from rasterio.warp import transform

    try:
        systems = [CRS.from_string(source), CRS.from_string(target)]
    except CRSError as error:
        raise GeoError(
            f"no coordinate reference system '{' '.join(str(error).split())}'. {_ASSIGN}"
        ) from error
    for system in systems:
        if not (system.is_geographic or system.is_projected):
            raise GeoError(f"the CRS '{system.to_wkt()[:60]}' is not tied to the Earth. {_ASSIGN}")
    try:
        placed = np.array(transform(*systems, points[:, 0], points[:, 1])).T  # [N, 2]
    except CPLE_BaseError:  # GDAL gives up at the first point, or answers infinity below
        placed = np.full_like(points, np.inf)
    if not np.isfinite(placed).all():
        raise GeoError(f"pixels lie where the CRS '{source[:60]}' does not reach. {_ASSIGN}")
    return placed
