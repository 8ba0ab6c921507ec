"""Square tiles of a raster for viewers, in its own pixels or in the grid of web maps."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skycue.errors import NotFoundError
from skycue.geo.raster import Raster
from skycue.geo.raster_facts import MERCATOR_WORLD_M, TILE_SIZE, Grid, RasterFacts
from skycue.geo.raster_files import gdal_errors, gdal_options, open_dataset
from skycue.geo.tiles import PixelWindow

MAX_ZOOM = 30
"""Beyond it tiles show less than a millimetre."""


def draw_tile(
    path: Path, facts: RasterFacts, grid: Grid, z: int, x: int, y: int
) -> NDArray[np.uint8]:
    """Return a tile as RGB and alpha, uint8 [4, 256, 256]; what holds nothing is transparent.

    Args:
        path: The raster file.
        facts: What is known of it.
        grid: Which tiles.
        z: Level; 0 is the coarsest.
        x: Column of the tile.
        y: Row of the tile, from the top.

    Raises:
        NotFoundError: If the raster has no such grid, or no tile there.
        ImageReadError: If the file is damaged there.
    """
    known = next((entry for entry in facts.grids if entry.grid == grid), None)
    if known is None:
        raise NotFoundError(f"the raster has no tiles in the grid {grid!r}.")
    if not 0 <= z <= MAX_ZOOM or x < 0 or y < 0:
        raise NotFoundError(f"there is no tile {z}/{x}/{y}.")
    if grid == "pixels":
        return _pixel_tile(path, facts, known.max_zoom, z, x, y)
    if max(x, y) >= 2**z or not _meets(known.extent, z, x, y):
        raise NotFoundError(f"there is no tile {z}/{x}/{y}.")
    return _mercator_tile(path, facts, z, x, y)


def pixel_window(
    size: tuple[int, int], max_zoom: int, z: int, x: int, y: int
) -> tuple[PixelWindow, tuple[int, int]]:
    """Return the pixels that a tile of the grid `pixels` shows, and the size they are shown at.

    Raises:
        NotFoundError: If it shows none, or less than a pixel each.
    """
    if z > max_zoom:
        raise NotFoundError(f"there is no tile {z}/{x}/{y}: {max_zoom} is the finest level.")
    scale = 2 ** (max_zoom - z)
    side = TILE_SIZE * scale
    window = PixelWindow(x * side, y * side, side, side)
    cut = window.cut(size)
    if cut is None:
        raise NotFoundError(f"there is no tile {z}/{x}/{y}.")
    return cut, (max(1, -(-cut.height // scale)), max(1, -(-cut.width // scale)))


def _pixel_tile(
    path: Path, facts: RasterFacts, max_zoom: int, z: int, x: int, y: int
) -> NDArray[np.uint8]:
    window, shown = pixel_window(facts.size, max_zoom, z, x, y)
    raster = Raster.open(path, bands=facts.shown_bands, stretch=facts.stretch)
    read = raster.read(window, shown)
    tile = np.zeros((4, TILE_SIZE, TILE_SIZE), dtype=np.uint8)
    tile[:3, : shown[0], : shown[1]] = read.pixels
    tile[3, : shown[0], : shown[1]] = np.where(read.valid, 255, 0)
    return tile


def _meets(extent: tuple[float, float, float, float], z: int, x: int, y: int) -> bool:
    """Tell whether a tile of web maps and an extent in metres share an area."""
    side, half = MERCATOR_WORLD_M / 2.0**z, MERCATOR_WORLD_M / 2
    west, north = x * side - half, half - y * side
    x_min, y_min, x_max, y_max = extent
    return west < x_max and west + side > x_min and north > y_min and north - side < y_max


def _mercator_tile(path: Path, facts: RasterFacts, z: int, x: int, y: int) -> NDArray[np.uint8]:
    from rio_tiler.errors import TileOutsideBounds
    from rio_tiler.io import Reader

    bands = Raster.open(path, bands=facts.shown_bands, stretch=facts.stretch).bands
    dataset = open_dataset(path)
    try:
        with gdal_errors(path), gdal_options(), Reader(None, dataset=dataset) as reader:
            image = reader.tile(x, y, z, tilesize=TILE_SIZE, indexes=bands)
            colormap = reader.colormap
    except TileOutsideBounds:  # beside a raster that lies askew in its extent
        return np.zeros((4, TILE_SIZE, TILE_SIZE), dtype=np.uint8)
    finally:
        dataset.close()
    if colormap:
        image = image.apply_colormap(colormap)
        levels: NDArray[np.uint8] = image.data[:3].astype(np.uint8)
    else:
        levels = facts.stretch.to_levels(image.data)
    if len(levels) == 1:
        levels = np.repeat(levels, 3, axis=0)
    alpha = image.mask  # [256, 256]: 255 where there is something
    return np.concatenate([np.where(alpha > 0, levels, 0), alpha[None]]).astype(np.uint8)
