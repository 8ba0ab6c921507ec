"""Boxes in any CRS to boxes in pixels of a raster.

A rectangle in one CRS is bent in another, so its outline gets more corners before it is brought to
the raster, and the pixel box is what surrounds it there: of a rotated raster too. Longitudes may be
given on either side of the antimeridian; a box whose west exceeds its east crosses it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.boxes import Box, PlacedBox, check_box, require_pixels
from skycue.errors import BoxError
from skycue.geo.crs import is_in_degrees, reproject_or_inf
from skycue.geo.georeference import GeoReference

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

PIXELS = "pixels"
"""In place of a CRS: coordinates are pixels of the raster, x to the right and y down."""
PIECES = 32
"""Of the longer side of an outline, for straight lines of one CRS are bent in another."""
TURN = 360.0
"""Degrees of longitude around the Earth."""

ROUNDING = 1e-9
"""Relative; of coordinates brought to another CRS and back."""

_ORDER = "Boxes are x_min, y_min, x_max, y_max; in degrees, longitude comes first."


class RefusedBox(NamedTuple):
    """A box that cannot be used.

    Attributes:
        id: What its giver calls it.
        reason: One line that says why.
    """

    id: str
    reason: str


class PlacedBoxes(NamedTuple):
    """Boxes in the order given, each in one of two lists.

    Attributes:
        boxes: Those on the raster, cut to it.
        refused: Those that are not, with reasons.
    """

    boxes: list[PlacedBox]
    refused: list[RefusedBox]


class _Rings(NamedTuple):
    """Outlines as corners: all in one array, to be brought to a CRS at once.

    Attributes:
        corners: Of all rings, [N, 2].
        ring: The ring of each corner, [N].
        owner: The outline of each ring.
    """

    corners: NDArray[np.float64]
    ring: NDArray[np.int64]
    owner: list[int]


def place_boxes(
    boxes: Sequence[Sequence[float]],
    crs: str,
    georeference: GeoReference | None,
    size: tuple[int, int],
    ids: Sequence[str] | None = None,
) -> PlacedBoxes:
    """Bring boxes to pixels of a raster.

    Args:
        boxes: x_min, y_min, x_max, y_max each; degrees are longitude, latitude, whatever the order
            that the CRS itself states. x_min may exceed x_max in degrees only: across 180.
        crs: Of the coordinates, such as "EPSG:4326", or `PIXELS`.
        georeference: Where the raster lies, or None.
        size: (height, width) of the raster.
        ids: What they are called; from "1" on if not given.

    Raises:
        BoxError: If the raster has no place and the boxes have a CRS.
        GeoError: If a CRS is unknown or not tied to the Earth.
    """
    from shapely import box as rectangle  # heavy: imported when used

    around_earth = crs.casefold() != PIXELS and is_in_degrees(crs)
    outlines: list[BaseGeometry | str] = []
    for corners in boxes:
        problem = _problem_of(corners, around_earth)
        if problem is None:
            west, south, east, north = corners
            outlines.append(rectangle(west, south, east + TURN * (west > east), north))
        else:
            outlines.append(problem)
    names = list(ids) if ids is not None else [str(n) for n in range(1, len(boxes) + 1)]
    return place_outlines(outlines, names, crs, georeference, size)


def place_outlines(
    outlines: "Sequence[BaseGeometry | str]",
    ids: Sequence[str],
    crs: str,
    georeference: GeoReference | None,
    size: tuple[int, int],
) -> PlacedBoxes:
    """Bring outlines to the boxes in pixels that surround them; parts off the raster do not count.

    Args:
        outlines: Shapely geometries in the CRS, or the reason why there is none.
        ids: What they are called.
        crs: Of the coordinates, or `PIXELS`.
        georeference: Where the raster lies, or None.
        size: (height, width) of the raster.

    Raises:
        BoxError: If the raster has no place and the boxes have a CRS.
        GeoError: If a CRS is unknown or not tied to the Earth.
    """
    in_pixels = crs.casefold() == PIXELS
    if not in_pixels and georeference is None:
        raise BoxError(
            f"boxes in {crs[:60]} cannot be put on a raster without a place on the ground: give "
            f"them in pixels (--box-crs {PIXELS}), or assign a CRS and geotransform to the raster."
        )
    reasons = [outline if isinstance(outline, str) else _fault(outline) for outline in outlines]
    rings = _rings_of(
        [None if why else outline for outline, why in zip(outlines, reasons, strict=True)]
    )
    found: dict[int, list[Box]] = {}
    if georeference is None or in_pixels:
        for number, corners in enumerate(_by_ring(rings.corners, rings)):
            found.setdefault(rings.owner[number], []).append(_bounds(corners))
    else:
        _place_rings(rings, crs, georeference, size, found, reasons)
    placed = PlacedBoxes([], [])
    for number, (name, why) in enumerate(zip(ids, reasons, strict=True)):
        if why is None:
            try:
                around = _around(found[number])
                cut = check_box(around, size, _called(name))
                if in_pixels:
                    require_pixels(around, _called(name))
                placed.boxes.append(PlacedBox(name, cut))
                continue
            except BoxError as error:
                why = str(error)
            except KeyError:
                why = f"it lies outside the raster of {size[1]} x {size[0]} pixels. {_ORDER}"
        text = why if why.startswith("box ") else f"{_called(name)}: {why}"
        placed.refused.append(RefusedBox(name, text))
    return placed


def _called(name: str) -> str:
    """Return what a message calls a box; one whose name is "box" is not called twice."""
    return name if name == "box" else f"box {name}"


def _problem_of(corners: Sequence[float], around_earth: bool) -> str | None:
    """Say why four numbers are no box in their CRS, or None."""
    shown = ", ".join(f"{value:.12g}" for value in corners)
    if len(corners) != 4:
        return f"[{shown}] has {len(corners)} numbers, not 4. {_ORDER}"
    if not np.isfinite(corners).all():
        return f"[{shown}] holds a number that is not finite. {_ORDER}"
    west, south, east, north = corners
    if south >= north or west == east or (west > east and not around_earth):
        axis = "x" if west >= east and not (around_earth and west > east) else "y"
        return f"[{shown}] has no area: {axis}_max must exceed {axis}_min. {_ORDER}"
    if around_earth and west > east and west - east >= TURN:
        return f"[{shown}] is more than a turn of {TURN:g} degrees from west to east. {_ORDER}"
    return None


def _fault(outline: "BaseGeometry") -> str | None:
    """Say why a geometry surrounds nothing, or None."""
    from shapely import get_coordinates

    if outline.is_empty:
        return "it has no geometry."
    if not np.isfinite(get_coordinates(outline)).all():
        return "it holds a number that is not finite."
    bounds = outline.bounds
    if bounds[0] == bounds[2] or bounds[1] == bounds[3]:
        return f"a {outline.geom_type} without an area; give polygons."
    return None


def _rings_of(outlines: "Sequence[BaseGeometry | None]") -> _Rings:
    """Collect the exterior corners of outlines, more of them where edges are long."""
    from shapely import get_coordinates, segmentize

    parts, owner = [], []
    for number, outline in enumerate(outlines):
        if outline is None:
            continue
        west, south, east, north = outline.bounds
        dense = segmentize(outline, max(east - west, north - south) / PIECES)
        for part in getattr(dense, "geoms", [dense]):
            parts.append(get_coordinates(getattr(part, "exterior", part)))
            owner.append(number)
    lengths = [len(part) for part in parts]
    corners = np.concatenate(parts) if parts else np.empty((0, 2))
    return _Rings(corners, np.repeat(np.arange(len(parts)), lengths), owner)


def _by_ring(values: NDArray[np.float64], rings: _Rings) -> list[NDArray[np.float64]]:
    """Cut values of all corners into those of each ring."""
    return np.split(values, np.flatnonzero(np.diff(rings.ring)) + 1) if len(values) else []


def _place_rings(
    rings: _Rings,
    crs: str,
    georeference: GeoReference,
    size: tuple[int, int],
    found: dict[int, list[Box]],
    reasons: list[str | None],
) -> None:
    """Put each ring on the raster: its box into `found`, or why it has none into `reasons`."""
    on_map = reproject_or_inf(rings.corners, crs, georeference.crs)
    turning = is_in_degrees(georeference.crs)
    torn = set() if turning else _torn_rings(rings, on_map, crs, georeference)
    for number, corners in enumerate(_by_ring(on_map, rings)):
        owner = rings.owner[number]
        if not np.isfinite(corners).all():
            reasons[owner] = (
                f"the raster's CRS {georeference.crs[:60]} does not reach all of it. {_ORDER}"
            )
        elif number in torn:
            reasons[owner] = (
                f"it crosses the edge of the map of the raster's CRS {georeference.crs[:60]}: "
                "cut it there in two."
            )
        elif turning:
            places, why = _turned(corners, georeference, size)
            found.setdefault(owner, []).extend(places)
            reasons[owner] = reasons[owner] or why
        else:
            around = _bounds(georeference.to_pixels(corners))
            if _meets(around, size):
                found.setdefault(owner, []).append(around)
    for owner in [owner for owner, places in found.items() if not places]:
        del found[owner]


def _turned(
    corners: NDArray[np.float64], georeference: GeoReference, size: tuple[int, int]
) -> tuple[list[Box], str | None]:
    """Return the box of a ring in degrees, whole turns added until it meets the raster."""
    longitudes = np.unwrap(corners[:, 0], period=TURN)
    if abs(longitudes[-1] - longitudes[0]) > TURN / 2 and (corners[0] == corners[-1]).all():
        return [], "it encloses a pole, which a raster in degrees does not show as a box: cut it."
    middle = georeference.to_map(np.array([[size[1] / 2, size[0] / 2]]))[0, 0]
    nearest = round((middle - longitudes.mean()) / TURN)
    around = [
        _bounds(georeference.to_pixels(np.stack([longitudes + TURN * turn, corners[:, 1]], axis=1)))
        for turn in (nearest - 1, nearest, nearest + 1)
    ]
    places = [box for box in around if _meets(box, size)]
    whole_turn = np.ptp(longitudes) >= TURN * (1 - ROUNDING)
    if len(places) > 1 and not whole_turn:
        return [], "it meets the raster at both ends of its turn around the Earth: cut it in two."
    return places, None


def _torn_rings(
    rings: _Rings, on_map: NDArray[np.float64], crs: str, georeference: GeoReference
) -> set[int]:
    """Return the rings that jump over the map somewhere, instead of running on.

    The middle between two neighbours on the map, brought back, lies between them in their own CRS;
    where the map is torn, such as a Mercator map at the antimeridian, it lies elsewhere.
    """
    if len(on_map) == 0:
        return set()
    reached = np.where(np.isfinite(on_map), on_map, 0.0)  # who calls refuses the others
    middles = reproject_or_inf((reached[:-1] + reached[1:]) / 2, georeference.crs, crs)
    first, second = rings.corners[:-1], rings.corners[1:]
    lost = np.isinf(middles[:, 0])
    away = np.where(lost[:, None], 0.0, middles) - (first + second) / 2
    if is_in_degrees(crs):
        away[:, 0] -= TURN * np.round(away[:, 0] / TURN)
    allowed = np.linalg.norm(second - first, axis=1) + ROUNDING * np.abs(rings.corners).max()
    same = rings.ring[:-1] == rings.ring[1:]
    same &= (reached[:-1] != reached[1:]).any(axis=1)  # a pole is one point on the map
    jumps = np.flatnonzero(same & (lost | (np.linalg.norm(away, axis=1) > allowed)))
    return {int(ring) for ring in np.unique(rings.ring[jumps])}


def _bounds(corners: NDArray[np.float64]) -> Box:
    """Return the box around corners [N, 2]."""
    (x_min, y_min), (x_max, y_max) = corners.min(axis=0), corners.max(axis=0)
    return (float(x_min), float(y_min), float(x_max), float(y_max))


def _around(boxes: Sequence[Box]) -> Box:
    """Return the box around boxes."""
    low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
    return (float(low[0]), float(low[1]), float(high[2]), float(high[3]))


def _meets(box: Box, size: tuple[int, int]) -> bool:
    """Say whether a box shares an area with a raster of `size`."""
    return box[0] < size[1] and box[1] < size[0] and box[2] > 0 and box[3] > 0
