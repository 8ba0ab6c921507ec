"""Which blocks of a sparse GeoTIFF hold anything, told by its index without decoding."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skycue.geo.tiles import PixelWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rasterio.io import DatasetReader


class FilledBlocks:
    """The blocks of a raster that its file holds, looked up a row of blocks at a time.

    A GeoTIFF need not write a block without values: its offset in the file is 0 then, and GDAL
    reads it as nodata, or as 0 where there is none. Offsets come from GDAL's metadata of bands,
    `BLOCK_OFFSET_x_y` (https://gdal.org/en/stable/drivers/raster/gtiff.html).

    Attributes:
        shape: Blocks from top to bottom and from left to right.
        block: (height, width) of a block.
    """

    def __init__(self, size: tuple[int, int], block: tuple[int, int], bands: "Sequence[int]"):
        self.block = block
        self.shape = (-(-size[0] // block[0]), -(-size[1] // block[1]))
        self._bands = tuple(bands)
        self._rows: dict[int, NDArray[np.bool_]] = {}

    def row(self, dataset: "DatasetReader", y: int) -> NDArray[np.bool_]:
        """Return which blocks of a row are filled in one of the bands, bool [columns]."""
        known = self._rows.get(y)
        if known is None:
            known = np.array(
                [
                    any(
                        dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", band)
                        for band in self._bands
                    )
                    for x in range(self.shape[1])
                ],
                dtype=np.bool_,
            )
            self._rows[y] = known
        return known

    def any_in(self, dataset: "DatasetReader", window: PixelWindow) -> bool:
        """Say whether a window that lies in the raster meets a filled block."""
        height, width = self.block
        left, right = window.x // width, (window.x + window.width - 1) // width
        top, bottom = window.y // height, (window.y + window.height - 1) // height
        return any(
            bool(self.row(dataset, y)[left : right + 1].any()) for y in range(top, bottom + 1)
        )

    def positions(self, dataset: "DatasetReader") -> NDArray[np.int64]:
        """Return the filled blocks, counted row by row."""
        filled = np.stack([self.row(dataset, y) for y in range(self.shape[0])])
        return np.flatnonzero(filled)
