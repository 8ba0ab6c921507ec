"""Windows of a raster in pixels, and the regular grids that cover a whole raster with them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, overload

from skycue.errors import GeoError


class PixelWindow(NamedTuple):
    """A rectangle of whole pixels; it may reach outside its raster.

    Attributes:
        x: Column of its first pixel.
        y: Row of its first pixel.
        width: Its columns.
        height: Its rows.
    """

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def whole(cls, size: tuple[int, int]) -> "PixelWindow":
        """Return the window that is all of a raster of `size` (height, width)."""
        return cls(0, 0, size[1], size[0])

    def cut(self, size: tuple[int, int]) -> "PixelWindow | None":
        """Return what of it lies in a raster of `size` (height, width), or None."""
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, size[1]), min(self.y + self.height, size[0])
        if left >= right or top >= bottom:
            return None
        return PixelWindow(left, top, right - left, bottom - top)


class RowsOfWindows(Sequence[PixelWindow], ABC):
    """Windows row by row, each made when it is asked for.

    Attributes:
        rows: Windows from top to bottom.
        columns: Windows from left to right.
        noun: What a message calls one of them.
    """

    rows: int
    columns: int
    noun = "window"

    @abstractmethod
    def window_at(self, row: int, column: int) -> PixelWindow:
        """Return the window in a row and a column."""

    def __len__(self) -> int:
        return self.rows * self.columns

    @overload
    def __getitem__(self, index: int) -> PixelWindow: ...
    @overload
    def __getitem__(self, index: slice) -> list[PixelWindow]: ...
    def __getitem__(self, index: int | slice) -> PixelWindow | list[PixelWindow]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"{self.noun} {index} of {len(self)}")
        return self.window_at(*divmod(place, self.columns))


class WindowGrid(RowsOfWindows):
    """Square windows whose corners lie a stride apart.

    The window in row r and column c starts at pixel (c * stride, r * stride). There are as few
    windows as cover the raster, so the last ones may reach outside: they are never shifted, for a
    map has one cell a stride.

    Attributes:
        window: Side of a window in pixels.
        stride: Pixels from one window to the next.
        rows: Windows from top to bottom.
        columns: Windows from left to right.
    """

    def __init__(self, size: tuple[int, int], window: int, stride: int) -> None:
        self.window, self.stride = window, stride
        self.rows, self.columns = (1 + max(0, -((window - length) // stride)) for length in size)

    def window_at(self, row: int, column: int) -> PixelWindow:
        """Return the window in a row and a column."""
        return PixelWindow(column * self.stride, row * self.stride, self.window, self.window)


def grid_of(size: tuple[int, int], window: int, stride: int) -> WindowGrid:
    """Cover a raster with square windows, every pixel at least once.

    Args:
        size: (height, width) of the raster.
        window: Side of a window in pixels.
        stride: Pixels from one window to the next, at most `window`.

    Raises:
        GeoError: If a number is not positive, or the stride would leave pixels out.
    """
    if window < 1 or stride < 1:
        raise GeoError(f"window {window} and stride {stride}: both are at least 1 pixel.")
    if stride > window:
        raise GeoError(
            f"a stride of {stride} pixels leaves gaps between windows of {window}: "
            "give a stride of at most the window."
        )
    return WindowGrid(size, window, stride)
