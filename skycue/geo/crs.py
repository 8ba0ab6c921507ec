"""Points from one coordinate reference system to another.

Degrees are longitude, latitude, whatever order a CRS names its axes in. PROJ chooses the operation
between two CRSs, as it does for GDAL; its network is never asked for grids.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skycue.errors import GeoError

if TYPE_CHECKING:
    from pyproj import CRS, Transformer

WGS84 = "EPSG:4326"
"""The CRS of GeoJSON and STAC."""

_ASSIGN = "Assign the right CRS and geotransform with `gdal_edit.py -a_srs` and `-a_ullr`."
_SHOWN = 60  # characters of a WKT in a message
_KEPT = 64  # CRSs and operations between them; building one takes milliseconds


def reproject(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """Bring points [N, 2] from one CRS to another.

    Raises:
        GeoError: If a CRS cannot be read or is not tied to the Earth, or a point lies where one of
            them does not reach.
    """
    placed = reproject_or_inf(points, source, target)
    if not np.isfinite(placed).all():
        raise GeoError(
            f"pixels lie where the CRS '{source[:_SHOWN]}' or '{target[:_SHOWN]}' does not reach. "
            f"{_ASSIGN}"
        )
    return placed


def reproject_or_inf(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    """Bring points [N, 2] from one CRS to another; infinity where one of them does not reach.

    Raises:
        GeoError: If a CRS cannot be read or is not tied to the Earth.
    """
    xs, ys = _operation(source, target).transform(points[:, 0], points[:, 1])
    placed = np.stack([xs, ys], axis=1)  # [N, 2]
    return np.where(np.isfinite(placed).all(axis=1, keepdims=True), placed, np.inf)


@lru_cache(_KEPT)
def crs_of(text: str) -> CRS:
    """Return the CRS that "EPSG:32631", WKT or another name of PROJ's stands for.

    Raises:
        GeoError: If it stands for none.
    """
    from pyproj import CRS  # heavy: imported when used
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise GeoError(
            f"no coordinate reference system '{' '.join(text.split())[:_SHOWN]}': give one that "
            "PROJ knows, such as EPSG:4326."
        ) from error


@lru_cache(_KEPT)
def same_crs(one: str, other: str) -> bool:
    """Say whether two names stand for the same CRS; the order of axes does not count.

    Raises:
        GeoError: If one stands for none.
    """
    if one == other:
        return True
    return bool(crs_of(one).equals(crs_of(other), ignore_axis_order=True))


@lru_cache(_KEPT)
def is_in_degrees(text: str) -> bool:
    """Say whether coordinates of a CRS are longitude and latitude in degrees.

    Raises:
        GeoError: If it is no CRS.
    """
    crs = crs_of(text)
    return bool(crs.is_geographic) and crs.axis_info[0].unit_name == "degree"


@lru_cache(_KEPT)
def _operation(source: str, target: str) -> Transformer:
    from pyproj import Transformer  # heavy: imported when used
    from pyproj.exceptions import ProjError

    for text in (source, target):
        crs = crs_of(text)
        if not (crs.is_geographic or crs.is_projected):
            raise GeoError(f"the CRS '{text[:_SHOWN]}' is not tied to the Earth. {_ASSIGN}")
    try:
        return Transformer.from_crs(crs_of(source), crs_of(target), always_xy=True)
    except ProjError as error:
        raise GeoError(
            f"PROJ knows no way from the CRS '{source[:_SHOWN]}' to '{target[:_SHOWN]}'. {_ASSIGN}"
        ) from error
