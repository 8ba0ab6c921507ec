"""Windows of a raster in pixels."""

from typing import NamedTuple


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
