"""Outlines in pixels to outlines in a CRS, true to a fiftieth of a pixel.

A straight edge of pixels is bent in another CRS. It gets corners where, brought back to pixels, the
straight line between two of them would stray from it. Longitudes are cut at the antimeridian, and
what encloses a pole is closed through the pole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skycue.errors import GeoError
from skycue.geo.crs import WGS84, crs_of, is_in_degrees, reproject, reproject_or_inf, same_crs
from skycue.geo.georeference import GeoReference
from skycue.geo.longitudes import (
    HALF_TURN,
    POLE,
    TURN,
    between_antimeridians,
    close_through,
    turns_of,
    unwrap,
)
from skycue.geo.outlines import polygons_of

if TYPE_CHECKING:
    from shapely import MultiPolygon, Polygon
    from shapely.geometry.base import BaseGeometry

Points = NDArray[np.float64]

TOLERANCE = 0.02
"""Pixels by which an edge in another CRS may stray from the edge of pixels that it stands for."""

_CHECKED = (0.25, 0.5, 0.75)  # places on an edge; the middle alone would miss an S
_MAX_UNEVEN = 0.2  # of an edge's length, that a checked place may lie off its share of the edge
_MAX_HALVINGS = 40  # of an edge; more means that it crosses a line where the CRS is torn
_MAX_CORNERS = 4096  # that one edge may become on average
_MAX_STEP = 60.0  # degrees of longitude between two corners, so that the short way is the right one
_POLE_MARGIN = 0.01  # pixels; an outline nearer to a pole runs through it
_POLE_BITE = 0.02  # pixels on each side of such a pole that are left out
_SAME_PLACE = 1e-3  # pixels; a pole is a point where all its longitudes fall into one place


class _TornError(Exception):
    """An edge crosses a line where the target CRS is torn."""


def place_outline(outline: MultiPolygon, georeference: GeoReference, crs: str) -> MultiPolygon:
    """Bring an outline from pixels to a CRS.

    In the raster's own CRS coordinates are what the geotransform gives, to the last bit. In any
    other, edges stray by at most `TOLERANCE` pixels.

    Args:
        outline: In pixels of the raster.
        georeference: Where the raster lies.
        crs: That of the result, in degrees or projected.

    Returns:
        A valid outline whose exterior rings run counterclockwise.

    Raises:
        GeoError: As `outline_in_degrees` does, or if the outline crosses the edge of the world in a
            projected CRS.
    """
    from shapely import transform

    if same_crs(georeference.crs, crs):
        return polygons_of(transform(outline, georeference.to_map))
    if is_in_degrees(crs):
        return outline_in_degrees(outline, georeference, crs)
    if crs_of(crs).is_geographic:
        raise GeoError(f"the CRS '{crs[:60]}' is not in degrees. Give one in degrees or metres.")
    try:
        return _projected(outline, georeference, crs)
    except _TornError:
        degrees, grid = _as_grid_of_degrees(outline, georeference)
    try:
        return _projected(degrees, grid, crs)
    except _TornError as error:
        raise GeoError(
            f"an outline crosses the edge of the world in the CRS '{crs[:60]}'. "
            "Give one that is made for the place, or EPSG:4326."
        ) from error


def outline_in_degrees(
    outline: MultiPolygon, georeference: GeoReference, crs: str = WGS84
) -> MultiPolygon:
    """Bring an outline from pixels to longitudes and latitudes between -180 and 180.

    It is cut at the antimeridian. One that encloses a pole is closed through the pole; one that
    runs through a pole loses the 0.04 pixels around it.

    Args:
        outline: In pixels of the raster.
        georeference: Where the raster lies.
        crs: That of the result, in degrees.

    Returns:
        A valid outline whose exterior rings run counterclockwise.

    Raises:
        GeoError: If a CRS cannot be read or does not reach there, or the outline encloses both
            poles.
    """
    poles = _poles(georeference, crs)
    polygons = [
        piece
        for polygon in outline.geoms
        for piece in polygons_of(_without_poles_on_edges(polygon, poles)).geoms
    ]
    rings = _rings_of(polygons)
    try:
        placed = _bend(rings, georeference, crs)
    except _TornError as error:
        raise GeoError(
            f"an outline lies where the CRS '{georeference.crs[:60]}' is torn or folded. "
            "Cut the raster so that it ends before."
        ) from error
    closed = iter([_close(ring, bent, poles) for ring, bent in zip(rings, placed, strict=True)])
    parts: list[Polygon] = []
    for polygon in polygons:
        parts += _between_antimeridians([next(closed) for _ in range(1 + len(polygon.interiors))])
    return _valid(parts)


def pixel_in_degrees(outline: MultiPolygon, georeference: GeoReference) -> float:
    """Return the side of a pixel at an outline, in degrees of latitude.

    Args:
        outline: In pixels of the raster; not empty.
        georeference: Where the raster lies.

    Raises:
        GeoError: If the CRS cannot be read or does not reach there.
    """
    from shapely import get_coordinates

    corner = get_coordinates(outline)[0]
    cell = corner + np.array([[0, 0], [1, 0], [0, 1]])  # two sides of a pixel
    degrees = reproject(georeference.to_map(cell), georeference.crs, WGS84)  # [3, 2]
    sides = degrees[1:] - degrees[0]
    sides[:, 0] -= TURN * np.round(sides[:, 0] / TURN)
    sides[:, 0] *= np.cos(np.radians(degrees[0, 1]))
    return float(np.hypot(sides[:, 0], sides[:, 1]).min())


def _projected(outline: MultiPolygon, georeference: GeoReference, crs: str) -> MultiPolygon:
    """Bring an outline to a projected CRS."""
    from shapely import Polygon

    placed = iter(_bend(_rings_of(outline.geoms), georeference, crs))
    return _valid(
        [
            Polygon(next(placed), [next(placed) for _ in polygon.interiors])
            for polygon in outline.geoms
        ]
    )


def _rings_of(polygons: Iterable[Polygon]) -> list[Points]:
    """Return the rings [N, 2] of polygons, the exterior of each before its holes."""
    return [
        np.asarray(ring.coords)
        for polygon in polygons
        for ring in (polygon.exterior, *polygon.interiors)
    ]


def _between_antimeridians(rings: Sequence[Points]) -> list[Polygon]:
    """Make polygons between -180 and 180 of closed rings in degrees, an exterior and its holes."""
    from shapely import Polygon, make_valid, unary_union

    inside = (HALF_TURN, POLE - _POLE_MARGIN)
    if all((np.abs(ring).max(axis=0) <= inside).all() for ring in rings):
        return [Polygon(rings[0], rings[1:])]
    shell, *holes = (between_antimeridians(make_valid(Polygon(ring))) for ring in rings)
    return list(polygons_of(shell.difference(unary_union(holes))).geoms)


def _close(ring: Points, placed: Points, poles: Mapping[float, Points]) -> Points:
    """Unwrap a ring in degrees, and close it through the pole if it encloses one in pixels.

    Args:
        ring: In pixels, [N, 2].
        placed: The same in degrees, [M, 2].
        poles: Their pixels by latitude.
    """
    from shapely import Point, Polygon

    unwrapped = unwrap(placed)
    low, high = ring.min(axis=0), ring.max(axis=0)
    enclosed = [
        latitude
        for latitude, pole in poles.items()
        if (low <= pole).all() and (pole <= high).all() and Polygon(ring).contains(Point(pole))
    ]
    if len(enclosed) != abs(turns_of(unwrapped)):
        raise GeoError(
            "an outline encloses both poles or all of the Earth, and what it leaves out cannot be "
            "told. Cut the raster so that one pole lies outside."
        )
    return close_through(enclosed[0], unwrapped) if enclosed else unwrapped


def _bend(rings: Sequence[Points], georeference: GeoReference, crs: str) -> list[Points]:
    """Bring rings [N, 2] from pixels to a CRS, with more corners where their edges are bent.

    All are brought there at once: there may be thousands of small ones.

    Raises:
        _TornError: If an edge crosses a line where the CRS is torn.
    """

    def place(points: Points) -> Points:
        return reproject(georeference.to_map(points), georeference.crs, crs)

    points = np.concatenate(rings)
    owner = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])  # ring of each point
    most = len(points) * _MAX_CORNERS
    placed = place(points)
    edges = np.flatnonzero(owner[:-1] == owner[1:])  # by their first point; not yet looked at
    for _ in range(_MAX_HALVINGS):
        ends = edges + 1
        far = _stray(points[edges], points[ends], placed[edges], placed[ends], georeference, crs)
        after = ends[far]
        if len(after) == 0:
            return np.split(placed, np.flatnonzero(np.diff(owner)) + 1)
        if len(points) + len(after) > most:
            break
        middles = (points[after - 1] + points[after]) / 2
        points = np.insert(points, after, middles, axis=0)
        placed = np.insert(placed, after, place(middles), axis=0)
        owner = np.insert(owner, after, owner[after])
        first = after - 1 + np.arange(len(after))  # where the halved edges start now
        edges = np.stack([first, first + 1], axis=1).ravel()
    raise _TornError


def _stray(
    start: Points,
    end: Points,
    placed_start: Points,
    placed_end: Points,
    georeference: GeoReference,
    crs: str,
) -> NDArray[np.bool_]:
    """Tell which edges between placed corners stray from their edges of pixels, [N].

    Args:
        start: First corners of edges in pixels, [N, 2].
        end: Last corners, [N, 2].
        placed_start: The first corners in the CRS, [N, 2].
        placed_end: The last corners in the CRS, [N, 2].
        georeference: Where the pixels lie.
        crs: The CRS.
    """

    def unplace(points: Points) -> Points:
        with np.errstate(invalid="ignore"):  # infinite where a CRS does not reach
            return georeference.to_pixels(reproject_or_inf(points, crs, georeference.crs))

    step = placed_end - placed_start
    wide = np.zeros(len(step), dtype=np.bool_)
    if is_in_degrees(crs):
        step[:, 0] -= TURN * np.round(step[:, 0] / TURN)
        wide = np.abs(step[:, 0]) > _MAX_STEP
    shares = np.array(_CHECKED)[:, None, None]
    between = placed_start + shares * step  # [3, N, 2]
    back = unplace(between.reshape(-1, 2)).reshape(between.shape)
    distance = _distance(back, start, end)
    if not (distance <= TOLERANCE).all():
        # Beyond the antimeridian pixels may come back a turn away, as the corners do then.
        for corner, placed in ((start, placed_start), (end, placed_end)):
            drift = unplace(placed) - corner
            with np.errstate(invalid="ignore"):
                distance = np.fmin(distance, _distance(back - drift, start, end))
    return wide | ~(distance <= TOLERANCE)


def _distance(points: Points, start: Points, end: Points) -> NDArray[np.float64]:
    """Return how far points [K, N, 2] lie from the edges start-end [N, 2], the largest of K.

    Infinite where they do not go along an edge as they should, such as once around the Earth.
    """
    along = end - start
    length = np.maximum((along**2).sum(axis=1), np.finfo(np.float64).tiny)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite where a CRS does not reach
        share = np.clip(((points - start) * along).sum(axis=2) / length, 0, 1)  # [K, N]
        gaps = points - start - share[..., None] * along  # [K, N, 2]
        distances = np.hypot(gaps[..., 0], gaps[..., 1])
    is_even = np.abs(share - np.array(_CHECKED)[:, None]) <= _MAX_UNEVEN
    farthest: NDArray[np.float64] = np.where(is_even, distances, np.inf).max(axis=0)
    return farthest


@lru_cache(64)
def _poles(georeference: GeoReference, crs: str) -> Mapping[float, Points]:
    """Return the pixels [2] of those poles, by latitude, that are a point in the raster's CRS."""
    if crs_of(georeference.crs).is_geographic:
        return {}  # a pole is a line there, as it is in the result
    found = {}
    for latitude in (POLE, -POLE):
        round_it = np.array([[longitude, latitude] for longitude in (0.0, 90.0, -120.0)])
        on_map = reproject_or_inf(round_it, crs, georeference.crs)
        if not np.isfinite(on_map).all():
            continue
        pixels = georeference.to_pixels(on_map)
        if np.ptp(pixels, axis=0).max() <= _SAME_PLACE:
            found[latitude] = pixels[0]
    return found


def _without_poles_on_edges(polygon: Polygon, poles: Mapping[float, Points]) -> BaseGeometry:
    """Take a bite out of a polygon in pixels where its edge runs through a pole.

    What is left does not touch the pole, whose longitude is any.
    """
    from shapely import Point, box

    left: BaseGeometry = polygon
    x_min, y_min, x_max, y_max = polygon.bounds
    for x, y in poles.values():
        near = abs(x - (x_min + x_max) / 2) <= (x_max - x_min) / 2 + _POLE_MARGIN
        near = near and abs(y - (y_min + y_max) / 2) <= (y_max - y_min) / 2 + _POLE_MARGIN
        if near and polygon.boundary.distance(Point(x, y)) < _POLE_MARGIN:
            left = left.difference(
                box(x - _POLE_BITE, y - _POLE_BITE, x + _POLE_BITE, y + _POLE_BITE)
            )
    return left


def _as_grid_of_degrees(
    outline: MultiPolygon, georeference: GeoReference
) -> tuple[MultiPolygon, GeoReference]:
    """Bring an outline to pixels of a grid in WGS 84 that is as fine as its raster."""
    from shapely import transform

    fineness = np.floor(np.log2(pixel_in_degrees(outline, georeference)))
    size = 2.0**fineness  # a power of 2 divides without rounding
    grid = GeoReference(WGS84, (size, 0.0, 0.0, 0.0, size, 0.0))
    return transform(outline_in_degrees(outline, georeference), lambda xy: xy / size), grid


def _valid(parts: Sequence[Polygon]) -> MultiPolygon:
    """Return polygons as one valid outline."""
    from shapely import MultiPolygon, make_valid, unary_union

    outline = polygons_of(MultiPolygon(parts))
    if outline.is_valid:
        return outline
    return polygons_of(unary_union([make_valid(part) for part in parts]))
