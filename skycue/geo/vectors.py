"""Masks to outlines in map coordinates and back: RFC 7946 GeoJSON.

Butler et al., "The GeoJSON Format", RFC 7946, https://www.rfc-editor.org/rfc/rfc7946: longitude
and latitude in WGS 84 (section 4), exterior rings counterclockwise (3.1.6), geometries cut at the
antimeridian (3.1.9), bounding boxes that may cross it (5.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from skycue.errors import GeoError
from skycue.geo.crs import WGS84, reproject
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask, polygons_of

if TYPE_CHECKING:
    from shapely import MultiPolygon
    from shapely.geometry.base import BaseGeometry

Mask = NDArray[np.bool_]
Extent = tuple[float, float, float, float]
"""West, south, east, north."""

DECIMALS = 8
"""Of coordinates in degrees: about a millimetre on the ground."""
HALF_TURN = 180.0
"""Degrees of longitude from Greenwich to the antimeridian."""
TURN = 360.0
"""Degrees of longitude around the Earth."""
LONGEST_EDGE = 32.0
"""Pixels. Longer edges get more corners, for a straight edge in one CRS is bent in another."""


class MaskedObject(NamedTuple):
    """What becomes one feature.

    Attributes:
        mask: Its pixels, a crop [h, w] of the raster, or None if it has none.
        properties: What the feature says of it.
        corner: (x, y) of the crop's upper left pixel in the raster.
    """

    mask: Mask | None
    properties: dict[str, JsonValue]
    corner: tuple[int, int] = (0, 0)


def features_of(
    objects: Sequence[MaskedObject], georeference: GeoReference
) -> dict[str, JsonValue]:
    """Return masks as an RFC 7946 feature collection.

    An object without pixels becomes a feature without a geometry.

    Args:
        objects: Masks of one raster with the properties of their features.
        georeference: Where the raster lies.

    Raises:
        GeoError: If the CRS cannot be read or brought to WGS 84, or an outline encloses a pole.
    """
    features: list[JsonValue] = []
    extents: list[Extent] = []
    for entry in objects:
        outline = None if entry.mask is None else outline_mask(entry.mask, entry.corner)
        feature, extent = feature_json(outline, entry.properties, georeference)
        features.append(feature)
        extents += [] if extent is None else [extent]
    collection: dict[str, JsonValue] = {"type": "FeatureCollection", "features": features}
    if extents:
        collection["bbox"] = bbox_json(extents)
    return collection


def feature_json(
    outline: MultiPolygon | None, properties: Mapping[str, JsonValue], georeference: GeoReference
) -> tuple[dict[str, JsonValue], Extent | None]:
    """Return an outline in pixels as a feature in degrees, and how far it reaches.

    Raises:
        GeoError: As `features_of` does.
    """
    feature: dict[str, JsonValue] = {"type": "Feature", "properties": dict(properties)}
    feature["geometry"] = None
    if outline is None or outline.is_empty:
        return feature, None
    geometry = _to_wgs84(outline, georeference)
    feature["geometry"] = _geometry_json(_cut_at_antimeridian(geometry))
    feature["bbox"] = bbox_json([geometry.bounds])
    return feature, geometry.bounds


def mask_of(geometry: JsonValue, georeference: GeoReference, size: tuple[int, int]) -> Mask:
    """Return the pixels [H, W] of a raster whose centres lie inside a GeoJSON geometry.

    Args:
        geometry: A Polygon or MultiPolygon in WGS 84.
        georeference: Where the raster lies.
        size: (height, width) of the raster.

    Raises:
        GeoError: If the CRS cannot be read or reached from WGS 84.
    """
    from rasterio.crs import CRS  # heavy: imported when used
    from rasterio.features import rasterize
    from shapely import transform
    from shapely.geometry import shape

    middle = georeference.to_map(np.array([[size[1] / 2, size[0] / 2]]))
    in_degrees = CRS.from_string(georeference.crs).is_geographic

    def place(points: NDArray[np.float64]) -> NDArray[np.float64]:
        placed = reproject(points, WGS84, georeference.crs)
        return georeference.to_pixels(_shift_beside(placed, middle) if in_degrees else placed)

    parts = [transform(polygon, place) for polygon in polygons_of(shape(geometry)).geoms]
    pixels = rasterize(parts, out_shape=size, dtype=np.uint8) if parts else np.zeros(size)
    return np.asarray(pixels, dtype=np.bool_)


def _to_wgs84(outline: MultiPolygon, georeference: GeoReference) -> MultiPolygon:
    """Bring an outline in pixels to degrees; longitudes run on across the antimeridian."""
    from shapely import Polygon, make_valid, segmentize, unary_union

    def place(ring: BaseGeometry) -> NDArray[np.float64]:
        points = georeference.to_map(np.asarray(ring.coords, dtype=np.float64))
        return _unwrap(reproject(points, georeference.crs, WGS84))

    polygons: list[BaseGeometry] = []
    first = None  # the others are put on the same side of the antimeridian
    for part in outline.geoms:
        polygon = segmentize(part, LONGEST_EDGE)
        shell = place(polygon.exterior)
        first = shell if first is None else first
        shell = _shift_beside(shell, first)
        holes = [_shift_beside(place(ring), shell) for ring in polygon.interiors]
        polygons.append(make_valid(Polygon(shell, holes)))
    return polygons_of(unary_union(polygons))


def _unwrap(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Let the longitudes of a ring [N, 2] run on where they jump by 360 degrees."""
    longitudes = np.unwrap(ring[:, 0], period=TURN)
    if abs(longitudes[-1] - longitudes[0]) > HALF_TURN:
        raise GeoError(
            "a mask encloses a pole, which no outline in longitude and latitude does. "
            "Cut the raster so that the pole lies outside."
        )
    turns = np.round(
        (longitudes - ring[:, 0]) / TURN
    )  # whole: rings share corners to the last digit
    return np.stack([ring[:, 0] + TURN * turns, ring[:, 1]], axis=1)  # [N, 2]


def _shift_beside(ring: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift a ring [N, 2] by whole turns until it lies nearest to another one."""
    gap = other[:, 0].mean() - ring[:, 0].mean()
    shifted: NDArray[np.float64] = ring + np.array([TURN * round(gap / TURN), 0.0])
    return shifted


def _cut_at_antimeridian(geometry: MultiPolygon) -> MultiPolygon:
    """Cut degrees that run on beyond 180 into parts between -180 and 180 (RFC 7946, 3.1.9)."""
    from shapely import box, set_precision, unary_union
    from shapely.affinity import translate

    west, _, east, _ = geometry.bounds
    parts = []
    first, last = (math.floor((x + HALF_TURN) / TURN) for x in (west, east))
    for turn in range(first, last + 1):
        middle = turn * TURN
        window = box(middle - HALF_TURN, -90.0, middle + HALF_TURN, 90.0)
        parts.append(translate(geometry.intersection(window), xoff=-middle))
    return polygons_of(set_precision(unary_union(parts), 10.0**-DECIMALS))


def _geometry_json(geometry: MultiPolygon) -> JsonValue:
    """Write a Polygon or MultiPolygon: exterior rings counterclockwise, holes clockwise."""
    polygons: list[JsonValue] = [
        [_ring_json(ring) for ring in (polygon.exterior, *polygon.interiors)]
        for polygon in geometry.geoms
    ]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _ring_json(ring: BaseGeometry) -> JsonValue:
    return [[round(x, DECIMALS), round(y, DECIMALS)] for x, y in ring.coords]


def bbox_json(extents: Sequence[Extent]) -> JsonValue:
    """Return west, south, east, north around all extents; west exceeds east across 180 degrees."""
    first = extents[0]
    west, south, east, north = first
    for x_min, y_min, x_max, y_max in extents[1:]:
        turns = round((first[0] + first[2] - x_min - x_max) / 2 / TURN)
        shift = turns * TURN
        west, east = min(west, x_min + shift), max(east, x_max + shift)
        south, north = min(south, y_min), max(north, y_max)
    if east - west >= TURN:
        west, east = -HALF_TURN, HALF_TURN
    corners = (_wrap(west), south, -_wrap(-east), north)
    return [round(value, DECIMALS) for value in corners]


def _wrap(longitude: float) -> float:
    """Bring a longitude into [-180, 180)."""
    return (longitude + HALF_TURN) % TURN - HALF_TURN
