"""Boxes and the frames that networks see them in: the one place that converts either.

A box is x_min, y_min, x_max, y_max in continuous pixels of the image as given: pixel (0, 0) covers
[0, 1) x [0, 1), and the width of a box is x_max - x_min. A `Frame` is the rectangle of the image
that a network's input shows; every window, padding or squashing is one, so a box has one way into
a network and one way back.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skycue.errors import BoxError

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels."""


class PlacedBox(NamedTuple):
    """A box on a raster, with a name.

    Attributes:
        id: What results call it.
        box: x_min, y_min, x_max, y_max in pixels of the raster.
    """

    id: str
    box: Box


class Frame(NamedTuple):
    """A rectangle of an image, shown to a network as `size` pixels; it may reach outside.

    Attributes:
        x_min: Left edge in pixels of the image; y_min likewise.
        y_min: Upper edge.
        width: Pixels of the image from left to right.
        height: Pixels of the image from top to bottom.
        size: (height, width) of the input that shows it.
    """

    x_min: float
    y_min: float
    width: float
    height: float
    size: tuple[int, int]

    @classmethod
    def squashed(cls, image_size: tuple[int, int], size: int) -> "Frame":
        """Show a whole image (height, width) on a square, each axis scaled on its own."""
        return cls(0.0, 0.0, float(image_size[1]), float(image_size[0]), (size, size))

    @classmethod
    def padded(cls, image_size: tuple[int, int], size: int) -> "Frame":
        """Show a whole image in the upper left of a square, the rest padded (SAM's way)."""
        side = float(max(image_size))
        return cls(0.0, 0.0, side, side, (size, size))

    @classmethod
    def around(
        cls, box: Box, scale: float, size: int, image_size: tuple[int, int] | None = None
    ) -> "Frame":
        """Show the square window around a box whose side is `scale` times the box's longer side.

        Args:
            box: In the middle of the window.
            scale: Side of the window over the longer side of the box.
            size: Side of the input in its own pixels.
            image_size: (height, width); a window never grows beyond what covers the image.
        """
        side = scale * max(box[2] - box[0], box[3] - box[1])
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if image_size is not None:
            farthest = max(x, image_size[1] - x, y, image_size[0] - y)
            side = min(side, 2 * farthest)
        return cls(x - side / 2, y - side / 2, side, side, (size, size))

    @property
    def box(self) -> Box:
        """The rectangle as a box in pixels of the image."""
        return (self.x_min, self.y_min, self.x_min + self.width, self.y_min + self.height)

    def to_unit(self, boxes: Tensor) -> Tensor:
        """Turn boxes in pixels of the image into shares of the frame, [R, 4]; 0 and 1 its edges."""
        return (boxes - boxes.new_tensor(self._origin)) / boxes.new_tensor(self._extent)

    def from_unit(self, boxes: Tensor) -> Tensor:
        """Turn shares of the frame into pixels of the image, [R, 4]."""
        return boxes * boxes.new_tensor(self._extent) + boxes.new_tensor(self._origin)

    @property
    def _origin(self) -> tuple[float, ...]:
        return (self.x_min, self.y_min) * 2

    @property
    def _extent(self) -> tuple[float, ...]:
        return (self.width, self.height) * 2


def check_box(box: Sequence[float], image_size: tuple[int, int], name: str = "box") -> Box:
    """Return a user's box, cut to the image, or say what is wrong with it.

    Args:
        box: x_min, y_min, x_max, y_max in pixels.
        image_size: (height, width) of the image.
        name: What the message calls it, such as "box 3".

    Raises:
        BoxError: If it is not four finite numbers, is reversed, has no area, or does not meet the
            image.
    """
    values = ", ".join(f"{value:g}" for value in box)
    shown = f"{name} [{values}]"
    order = "Boxes are x_min, y_min, x_max, y_max in pixels."
    if len(box) != 4:
        raise BoxError(f"{shown} has {len(box)} numbers, not 4. {order}")
    if not all(math.isfinite(value) for value in box):
        raise BoxError(f"{shown} holds a number that is not finite. {order}")
    for low, high, axis in ((box[0], box[2], "x"), (box[1], box[3], "y")):
        if high <= low:
            raise BoxError(f"{shown} has no area: {axis}_max must exceed {axis}_min. {order}")
    height, width = image_size
    x_min, y_min, x_max, y_max = (float(value) for value in box)
    cut = (max(x_min, 0.0), max(y_min, 0.0), min(x_max, float(width)), min(y_max, float(height)))
    if cut[2] <= cut[0] or cut[3] <= cut[1]:
        raise BoxError(f"{shown} lies outside the image of {width} x {height} pixels. {order}")
    return cut


def require_pixels(box: Sequence[float], name: str) -> None:
    """Refuse a user's box in pixels that is smaller than one: most likely it is in degrees.

    Raises:
        BoxError: If a side is under one pixel.
    """
    if min(box[2] - box[0], box[3] - box[1]) < 1:
        values = ", ".join(f"{value:.8g}" for value in box)
        raise BoxError(
            f"{name} [{values}] is under one pixel wide or high. Is it in degrees? Then name the "
            "CRS of the box: --box-crs EPSG:4326, or `crs` in a request; else it is in pixels."
        )


def xywh_to_xyxy(box: Sequence[float]) -> Box:
    """Turn COCO's x_min, y_min, width, height into corners."""
    x, y, width, height = box
    return (x, y, x + width, y + height)


def xyxy_to_xywh(box: Box) -> Box:
    """Turn corners into COCO's x_min, y_min, width, height."""
    return (box[0], box[1], box[2] - box[0], box[3] - box[1])


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of each pair of boxes, [R, S] for [R, 4] and [S, 4]."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clamp(min=0).prod(dim=-1)  # [R, S]
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(dim=-1) for b in (first, second)]
    return common / (areas[0][:, None] + areas[1][None] - common).clamp(min=1e-12)


def jitter_box(
    box: Box, share: float, generator: torch.Generator, *, min_iou: float = 0.0, tries: int = 20
) -> Box:
    """Move each side of a box by up to `share` of the box's extent, as a hand would.

    Args:
        box: A box with area.
        share: Of its width (left, right) or height (upper, lower side); below 0.5.
        generator: Where chance comes from.
        min_iou: Draws that overlap the box less are drawn again.
        tries: Draws before the box itself is returned.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    extent = torch.tensor([width, height, width, height], dtype=torch.float64)
    start = torch.tensor(box, dtype=torch.float64)
    for _ in range(tries):
        chance = torch.rand(4, generator=generator, dtype=torch.float64) * 2 - 1
        moved = start + share * extent * chance
        if box_iou(moved[None], start[None]).item() >= min_iou:
            x_min, y_min, x_max, y_max = moved.tolist()
            return (x_min, y_min, x_max, y_max)
    return box
