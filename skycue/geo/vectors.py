"""Outlines in pixels to RFC 7946 GeoJSON.

Butler et al., "The GeoJSON Format", RFC 7946, https://www.rfc-editor.org/rfc/rfc7946: longitude
and latitude in WGS 84 (section 4), exterior rings counterclockwise (3.1.6), geometries cut at the
antimeridian (3.1.9), bounding boxes that may cross it (5.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from skycue.geo.georeference import GeoReference
from skycue.geo.longitudes import Extent, extent_of
from skycue.geo.outlines import polygons_of
from skycue.geo.placing import outline_in_degrees, pixel_in_degrees

if TYPE_CHECKING:
    from shapely import MultiPolygon
    from shapely.geometry.base import BaseGeometry

DECIMALS = 8
"""Of coordinates in degrees: about a millimetre on the ground."""
MAX_DECIMALS = 12
"""Of coordinates where pixels are smaller than centimetres."""
PIXEL_SHARE = 0.02
"""Of a pixel's side, that rounding may be coarse."""


def feature_json(
    outline: MultiPolygon | None, properties: Mapping[str, JsonValue], georeference: GeoReference
) -> tuple[dict[str, JsonValue], list[Extent]]:
    """Return an outline in pixels as a feature, and the extents of its parts.

    Args:
        outline: In pixels of the raster; None or without polygons for a feature without a place.
        properties: What the feature says.
        georeference: Where the raster lies.

    Raises:
        GeoError: As `outline_in_degrees` does.
    """
    feature: dict[str, JsonValue] = {"type": "Feature", "properties": dict(properties)}
    feature["geometry"] = None
    if outline is None or outline.is_empty:
        return feature, []
    geometry, decimals = _rounded(outline, georeference)
    extents: list[Extent] = [part.bounds for part in geometry.geoms]
    feature["geometry"] = _geometry_json(geometry, decimals)
    feature["bbox"] = bbox_json(extents)
    return feature, extents


def bbox_json(extents: Sequence[Extent]) -> JsonValue:
    """Return west, south, east, north around extents; west exceeds east across 180 degrees."""
    return [round(value, MAX_DECIMALS) for value in extent_of(extents)]


def _rounded(outline: MultiPolygon, georeference: GeoReference) -> tuple[MultiPolygon, int]:
    """Bring an outline to degrees with few enough decimals, and say how many."""
    from shapely import set_precision

    geometry = outline_in_degrees(outline, georeference)
    coarse = PIXEL_SHARE * pixel_in_degrees(outline, georeference)
    decimals = int(np.clip(np.ceil(-np.log10(coarse)), DECIMALS, MAX_DECIMALS))
    return polygons_of(set_precision(geometry, 10.0**-decimals)), decimals


def _geometry_json(geometry: MultiPolygon, decimals: int) -> JsonValue:
    """Write a Polygon or MultiPolygon: exterior rings counterclockwise, holes clockwise."""
    polygons: list[JsonValue] = [
        [_ring_json(ring, decimals) for ring in (polygon.exterior, *polygon.interiors)]
        for polygon in geometry.geoms
    ]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _ring_json(ring: BaseGeometry, decimals: int) -> JsonValue:
    return [[round(x, decimals), round(y, decimals)] for x, y in ring.coords]
