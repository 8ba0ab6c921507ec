"""Outlines on the map back to pixels, by another way than the package goes.

Edges are cut into many short ones and every corner is brought back by GDAL (the package asks PROJ
and adds corners where they are needed); parts on both sides of the antimeridian are joined.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform as gdal_transform
from shapely import Geometry, MultiPolygon, transform, unary_union

from skycue.geo.georeference import GeoReference

PIECES = 64
"""Short edges that one edge is cut into."""
SLIT = 0.01
"""Pixels; half the width of a slit between two parts that counts as closed."""


def densified(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the edges between points [N, 2] into short ones."""
    shares = np.linspace(0, 1, PIECES, endpoint=False)[:, None]
    pieces = [a + shares * (b - a) for a, b in pairwise(points)]
    return np.concatenate([*pieces, points[-1:]])


def back_to_pixels(
    geometry: Geometry, crs: str, georeference: GeoReference, *, turn: float | None = None
) -> Geometry:
    """Bring an outline in a CRS back to pixels, its edges densified.

    Args:
        geometry: A Polygon or MultiPolygon.
        crs: Its CRS.
        georeference: Where the raster lies.
        turn: Map units around the Earth, in a raster that runs on beyond its CRS's edge.
    """
    middle = georeference.transform[2]

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        xs, ys = gdal_transform(crs, georeference.crs, points[:, 0], points[:, 1])
        on_map = np.array([xs, ys]).T
        if turn is not None:  # the part lies as a whole to the east of the raster's west edge
            on_map[:, 0] += turn * (on_map[:, 0].mean() < middle)
        return georeference.to_pixels(on_map)

    parts = []
    for polygon in getattr(geometry, "geoms", [geometry]):
        rings = [
            densified(np.array(ring.coords)) for ring in (polygon.exterior, *polygon.interiors)
        ]
        dense = type(polygon)(rings[0], rings[1:])
        parts.append(transform(dense, place).buffer(0))
    mitred = {"join_style": "mitre", "mitre_limit": 10.0}
    return unary_union(parts).buffer(SLIT, **mitred).buffer(-SLIT, **mitred)


def stray(found: Geometry, expected: MultiPolygon) -> float:
    """Return how far the boundaries of two outlines lie apart at most, in pixels."""
    return float(found.boundary.hausdorff_distance(expected.boundary))
