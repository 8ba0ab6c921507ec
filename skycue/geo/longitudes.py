"""Outlines in degrees where longitudes jump: across the antimeridian and around a pole.

A ring is kept with longitudes that run on (181 rather than -179) until it is closed, through the
pole if it encloses one, and is then cut into what lies between -180 and 180.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skycue.geo.outlines import polygons_of

if TYPE_CHECKING:
    from shapely import Polygon
    from shapely.geometry.base import BaseGeometry

HALF_TURN = 180.0
"""Degrees of longitude from Greenwich to the antimeridian."""
TURN = 360.0
"""Degrees of longitude around the Earth."""
POLE = 90.0
"""Degrees of latitude of the North Pole."""

Extent = tuple[float, float, float, float]
"""West, south, east, north in degrees."""


def unwrap(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let the longitudes of a ring [N, 2] run on where they jump by 360 degrees.

    Steps between neighbours are taken the short way round. Whole turns are added, so that rings
    which share a corner go on to share it to the last digit.
    """
    if np.ptp(ring[:, 0]) <= HALF_TURN:
        return ring
    turns = np.round((np.unwrap(ring[:, 0], period=TURN) - ring[:, 0]) / TURN)
    return np.stack([ring[:, 0] + TURN * turns, ring[:, 1]], axis=1)  # [N, 2]


def turns_of(ring: NDArray[np.float64]) -> int:
    """Return how many times an unwrapped ring [N, 2] goes around the Earth, eastwards positive."""
    return round(float(ring[-1, 0] - ring[0, 0]) / TURN)


def close_through(pole: float, ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Close an unwrapped ring that goes around a pole through the pole, [N + 3, 2].

    In longitude and latitude a pole is a line. From the corner nearest to it, beyond which the ring
    has nothing to cross, a meridian leads there; the ring comes back along the pole.

    Args:
        pole: Its latitude, 90 or -90.
        ring: Its ends lie a turn apart.
    """
    turn = np.array([ring[-1, 0] - ring[0, 0], 0.0])
    corners = ring[:-1]
    nearest = int(np.argmin(np.abs(pole - corners[:, 1])))
    around = np.concatenate([corners[nearest:], corners[: nearest + 1] + turn])
    back = [[around[-1, 0], pole], [around[0, 0], pole], around[0]]
    return np.concatenate([around, np.array(back)])


def between_antimeridians(geometry: BaseGeometry) -> BaseGeometry:
    """Cut degrees that run on beyond 180 into parts between -180 and 180 (RFC 7946, 3.1.9)."""
    from shapely import box, make_valid, unary_union
    from shapely.affinity import translate

    west, _, east, _ = geometry.bounds
    if west >= -HALF_TURN and east <= HALF_TURN:
        return geometry
    valid = geometry if geometry.is_valid else make_valid(geometry)
    parts: list[Polygon] = []
    for turn in range(*_turns(west, east)):
        middle = turn * TURN
        window = box(middle - HALF_TURN, -POLE, middle + HALF_TURN, POLE)
        parts += polygons_of(translate(valid.intersection(window), xoff=-middle)).geoms
    return unary_union(parts)


def extent_of(extents: Sequence[Extent]) -> Extent:
    """Return the smallest extent around others; its west exceeds its east across 180 degrees.

    Args:
        extents: At least one; each between -180 and 180, so that what crosses is in two.
    """
    spans = sorted((west, east) for west, _, east, _ in extents)
    reached = spans[0][1]
    gap, west, east = 0.0, spans[0][0], reached  # the widest gap is what the extent leaves out
    for next_west, next_east in spans[1:]:
        if next_west - reached > gap:
            gap, west, east = next_west - reached, next_west, reached
        reached = max(reached, next_east)
    if spans[0][0] + TURN - reached >= gap:
        west, east = spans[0][0], reached
    return west, min(e[1] for e in extents), east, max(e[3] for e in extents)


def _turns(west: float, east: float) -> tuple[int, int]:
    """Return the first turn around the Earth that longitudes meet, and the one after the last."""
    first, last = (math.floor((x + HALF_TURN) / TURN) for x in (west, east))
    return first, last + 1
