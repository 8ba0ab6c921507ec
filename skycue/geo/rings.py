"""Outlines as lists of rings of plain numbers, as JSON keeps them, and what is done with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skycue.geo.outlines import polygons_of

if TYPE_CHECKING:
    from shapely import MultiPolygon

Rings = list[list[list[tuple[float, float]]]]
"""Polygons, each an exterior ring and its holes, in pixels; none for what has no pixels."""


def rings_of(outline: MultiPolygon) -> Rings:
    """Write an outline as plain numbers."""
    return [
        [
            [(float(x), float(y)) for x, y in ring.coords]
            for ring in (polygon.exterior, *polygon.interiors)
        ]
        for polygon in outline.geoms
    ]


def outline_of(rings: Sequence[Sequence[Sequence[tuple[float, float]]]]) -> MultiPolygon:
    """Read an outline from plain numbers."""
    from shapely import MultiPolygon, Polygon

    return MultiPolygon([Polygon(shell, holes) for shell, *holes in rings])


def unite(outlines: Iterable[Rings]) -> Rings:
    """Return the outline of all that lies in any of several."""
    from shapely import unary_union

    return rings_of(polygons_of(unary_union([outline_of(rings) for rings in outlines])))


def bounds_of(rings: Rings) -> tuple[float, float, float, float] | None:
    """Return the tight box around an outline; None where it has no polygon."""
    if not rings:
        return None
    x_min, y_min, x_max, y_max = outline_of(rings).bounds
    return (float(x_min), float(y_min), float(x_max), float(y_max))


def pixels_of(rings: Rings) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Return the pixels whose centres lie in an outline, as a crop and (x, y) of its corner."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    found = bounds_of(rings)
    if found is None:
        return np.zeros((0, 0), dtype=np.bool_), (0, 0)
    x, y = int(np.floor(found[0])), int(np.floor(found[1]))
    shape = (int(np.ceil(found[3])) - y, int(np.ceil(found[2])) - x)
    place = Affine.translation(x, y)
    crop = rasterize([outline_of(rings)], out_shape=shape, transform=place, dtype=np.uint8)
    return crop.astype(np.bool_), (x, y)
