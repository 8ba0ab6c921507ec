"""The cells that cover a raster, and the window that speaks for each."""

from collections.abc import Sequence
from typing import overload

from skycue.errors import GeoError
from skycue.geo.georeference import GeoReference
from skycue.geo.tiles import PixelWindow


class CellGrid(Sequence[PixelWindow]):
    """Square cells of a stride that cover a raster from its first pixel, each with its window.

    As a sequence it holds the windows row by row, each made when it is asked for. A cell's window
    has the cell in its middle; at the edges of the raster it is shifted inside, so that it shows
    nothing that is not there, and still holds the cell. Only a raster that is smaller than a window
    has windows that reach outside, by as much on both sides.

    Attributes:
        size: (height, width) of the raster.
        window: Side of a window in pixels.
        stride: Side of a cell in pixels.
        rows: Cells from top to bottom.
        columns: Cells from left to right; the last row and column may reach outside.
    """

    def __init__(self, size: tuple[int, int], window: int, stride: int) -> None:
        """Lay cells over a raster.

        Args:
            size: (height, width) of the raster.
            window: Side of a window in pixels.
            stride: Side of a cell in pixels, at most `window`.

        Raises:
            GeoError: If a number is not positive, or the stride is larger than the window.
        """
        if window < 1 or stride < 1:
            raise GeoError(f"window {window} and stride {stride}: both are at least 1 pixel.")
        if stride > window:
            raise GeoError(
                f"a stride of {stride} pixels leaves gaps between windows of {window}: "
                "give a stride of at most the window."
            )
        self.size, self.window, self.stride = size, window, stride
        self.rows, self.columns = (-(-length // stride) for length in size)
        self._y, self._x = (
            [self._start(cell, length) for cell in range(-(-length // stride))] for length in size
        )

    def __len__(self) -> int:
        return self.rows * self.columns

    @overload
    def __getitem__(self, index: int) -> PixelWindow: ...
    @overload
    def __getitem__(self, index: slice) -> list[PixelWindow]: ...
    def __getitem__(self, index: int | slice) -> PixelWindow | list[PixelWindow]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        row, column = self._place(index)
        return PixelWindow(self._x[column], self._y[row], self.window, self.window)

    def cell(self, index: int) -> PixelWindow:
        """Return a cell, cut to the raster."""
        row, column = self._place(index)
        x, y, (height, width) = column * self.stride, row * self.stride, self.size
        return PixelWindow(x, y, min(self.stride, width - x), min(self.stride, height - y))

    def _place(self, index: int) -> tuple[int, int]:
        """Return the row and the column of a cell."""
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"cell {index} of {len(self)}")
        return divmod(place, self.columns)

    def _start(self, cell: int, length: int) -> int:
        """Return the first pixel of a cell's window along a side of the raster."""
        if length <= self.window:
            return (length - self.window) // 2
        centred = cell * self.stride - (self.window - self.stride) // 2
        return min(max(centred, 0), length - self.window)

    def georeference(self, place: GeoReference) -> GeoReference:
        """Return where the cells lie, as pixels of a raster of their own.

        Args:
            place: Where the raster lies.
        """
        height, width = self.rows * self.stride, self.columns * self.stride
        return place.of_window(PixelWindow(0, 0, width, height), (self.rows, self.columns))
