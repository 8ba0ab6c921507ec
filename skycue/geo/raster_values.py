"""Values of a raster's bands, window by window, as its file stores them."""

import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.geo.bands import BandChoice
from skycue.geo.raster_files import gdal_errors, gdal_options, open_dataset
from skycue.geo.spans import Span, spans_of
from skycue.geo.sparse import FilledBlocks
from skycue.geo.tiles import PixelWindow

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

PIECE_SIDE = 4096
"""Pixels along each side that are decoded at once, whatever the window."""
SPARSE_PIECE_SIDE = 1024
"""The same where a piece may be known to be empty and need not be decoded."""
NODATA_ROUNDING = 1e-6
"""Relative; a real nodata value may be written with fewer digits than the pixels have."""


class Piece(NamedTuple):
    """A part of a window that was decoded.

    Attributes:
        rows: Where it lies in the result.
        columns: Where it lies in the result.
        values: Of the shown bands, [N, h, w].
        held: Where each band holds a value, bool [N, h, w]; None if it does everywhere.
    """

    rows: slice
    columns: slice
    values: NDArray[np.generic]
    held: NDArray[np.bool_] | None


class _Handle(threading.local):
    """A GDAL dataset for each thread: GDAL allows one thread at a time in a dataset."""

    dataset: "DatasetReader | None" = None
    process = 0


class RasterValues:
    """Reads values of the shown bands; each thread and process opens the file for itself.

    Attributes:
        path: The file.
        choice: The shown bands.
        size: (height, width) in pixels.
        block: (height, width) of what is decoded at once.
        overview_factors: How many pixels a pixel of each smaller copy shows along a side.
        filled: The index of blocks, where a block that is not in the file holds nothing.
    """

    def __init__(self, path: Path, choice: BandChoice, dataset: "DatasetReader") -> None:
        self.path, self.choice = path, choice
        self.size: tuple[int, int] = (dataset.height, dataset.width)
        self.block: tuple[int, int] = dataset.block_shapes[choice.shown[0] - 1]
        self.overview_factors: tuple[int, ...] = tuple(sorted(dataset.overviews(choice.shown[0])))
        self.filled: FilledBlocks | None = None
        missing_is_nothing = choice.alpha is not None or None not in choice.nodata
        if dataset.driver == "GTiff" and missing_is_nothing and not choice.masked:
            self.filled = FilledBlocks(self.size, self.block, choice.shown)
        self._handle = _Handle()
        self._handle.dataset, self._handle.process = dataset, os.getpid()

    def dataset(self) -> "DatasetReader":
        """Return this thread's GDAL dataset; a forked process may not use its parent's."""
        handle = self._handle
        if handle.dataset is None or handle.process != os.getpid():
            handle.dataset, handle.process = open_dataset(self.path), os.getpid()
        return handle.dataset

    def read(self, window: PixelWindow, size: tuple[int, int]) -> Iterator[Piece]:
        """Yield what of a window lies in the raster, in pieces of bounded memory.

        Pieces that are known to hold nothing are left out. Where `size` is smaller than the window,
        overviews are used and the parts of a pixel that hold values averaged, by their area (GDAL
        may weigh the four of two rows and two columns alike). A real number that is not finite,
        where the file does not declare such as nodata, spoils the mean that it is part of: that
        pixel holds nothing. So does one whose mean is the very value that stands for none, which
        lies beyond all others in most files.

        Args:
            window: It may reach outside.
            size: (height, width) to read it at.

        Raises:
            ImageReadError: If the file is damaged there.
        """
        step = min(window.height / size[0], window.width / size[1])
        fitting = [factor for factor in self.overview_factors if factor <= step]
        side = PIECE_SIDE if self.filled is None else SPARSE_PIECE_SIDE
        longest = side * max(fitting, default=1)
        resampling = self._resampling(window, size)
        for rows in spans_of(window.y, window.height, size[0], self.size[0], longest):
            for columns in spans_of(window.x, window.width, size[1], self.size[1], longest):
                around = _around(rows, columns)
                if self.filled is None or self.filled.any_in(around, self.dataset):
                    values, held = self._decode(rows, columns, resampling)
                    yield Piece(rows.cells, columns.cells, values, held)

    def _resampling(self, window: PixelWindow, size: tuple[int, int]) -> str:
        """Name GDAL's way from pixels to another size."""
        if self.choice.palette is not None or size == (window.height, window.width):
            return "nearest"
        return "average" if window.height > size[0] or window.width > size[1] else "bilinear"

    def _decode(
        self, rows: Span, columns: Span, resampling: str
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
        """Read the values of a piece, and where each holds one."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        choice, shape = self.choice, (rows.number, columns.number)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        how = {
            "window": Window(columns.start, rows.start, width, height),
            "resampling": Resampling[resampling],
        }
        with gdal_errors(self.path), gdal_options():
            dataset = self.dataset()
            indexes = [*choice.shown, *([choice.alpha] if choice.alpha else [])]
            values = dataset.read(indexes, out_shape=(len(indexes), *shape), **how)
            mask = dataset.read_masks(1, out_shape=shape, **how) if choice.masked else None
        if choice.always_holds:
            return values, None
        held = np.ones((len(choice.shown), *shape), dtype=np.bool_)
        if choice.alpha:
            held &= values[-1] > 0
            values = values[:-1]
        if mask is not None:
            held &= mask > 0
        for band, ok, nodata in zip(values, held, choice.nodata, strict=True):
            ok &= _holds(band, nodata)
        return values, held

    def __getstate__(self) -> dict[str, object]:
        """Leave out the handle: GDAL's datasets stay in their thread."""
        return {name: value for name, value in self.__dict__.items() if name != "_handle"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _handle=_Handle())


def _around(rows: Span, columns: Span) -> PixelWindow:
    """Return the whole pixels that a piece touches."""
    x, y = math.floor(columns.start), math.floor(rows.start)
    return PixelWindow(x, y, math.ceil(columns.stop) - x, math.ceil(rows.stop) - y)


def _holds(values: NDArray[np.generic], nodata: float | None) -> NDArray[np.bool_]:
    """Say where a band holds a number that does not stand for none."""
    real = values.dtype.kind == "f"
    held: NDArray[np.bool_] = np.isfinite(values) if real else np.ones(values.shape, np.bool_)
    if nodata is None or np.isnan(nodata):
        return held
    if real:
        held &= ~np.isclose(values, nodata, rtol=NODATA_ROUNDING, atol=0.0)
        return held
    return np.asarray(values != values.dtype.type(nodata))
