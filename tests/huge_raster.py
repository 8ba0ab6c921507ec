"""A sparse raster of 200,000 x 200,000 pixels, and a small one with the same filled blocks.

Functions that are handed to `alone` stand in modules, so that the other process can import them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import rasterio
from rasterio.windows import Window

from skycue.process_memory import peak_bytes
from skycue.spawned import SPAWN
from tests.made_up_rasters import CRS, PLACE, fields

T = TypeVar("T")
SIDE, BLOCK = 200_000, 512
MOST_BYTES = 2_000_000_000
SPARE = 2
"""Blocks from one filled block to the next at least, so that no window sees two."""


class Block(NamedTuple):
    """Where a filled block lies, in blocks."""

    row: int
    column: int

    @property
    def corner(self) -> tuple[int, int]:
        """(x, y) of its upper left pixel."""
        return self.column * BLOCK, self.row * BLOCK


def scattered(n_blocks: int) -> list[Block]:
    """Draw blocks of the huge raster, none beside another and none at the edge, row by row."""
    rng = np.random.default_rng(5)
    across = SIDE // BLOCK // SPARE - 1
    chosen = np.sort(rng.choice(across * across, n_blocks, replace=False)).tolist()
    return [Block(1 + SPARE * (n // across), 1 + SPARE * (n % across)) for n in chosen]


def packed(n_blocks: int) -> list[Block]:
    """Put as many blocks as near to each other as they may be, row by row."""
    across = _across(n_blocks)
    return [Block(1 + SPARE * (n // across), 1 + SPARE * (n % across)) for n in range(n_blocks)]


def packed_side(n_blocks: int) -> int:
    """Return the side in pixels of a raster with room for the packed blocks."""
    return (1 + SPARE * _across(n_blocks)) * BLOCK


def _across(n_blocks: int) -> int:
    return int(np.ceil(np.sqrt(n_blocks)))


def write_sparse(path: Path, side: int, blocks: Sequence[Block]) -> None:
    """Write a raster whose blocks at some places are filled, each with its own fields."""
    form = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "sparse_ok": True}
    place = {"crs": CRS, "transform": PLACE, "nodata": 0, "dtype": "uint8", "count": 3}
    with rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, bigtiff="YES", **form, **place
    ) as dataset:
        for number, block in enumerate(blocks):
            pixels = fields(13, 13, seed=number)[:, :BLOCK, :BLOCK]
            dataset.write(pixels, window=Window(*block.corner, BLOCK, BLOCK))


def alone(work: Callable[..., T], *arguments: object) -> tuple[T, int]:
    """Do work in a new process; return its result and the most memory that the process had."""
    with ProcessPoolExecutor(1, SPAWN) as process:
        return process.submit(_with_peak, work, arguments).result()


def _with_peak(work: Callable[..., T], arguments: tuple[object, ...]) -> tuple[T, int]:
    result = work(*arguments)
    peak = peak_bytes()
    assert peak is not None, "read from /proc"
    return result, peak
