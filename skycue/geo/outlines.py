"""Masks and labels to outlines in pixels of the raster they belong to.

An outline follows the edges of pixels: its corners are whole numbers, and its area is the number of
pixels in it. It is known in pixels only; `skycue.geo.vectors` and `skycue.geo.feature_files` bring
it to the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shapely import MultiPolygon, Polygon
    from shapely.geometry.base import BaseGeometry

Mask = NDArray[np.bool_]


class LabelRegion(NamedTuple):
    """Pixels of one label that hang together.

    Attributes:
        label: Their value.
        outline: Around them, in pixels.
    """

    label: int
    outline: MultiPolygon


def outline_mask(mask: Mask, offset: tuple[int, int] = (0, 0)) -> MultiPolygon:
    """Return the outline of a mask [h, w] in pixels: valid, and exactly as large as the mask.

    Pixels that touch only at a corner lie in different polygons, or a ring that touched itself
    there is split; an empty mask has an outline without polygons.

    Args:
        mask: The pixels, of a whole raster or of a crop of one.
        offset: Column and row of the crop's first pixel in its raster.
    """
    from rasterio.features import shapes  # heavy: imported when used
    from rasterio.transform import Affine
    from shapely import MultiPolygon, make_valid, unary_union
    from shapely.geometry import shape

    if not mask.any():  # a crop of nothing has no pixel at all, which GDAL refuses
        return MultiPolygon()
    place = Affine.translation(*offset)
    rings = shapes(mask.astype(np.uint8), mask=mask, connectivity=4, transform=place)
    return polygons_of(unary_union([make_valid(shape(ring)) for ring, _ in rings]))


def class_polygons(labels: NDArray[np.integer]) -> Iterator[LabelRegion]:
    """Yield the regions of equal labels [h, w], joined along edges and not over corners.

    Negative labels mark pixels of no class and have no region. Regions share their borders
    exactly; together they cover the pixels that have a class once.
    """
    from rasterio.features import shapes  # heavy: imported when used
    from shapely import make_valid
    from shapely.geometry import shape

    plain = labels.astype(np.int32)
    for ring, label in shapes(plain, mask=plain >= 0, connectivity=4):
        yield LabelRegion(int(label), polygons_of(make_valid(shape(ring))))


def polygons_of(geometry: BaseGeometry) -> MultiPolygon:
    """Keep the polygons of a geometry, which may hold stray lines and points.

    Exterior rings run counterclockwise where y grows upwards, holes the other way.
    """
    from shapely import MultiPolygon
    from shapely.geometry.polygon import orient

    return MultiPolygon([orient(polygon) for polygon in _flat(geometry)])


def _flat(geometry: BaseGeometry) -> list[Polygon]:
    """Return the polygons in a geometry, however it is nested."""
    if geometry.geom_type == "Polygon":
        return [] if geometry.is_empty else [geometry]
    return [polygon for part in getattr(geometry, "geoms", ()) for polygon in _flat(part)]
