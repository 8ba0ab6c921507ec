"""How much of each cell of a raster holds a value: what is told of a cell is told of that part."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skycue.geo.cells import CellGrid
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow

SIDE = 2048
"""Pixels along each side of what is decoded at once."""


def valid_shares(raster: Raster, grid: CellGrid, rows: range | None = None) -> NDArray[np.float64]:
    """Return which share of the pixels of each cell holds a value; parts off the raster are none.

    Decodes the raster once where it may lack values, in bounded memory.

    Args:
        raster: What the cells lie on.
        grid: The cells.
        rows: The rows of cells to look at, one after the other; all if not given.

    Returns:
        Shares in [0, 1], [h, w].

    Raises:
        ImageReadError: If the raster is damaged there.
    """
    rows = range(grid.rows) if rows is None else rows
    shape, stride = (len(rows), grid.columns), grid.stride
    if raster.always_holds:
        return np.ones(shape)
    height, width = raster.size
    counts = np.zeros(shape, dtype=np.int64)
    for top in range(rows.start * stride, min(rows.stop * stride, height), SIDE):
        bottom = min(top + SIDE, rows.stop * stride, height)
        for left in range(0, width, SIDE):
            piece = PixelWindow(left, top, min(SIDE, width - left), bottom - top)
            if raster.is_empty(piece):
                continue
            valid = raster.read(piece).valid
            starts = []
            for first, length in ((top, piece.height), (left, piece.width)):
                cells = np.arange(first // stride, (first + length - 1) // stride + 1)
                starts.append((cells, np.maximum(cells * stride - first, 0)))
            (lines, down), (columns, across) = starts
            found = np.add.reduceat(valid, down, axis=0, dtype=np.int64)
            found = np.add.reduceat(found, across, axis=1)  # [lines, columns]
            counts[np.ix_(lines - rows.start, columns)] += found
    return counts / cell_pixels(grid)[rows.start : rows.stop]


def holds_value(raster: Raster, cells: Sequence[PixelWindow]) -> list[bool]:
    """Say of each cell, cut to the raster, whether one of its pixels holds a value.

    Raises:
        ImageReadError: If the raster is damaged there.
    """
    return [
        raster.always_holds or (not raster.is_empty(cell) and bool(raster.read(cell).valid.any()))
        for cell in cells
    ]


def cell_pixels(grid: CellGrid) -> NDArray[np.int64]:
    """Return how many pixels of the raster each cell holds, [rows, columns]."""
    sides = [
        np.minimum(grid.stride, length - np.arange(count) * grid.stride)
        for length, count in zip(grid.size, (grid.rows, grid.columns), strict=True)
    ]
    return np.outer(*sides)
