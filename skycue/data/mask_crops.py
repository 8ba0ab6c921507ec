"""Masks as crops: what lies inside their tight box, so that a mask is as small as its object.

A full mask of a raster of 10,000 x 10,000 pixels takes 100 MB, and a thousand objects have a
thousand of them; cut to their boxes they take what the objects cover.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.boxes import Box
from skycue.data.rle import Rle, encode_runs

Mask = NDArray[np.bool_]


class MaskCrop(NamedTuple):
    """A mask of an image, cut to its tight box.

    Attributes:
        size: (height, width) of the image.
        corner: (x, y) of the crop's upper left pixel in the image.
        pixels: The mask inside its tight box, [h, w]: the first and last row and column hold a
            pixel; [0, 0] at the corner (0, 0) where the mask is empty.
    """

    size: tuple[int, int]
    corner: tuple[int, int]
    pixels: Mask

    @classmethod
    def of(
        cls, mask: Mask, corner: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None
    ) -> "MaskCrop":
        """Cut a mask [h, w], or a part of one, to its tight box.

        Args:
            mask: Of an image, or of a rectangle inside it.
            corner: (x, y) of the rectangle's upper left pixel in the image.
            size: (height, width) of the image, where `mask` is a rectangle of it.
        """
        size = size or (mask.shape[0], mask.shape[1])
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows) == 0:
            return cls(size, (0, 0), np.zeros((0, 0), dtype=np.bool_))
        y, x = int(rows[0]), int(columns[0])
        # A copy: a view would keep the whole mask in memory.
        pixels = mask[y : int(rows[-1]) + 1, x : int(columns[-1]) + 1].copy()
        return cls(size, (corner[0] + x, corner[1] + y), pixels)

    @property
    def box(self) -> Box | None:
        """The tight box in pixels of the image; None where the mask is empty."""
        if not self.pixels.size:
            return None
        (x, y), (height, width) = self.corner, self.pixels.shape
        return (float(x), float(y), float(x + width), float(y + height))

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.pixels))

    def area_within(self, rectangle: tuple[int, int, int, int]) -> int:
        """Return how many pixels lie inside x_min, y_min, x_max, y_max; it may reach outside."""
        (x, y), (height, width) = self.corner, self.pixels.shape
        left, right = max(rectangle[0] - x, 0), min(rectangle[2] - x, width)
        top, bottom = max(rectangle[1] - y, 0), min(rectangle[3] - y, height)
        if left >= right or top >= bottom:
            return 0
        return int(np.count_nonzero(self.pixels[top:bottom, left:right]))

    def without_specks(self, least: float) -> "MaskCrop":
        """Return the mask without its small parts: pixels that touch, by a corner too, are a part.

        Args:
            least: Area of a part that stays over that of the largest part, at least.
        """
        from scipy.ndimage import label  # imported when used: slow to import

        parts, count = label(self.pixels, np.ones((3, 3)))
        if count < 2:
            return self
        areas = np.bincount(parts.ravel())
        areas[0] = 0  # the background is no part
        stays = (areas >= least * areas.max()) & (areas > 0)
        return MaskCrop.of(stays[parts], self.corner, self.size)

    def moved_to(self, size: tuple[int, int], shift: tuple[int, int]) -> "MaskCrop":
        """Return the mask on an image of another size, shifted by (x, y) whole pixels."""
        if not self.pixels.size:
            return self._replace(size=size)
        return MaskCrop(size, (self.corner[0] + shift[0], self.corner[1] + shift[1]), self.pixels)

    def full(self) -> Mask:
        """Return the mask of the whole image, [H, W]: for small images."""
        mask = np.zeros(self.size, dtype=np.bool_)
        (x, y), (height, width) = self.corner, self.pixels.shape
        mask[y : y + height, x : x + width] = self.pixels
        return mask

    def to_rle(self) -> Rle:
        """Return the run lengths of the whole image's mask, which is not made for it."""
        height, width = self.size
        (x, y), (rows, columns) = self.corner, self.pixels.shape
        # Down each column of the crop, between a row of background on either side, the value
        # changes where a run begins and again where it ends.
        edged = np.zeros((columns, rows + 2), dtype=np.bool_)
        edged[:, 1:-1] = self.pixels.T
        column, row = np.nonzero(edged[:, 1:] != edged[:, :-1])
        changes = (x + column.astype(np.int64)) * height + y + row
        # A run that ends at the foot of a column where the next begins at its head is one run.
        begins, ends = changes[0::2], changes[1::2]
        is_apart = begins[1:] != ends[:-1]
        kept = np.concatenate([begins[:1], np.stack([ends[:-1], begins[1:]], 1)[is_apart].ravel()])
        runs = np.diff(np.concatenate([[0], kept, ends[-1:], [height * width]])).tolist()
        if runs[-1] == 0 and len(runs) > 1:  # nothing follows the last run
            runs.pop()
        return encode_runs(runs, self.size)
