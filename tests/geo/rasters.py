"""Small rasters for tests, written as their users' files are."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

PLACE = Affine(0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0)


def write_bands(
    path: Path,
    bands: NDArray[np.generic],
    *,
    driver: str = "GTiff",
    crs: str | None = "EPSG:32631",
    transform: Affine = PLACE,
    **options: str | float | bool,
) -> Path:
    """Write bands [N, H, W]; GeoTIFFs in blocks of 16 pixels if not asked for otherwise."""
    count, height, width = bands.shape
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16} if driver == "GTiff" else {}
    with rasterio.open(
        path,
        "w",
        driver=driver,
        count=count,
        height=height,
        width=width,
        dtype=bands.dtype,
        crs=crs,
        transform=transform,
        **{**blocks, **options},
    ) as dataset:
        dataset.write(bands)
    return path


def area_weights(start: float, length: float, cells: int, limit: int) -> NDArray[np.float64]:
    """Return how much of each pixel of an axis each cell covers, [cells, limit]: the definition."""
    edges = start + length / cells * np.arange(cells + 1)
    pixels = np.arange(limit)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    return np.asarray(np.clip(high - low, 0.0, None))


def area_means(
    values: NDArray[np.float64],
    held: NDArray[np.bool_],
    window: tuple[int, int, int, int],
    size: tuple[int, int],
    *,
    alike: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Average held values [H, W] in the cells of a window x, y, width, height read at `size`.

    By the area that a cell has of each, or `alike` each that it touches.
    """
    x, y, width, height = window
    rows = area_weights(y, height, size[0], values.shape[0])
    columns = area_weights(x, width, size[1], values.shape[1])
    if alike:
        rows, columns = ((each > 1e-9).astype(np.float64) for each in (rows, columns))
    weights = rows @ held.astype(np.float64) @ columns.T
    sums = rows @ np.where(held, values, 0.0) @ columns.T
    found = weights > 1e-9
    return np.divide(sums, weights, out=np.zeros_like(sums), where=found), found
