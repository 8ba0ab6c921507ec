"""Which blocks of a sparse GeoTIFF hold anything, told by its index without decoding."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skycue.geo.tiles import PixelWindow

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Opener = Callable[[], "DatasetReader"]


class FilledBlocks:
    """The blocks of a raster that its file holds, looked up a row of blocks at a time.

    A GeoTIFF need not write a block without values: it has no place in the file then, and GDAL
    reads it as nodata, or as 0 where there is none. Places come from GDAL's metadata of bands,
    `BLOCK_OFFSET_x_y` (https://gdal.org/en/stable/drivers/raster/gtiff.html), in about half a
    microsecond a block.

    Attributes:
        shape: Blocks from top to bottom and from left to right.
        block: (height, width) of a block.
    """

    def __init__(self, size: tuple[int, int], block: tuple[int, int], bands: Sequence[int]) -> None:
        self.size, self.block = size, block
        self.shape = (-(-size[0] // block[0]), -(-size[1] // block[1]))
        self._bands = tuple(bands)
        self._rows: dict[int, NDArray[np.bool_]] = {}

    def any_in(self, window: PixelWindow, opened: Opener) -> bool:
        """Say whether a window that lies in the raster meets a filled block.

        Args:
            window: Inside the raster.
            opened: Gives its GDAL dataset; called for rows of blocks not looked up yet.
        """
        height, width = self.block
        left, right = window.x // width, (window.x + window.width - 1) // width + 1
        for y in range(window.y // height, (window.y + window.height - 1) // height + 1):
            if self._row(y, opened)[left:right].any():
                return True
        return False

    def positions(self, opened: Opener) -> NDArray[np.int64]:
        """Return the filled blocks, counted row by row."""
        rows = [np.flatnonzero(self._row(y, opened)) for y in range(self.shape[0])]
        return np.concatenate([y * self.shape[1] + row for y, row in enumerate(rows)])

    def _row(self, y: int, opened: Opener) -> NDArray[np.bool_]:
        """Return which blocks of a row are filled in one of the bands, bool [columns]."""
        known = self._rows.get(y)
        if known is None:
            find = opened().get_tag_item
            names = [f"BLOCK_OFFSET_{x}_{y}" for x in range(self.shape[1])]
            known = np.array(
                [any(find(name, "TIFF", band) for band in self._bands) for name in names],
                dtype=np.bool_,
            )
            self._rows[y] = known
        return known
