"""The cells of a map that is coarser than its raster, and the window that speaks for each."""

from skycue.geo.georeference import GeoReference
from skycue.geo.tiles import PixelWindow, RowsOfWindows, grid_of


class CellGrid(RowsOfWindows):
    """Square cells of a stride that cover a raster from its first pixel, each with its window.

    A cell's window has the cell in its middle; at the edges of the raster it is shifted inside, so
    that it shows nothing that is not there, and still holds the cell. Only a raster that is smaller
    than a window has windows that reach outside, by as much on both sides. In contrast to
    `WindowGrid` the cells leave no border of the raster out.

    Attributes:
        size: (height, width) of the raster.
        window: Side of a window in pixels.
        stride: Side of a cell in pixels.
        rows: Cells from top to bottom.
        columns: Cells from left to right; the last row and column may reach outside.
    """

    noun = "cell"

    def __init__(self, size: tuple[int, int], window: int, stride: int) -> None:
        """Lay cells over a raster.

        Args:
            size: (height, width) of the raster.
            window: Side of a window in pixels.
            stride: Side of a cell in pixels, at most `window`.

        Raises:
            GeoError: If a number is not positive, or the stride is larger than the window.
        """
        grid_of(size, window, stride)  # refuses what makes no grid
        self.size, self.window, self.stride = size, window, stride
        self.rows, self.columns = (-(-length // stride) for length in size)
        self._y, self._x = (
            [self._start(cell, length) for cell in range(-(-length // stride))] for length in size
        )

    def window_at(self, row: int, column: int) -> PixelWindow:
        """Return the window of the cell in a row and a column."""
        return PixelWindow(self._x[column], self._y[row], self.window, self.window)

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
