"""Tiles of a classified raster: a colour for each cell, wherever a viewer shows it."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skycue.errors import NotFoundError
from skycue.geo.crs import reproject
from skycue.geo.georeference import GeoReference
from skycue.geo.raster_facts import MERCATOR, MERCATOR_WORLD_M, TILE_SIZE, Grid, RasterFacts
from skycue.geo.raster_files import gdal_errors, gdal_options, open_dataset

NO_CLASS = 255
"""Label of a cell without a class."""
MAX_CLASSES = 255
KNOTS = 17
"""Points along each side of a tile that are brought to the raster's CRS; those between them are
interpolated, which is far less than a pixel off on a tile."""


def draw_label_tile(
    path: Path,
    stride: int,
    raster_size: tuple[int, int],
    colours: NDArray[np.uint8],
    shown: Collection[int] | None,
    points: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Return a tile of labels as RGB and alpha, uint8 [4, 256, 256].

    Args:
        path: Labels, a raster of one uint8 band with a pixel a cell.
        stride: Pixels of the classified raster along each side of a cell.
        raster_size: (height, width) of the classified raster; the last cells may reach beyond.
        colours: RGB of each class, [C, 3].
        shown: Numbers of the classes that are drawn; None draws all.
        points: Where on the classified raster each pixel of the tile lies, from `tile_points`.

    Raises:
        ImageReadError: If the file is damaged.
    """
    from rasterio.windows import Window

    tile = np.zeros((4, TILE_SIZE, TILE_SIZE), dtype=np.uint8)
    cells = np.floor(points / stride)  # [256, 256, 2]
    on_raster = (points >= 0).all(-1) & (points < raster_size[::-1]).all(-1)
    dataset = open_dataset(path)
    try:
        inside = on_raster & (cells < (dataset.width, dataset.height)).all(-1)
        if not inside.any():
            return tile
        columns, rows = cells[inside].astype(np.int64).T
        x, y = int(columns.min()), int(rows.min())
        window = Window(x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1)
        # far out a tile shows more cells than it has pixels: overviews hold enough of them
        step = max(1, min(window.width, window.height) // (2 * TILE_SIZE))
        size = (-(-window.height // step), -(-window.width // step))
        with gdal_errors(path), gdal_options():
            labels = dataset.read(1, window=window, out_shape=size)
    finally:
        dataset.close()
    found = labels[
        np.minimum((rows - y) * size[0] // window.height, size[0] - 1),
        np.minimum((columns - x) * size[1] // window.width, size[1] - 1),
    ]
    table = np.zeros((256, 4), dtype=np.uint8)
    table[: len(colours), :3] = colours
    for number in range(len(colours)) if shown is None else shown:
        table[number, 3] = 255
    tile[:, inside] = table[found].T
    return tile


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Return all labels of a map, [h, w]."""
    dataset = open_dataset(path)
    try:
        with gdal_errors(path), gdal_options():
            labels: NDArray[np.uint8] = dataset.read(1)
    finally:
        dataset.close()
    return labels


def read_scores(path: Path) -> NDArray[np.float32]:
    """Return the probability of each cell's most probable class, [h, w]; 0 where it has none."""
    dataset = open_dataset(path)
    try:
        scores = np.zeros((dataset.height, dataset.width), dtype=np.float32)
        with gdal_errors(path), gdal_options():
            for band in dataset.indexes:  # one at a time: a map may have many classes
                np.fmax(scores, dataset.read(band), out=scores)
    finally:
        dataset.close()
    return scores


def tile_points(
    facts: RasterFacts, georeference: GeoReference | None, grid: Grid, z: int, x: int, y: int
) -> NDArray[np.float64]:
    """Return where on a raster the pixels of a tile lie, (x, y) in pixels, [256, 256, 2].

    Raises:
        NotFoundError: If the raster has no such grid.
        GeoError: If the tile lies where the raster's CRS does not reach.
    """
    known = next((entry for entry in facts.grids if entry.grid == grid), None)
    if known is None:
        raise NotFoundError(f"the raster has no tiles in the grid {grid!r}.")
    if grid == "pixels":
        scale = 2.0 ** (known.max_zoom - z)
        across = (x * TILE_SIZE + np.arange(TILE_SIZE) + 0.5) * scale
        down = (y * TILE_SIZE + np.arange(TILE_SIZE) + 0.5) * scale
        return np.stack(np.meshgrid(across, down), axis=-1)
    assert georeference is not None, "a raster with web tiles has a place"
    side = MERCATOR_WORLD_M / 2**z
    knots = np.linspace(0.0, 1.0, KNOTS)
    across = (x + knots) * side - MERCATOR_WORLD_M / 2
    down = MERCATOR_WORLD_M / 2 - (y + knots) * side
    corners = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    on_map = reproject(corners, MERCATOR, georeference.crs)
    placed = georeference.to_pixels(on_map).reshape(KNOTS, KNOTS, 2)
    return _between(placed)


def _between(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate knots [k, k, 2] at the middles of a tile's pixels, [256, 256, 2]."""
    places = (np.arange(TILE_SIZE) + 0.5) / TILE_SIZE * (len(knots) - 1)
    first = np.floor(places).astype(np.int64)
    share = places - first
    rows = knots[first] * (1 - share)[:, None, None] + knots[first + 1] * share[:, None, None]
    left, right = rows[:, first], rows[:, first + 1]
    return left * (1 - share)[None, :, None] + right * share[None, :, None]
