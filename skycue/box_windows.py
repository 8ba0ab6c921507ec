"""Which part of a large raster a region model sees of a box, and how large.

A region model was trained on images a few boxes wide. So the window that stands for "the image" is
a multiple of the box's longer side, and is read at the size that the model can use: its scale
follows from the box, for a model that cuts windows around boxes knows objects by their share of a
window and not by metres.

Windows lie on a lattice, so that boxes near each other share one and it is encoded once, and a
box's window depends on nothing but the box and the raster: neither on the other boxes of a run nor
on their order.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from skycue.boxes import Box, PlacedBox
from skycue.geo.tiles import PixelWindow

WHOLE_SIDE = 2048
"""Pixels along the longer side of a raster up to which the whole of it is the window, at its own
size: images as people have them, and as region models were trained on."""
LEAST_SIDE = 1024
"""Pixels of the raster along the side of the smallest window, about an image of NWPU VHR-10, on
which `mini` was trained; others are 2, 4, 8, ... times as wide."""
STRIDE_SHARE = 4
"""Windows of one size begin at every quarter of it. So the middle of a box lies within an eighth of
the middle of its window: in the middle one of the nine cells by which captions tell places."""
MARGIN_SHARE = 0.5 - 0.5 / STRIDE_SHARE
"""Of a window's side: from the middle of any of its boxes to its edges, at least."""


class ViewNeeds(NamedTuple):
    """What a region model asks of the window around a box.

    Attributes:
        context: Side of the widest square around a box that it looks at, over the box's longer
            side.
        read_side: Pixels along the longer side of a window beyond which it sees nothing more.
    """

    context: float
    read_side: int

    @classmethod
    def of_windows(cls, scales: Sequence[float], input_size: int) -> "ViewNeeds":
        """Return the needs of a model that cuts its own windows around each box.

        Args:
            scales: Sides of its windows over the longer side of the box.
            input_size: Side of what it sees of each, in pixels.
        """
        context = max(scales)
        # A box is at least this share of its window, and the narrowest view is to be sharp.
        least_share = 0.5 * 2 * MARGIN_SHARE / context
        needed = input_size / min(scales) / least_share
        return cls(context, 2 ** math.ceil(math.log2(needed)))


class ShownWindow(NamedTuple):
    """A window as a model sees it.

    Attributes:
        window: Of the raster; it lies inside.
        size: (height, width) that it is read at.
    """

    window: PixelWindow
    size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Pixels of the raster along a pixel that is shown; 1 where it is read as it is."""
        return max(self.window.height / self.size[0], self.window.width / self.size[1])

    def to_shown(self, box: Box) -> Box:
        """Turn a box in pixels of the raster into one in pixels of what is shown."""
        across, down = self.size[1] / self.window.width, self.size[0] / self.window.height
        return (
            (box[0] - self.window.x) * across,
            (box[1] - self.window.y) * down,
            (box[2] - self.window.x) * across,
            (box[3] - self.window.y) * down,
        )


class BoxGroup(NamedTuple):
    """The boxes that are described on one window.

    Attributes:
        shown: The window.
        boxes: In the order of the run.
    """

    shown: ShownWindow
    boxes: tuple[PlacedBox, ...]


def window_of(box: Box, raster_size: tuple[int, int], needs: ViewNeeds) -> ShownWindow:
    """Choose the window around a box.

    It is the smallest of the lattice that holds the model's widest view of the box, wherever the
    box lies on it; at the edges of the raster it is moved inside, and it is the whole raster where
    that is not larger.

    Args:
        box: In pixels of the raster, inside it.
        raster_size: (height, width).
        needs: Of the model.
    """
    height, width = raster_size
    if max(raster_size) <= WHOLE_SIDE:
        return ShownWindow(PixelWindow.whole(raster_size), raster_size)
    longer = max(box[2] - box[0], box[3] - box[1])
    side = LEAST_SIDE
    while side * 2 * MARGIN_SHARE < needs.context * longer:
        side *= 2
    x, columns = _place((box[0] + box[2]) / 2, side, width)
    y, rows = _place((box[1] + box[3]) / 2, side, height)
    shrink = max(1.0, max(rows, columns) / needs.read_side)
    size = (max(1, round(rows / shrink)), max(1, round(columns / shrink)))
    return ShownWindow(PixelWindow(x, y, columns, rows), size)


def _place(middle: float, side: int, length: int) -> tuple[int, int]:
    """Return where along an axis the window begins, and its pixels there."""
    if side >= length:
        return 0, length
    stride = side // STRIDE_SHARE
    start = math.floor((middle - side / 2) / stride + 0.5) * stride
    return min(max(start, 0), length - side), side


def group_boxes(
    boxes: Sequence[PlacedBox], raster_size: tuple[int, int], needs: ViewNeeds
) -> list[BoxGroup]:
    """Put boxes together that are described on one window.

    Args:
        boxes: On the raster, each inside it.
        raster_size: (height, width).
        needs: Of the model.

    Returns:
        The groups from top to bottom, as files are laid out; the same for any order of the boxes,
        which stay in theirs within a group.
    """
    found: dict[ShownWindow, list[PlacedBox]] = {}
    for placed in boxes:
        found.setdefault(window_of(placed.box, raster_size, needs), []).append(placed)
    ordered = sorted(found.items(), key=lambda item: (item[0].window.y, item[0].window.x, item[0]))
    return [BoxGroup(shown, tuple(group)) for shown, group in ordered]
