"""What a viewer needs to know of a raster before it sees a pixel, and its rewriting for viewers."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from skycue.errors import GeoError, ImageReadError
from skycue.geo.bands import band_names
from skycue.geo.georeference import GeoReference
from skycue.geo.longitudes import Extent, extent_of
from skycue.geo.placing import outline_in_degrees
from skycue.geo.raster import Raster
from skycue.geo.raster_files import gdal_errors, open_dataset
from skycue.geo.stretch import Stretch

Grid = Literal["pixels", "mercator"]
"""`pixels`: the raster's own pixels, halved from level to level; `mercator`: EPSG:3857."""

TILE_SIZE = 256
"""Pixels along each side of a tile."""
MERCATOR = "EPSG:3857"
MERCATOR_WORLD_M = 2 * np.pi * 6378137.0
"""Metres around the equator of the sphere of EPSG:3857: the world at zoom 0."""
MAX_LATITUDE = 85.06
"""Degrees; web maps end there."""
FINEST_ZOOM = 24
PLAIN_SIDE = 2 * TILE_SIZE
"""A raster of at most this side is drawn fast enough without overviews."""
BLOCK_SIDE = 512
"""Pixels along each side of a block of a rewritten raster."""
WELL_CUT = 4 * BLOCK_SIDE * BLOCK_SIDE
"""Pixels of the largest block that is read for a tile without being rewritten first."""
MAX_BAND_NAME = 60
"""Characters of a band's name that are told to viewers."""
EDGE_POINTS = 32
"""Points along each edge of a raster that are brought to another CRS."""


class TileGrid(BaseModel):
    """A pyramid of square tiles over a raster.

    In `pixels` the tile (z, x, y) shows `tile_size` x 2^(max_zoom - z) pixels a side, counted from
    the upper left corner; in `mercator` it is the usual XYZ tile of web maps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    grid: Grid
    min_zoom: int
    max_zoom: int
    tile_size: int
    extent: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max: in pixels, or in metres of EPSG:3857."""


class RasterFacts(BaseModel):
    """What is kept of a raster that was looked at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int
    width: int
    bands: int
    band_names: tuple[str, ...] = ()
    """Of each band what the file calls it: its description, its colour or nothing."""
    shown_bands: tuple[int, ...] | None = None
    """One or three, counted from 1; None, in old records: those that `choose_bands` takes."""
    dtype: str
    crs: str | None
    gsd_m: float | None
    bounds_wgs84: tuple[float, float, float, float] | None
    grids: tuple[TileGrid, ...]
    stretch: Stretch
    """From values to levels, found once, so that tiles and models see the same."""
    has_pyramid: bool
    """Any part of it can be drawn at any scale without reading much more than is shown."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.height, self.width)


class RasterLimits(NamedTuple):
    """What a raster of a stranger must keep within; checked before anything is decoded."""

    formats: tuple[str, ...]
    """GDAL's names."""
    max_pixels: int
    max_side: int
    max_bands: int
    max_block_bytes: int


def check_limits(path: Path, limits: RasterLimits) -> None:
    """Refuse a raster that is too large, of too many bands or of another format.

    Raises:
        ImageReadError: If it is.
    """
    from rasterio.enums import Interleaving

    dataset = open_dataset(path)
    try:
        height, width, bands = dataset.height, dataset.width, dataset.count
        blocks = [
            int(np.prod(shape)) * np.dtype(kind).itemsize
            for shape, kind in zip(dataset.block_shapes, dataset.dtypes, strict=True)
            if not kind.startswith("complex")
        ]
        is_woven = dataset.interleaving == Interleaving.pixel
        largest = max(blocks, default=0) * (bands if is_woven else 1)
        driver, has_gcps = dataset.driver, bool(dataset.gcps[0])
    finally:
        dataset.close()
    problem = None
    if driver not in limits.formats:
        problem = f"{driver} is not accepted; {', '.join(limits.formats)} are"
    elif height * width > limits.max_pixels:
        problem = f"{height} x {width} pixels; at most {limits.max_pixels:,} are accepted"
    elif max(height, width) > limits.max_side:
        problem = f"a side of {max(height, width):,} pixels; at most {limits.max_side:,}"
    elif bands > limits.max_bands:
        problem = f"{bands} bands; at most {limits.max_bands} are accepted"
    elif largest > limits.max_block_bytes:
        problem = (
            f"blocks of {largest:,} bytes; at most {limits.max_block_bytes:,} are accepted: "
            "rewrite it by `gdal_translate -co TILED=YES`"
        )
    elif has_gcps:
        problem = "it is placed by ground control points: warp it by `gdalwarp` first"
    if problem:
        raise ImageReadError(f"cannot use this raster: {problem}.")


def facts_of(
    path: Path, stretch: Stretch | None = None, bands: Sequence[int] | None = None
) -> RasterFacts:
    """Look at a raster.

    Args:
        path: A raster file.
        stretch: From values to levels, where it is known; found from a sample if not given.
        bands: One or three to show, counted from 1; see `choose_bands`.

    Raises:
        ImageReadError: If it cannot be read.
        BandError: If a band is not there.
        GeoError: If its geotransform maps all pixels onto a line or a point.
    """
    raster = Raster.open(path, bands=bands, stretch=stretch)
    dataset = open_dataset(path)
    try:
        count, is_tiff = dataset.count, dataset.driver == "GTiff"
        names = band_names(dataset)
    finally:
        dataset.close()
    height, width = raster.size
    levels = max(0, int(np.ceil(np.log2(max(height, width) / TILE_SIZE))))
    pixels = TileGrid(
        grid="pixels",
        min_zoom=0,
        max_zoom=levels,
        tile_size=TILE_SIZE,
        extent=(0.0, 0.0, float(width), float(height)),
    )
    bounds, mercator, gsd_m, place = None, None, None, raster.georeference
    if place is not None:
        try:
            bounds, gsd_m = _bounds_wgs84(place, raster.size), raster.gsd_m()
            mercator = _mercator_grid(place, raster.size)
        except GeoError:  # the CRS does not reach: it is shown in pixels
            place = None
    is_small = max(height, width) <= PLAIN_SIDE
    # a JPEG seems to have overviews, but is read from its beginning for each
    is_well_cut = is_tiff and raster.block[0] * raster.block[1] <= WELL_CUT
    return RasterFacts(
        height=height,
        width=width,
        bands=count,
        band_names=tuple(name[:MAX_BAND_NAME] for name in names),
        shown_bands=raster.bands,
        dtype=raster.dtype,
        crs=None if place is None else place.crs,
        gsd_m=gsd_m,
        bounds_wgs84=bounds,
        grids=(pixels,) if mercator is None else (pixels, mercator),
        stretch=raster.stretch,
        has_pyramid=is_small or (bool(raster.overview_sizes) and is_well_cut),
    )


def write_pyramid(source: Path, target: Path) -> None:
    """Rewrite a raster as a Cloud-Optimised GeoTIFF with overviews; bounded memory at any size.

    Raises:
        ImageReadError: If the source is damaged.
    """
    from rasterio.enums import ColorInterp
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.shutil import copy

    dataset = open_dataset(source)
    try:
        is_palette = ColorInterp.palette in dataset.colorinterp
        with gdal_errors(source), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            copy(
                dataset,
                target,
                driver="COG",
                blocksize=BLOCK_SIDE,
                compress="DEFLATE",
                predictor="YES",
                bigtiff="IF_SAFER",
                sparse_ok=True,
                overview_resampling="NEAREST" if is_palette else "AVERAGE",
            )
    finally:
        dataset.close()


def _edge(size: tuple[int, int]) -> "np.typing.NDArray[np.float64]":
    """Return points along the edge of a raster, in pixels, [N, 2]."""
    steps = np.linspace(0.0, 1.0, EDGE_POINTS)
    zeros, ones = np.zeros(EDGE_POINTS), np.ones(EDGE_POINTS)
    sides = [(steps, zeros), (ones, steps), (steps[::-1], ones), (zeros, steps[::-1])]
    unit = np.concatenate([np.stack(side, axis=1) for side in sides])
    return unit * np.array([size[1], size[0]], dtype=np.float64)


def _bounds_wgs84(place: GeoReference, size: tuple[int, int]) -> Extent:
    """Return west, south, east, north; west exceeds east across the antimeridian.

    All longitudes and the pole where the raster holds a pole.
    """
    from shapely import MultiPolygon, box

    outline = outline_in_degrees(MultiPolygon([box(0, 0, size[1], size[0])]), place)
    return extent_of([part.bounds for part in outline.geoms])


def _mercator_grid(place: GeoReference, size: tuple[int, int]) -> TileGrid | None:
    """Return the tiles of web maps that a raster lies on; None where it lies on none."""
    from skycue.geo.crs import reproject

    west, south, east, north = _bounds_wgs84(place, size)
    if west >= east or east - west >= 359.0 or max(abs(south), abs(north)) > MAX_LATITUDE:
        return None
    points = reproject(place.to_map(_edge(size)), place.crs, MERCATOR)
    x_min, y_min = points.min(axis=0)
    x_max, y_max = points.max(axis=0)
    if not x_min < x_max or not y_min < y_max:
        return None
    pixel_m = min((x_max - x_min) / size[1], (y_max - y_min) / size[0])
    finest = int(np.ceil(np.log2(MERCATOR_WORLD_M / TILE_SIZE / pixel_m)))
    side = max(x_max - x_min, y_max - y_min)
    coarsest = int(np.floor(np.log2(MERCATOR_WORLD_M / side)))
    finest = max(0, min(finest, FINEST_ZOOM))
    return TileGrid(
        grid="mercator",
        min_zoom=max(0, min(coarsest, finest)),
        max_zoom=finest,
        tile_size=TILE_SIZE,
        extent=(float(x_min), float(y_min), float(x_max), float(y_max)),
    )
