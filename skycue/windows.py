"""Cut what a network sees out of an image: windows that may reach outside, and masks on them."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from skycue.boxes import Frame
from skycue.data.instances import Instance
from skycue.data.mask_crops import MaskCrop

OUTSIDE = (127, 127, 127)
"""Colour of what lies outside of the image, in levels of RGB: grey."""


def cut_window(
    pixels: NDArray[np.uint8], frame: Frame, outside: tuple[int, int, int] = OUTSIDE
) -> NDArray[np.uint8]:
    """Show a frame of an image, averaged where it shrinks.

    Args:
        pixels: RGB, [H, W, 3].
        frame: What to show.
        outside: Levels of RGB where it shows nothing of the image.

    Returns:
        RGB of the frame's size, [h, w, 3].
    """
    canvas = np.full((*frame.size, 3), outside, dtype=np.uint8)
    _paste(canvas, pixels, (0, 0), frame)
    return canvas


def mask_on(instance: Instance, frame: Frame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return how much of each cell of a frame an object covers, 0 to 255, [h, w] of `size`."""
    canvas = np.zeros(size, dtype=np.uint8)
    crop = instance.crop.astype(np.uint8) * 255
    _paste(canvas, crop, instance.corner, frame._replace(size=size))
    return canvas


def _paste(
    canvas: NDArray[np.uint8], pixels: NDArray[np.uint8], corner: tuple[int, int], frame: Frame
) -> None:
    """Draw pixels that lie at `corner` (x, y) of the image onto the canvas of a frame."""
    columns = _span(pixels.shape[1], corner[0] - frame.x_min, frame.width / frame.size[1])
    rows = _span(pixels.shape[0], corner[1] - frame.y_min, frame.height / frame.size[0])
    left, right = max(columns[0], 0), min(columns[1], frame.size[1])
    top, bottom = max(rows[0], 0), min(rows[1], frame.size[0])
    if left >= right or top >= bottom:
        return
    # The part of the source behind the whole cells [left, right) x [top, bottom) of the canvas.
    x = _behind(left, right, corner[0] - frame.x_min, frame.width / frame.size[1])
    y = _behind(top, bottom, corner[1] - frame.y_min, frame.height / frame.size[0])
    x_low, x_high = max(math.floor(x[0]) - 1, 0), min(math.ceil(x[1]) + 1, pixels.shape[1])
    y_low, y_high = max(math.floor(y[0]) - 1, 0), min(math.ceil(y[1]) + 1, pixels.shape[0])
    part = Image.fromarray(np.ascontiguousarray(pixels[y_low:y_high, x_low:x_high]))
    box = (
        max(x[0] - x_low, 0.0),
        max(y[0] - y_low, 0.0),
        min(x[1] - x_low, float(part.width)),
        min(y[1] - y_low, float(part.height)),
    )
    if box[2] - box[0] < 1e-6 or box[3] - box[1] < 1e-6:
        return
    shown = part.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=box)
    canvas[top:bottom, left:right] = np.asarray(shown)


def _span(length: int, offset: float, step: float) -> tuple[int, int]:
    """Return the cells that a run of pixels covers, by half at least; `step` pixels a cell."""
    return (math.floor(offset / step + 0.5), math.floor((offset + length) / step + 0.5))


def _behind(low: int, high: int, offset: float, step: float) -> tuple[float, float]:
    """Return where the cells [low, high) lie in the run of pixels that starts at `offset`."""
    return (low * step - offset, high * step - offset)


def paste_masks(
    logits: Sequence[Tensor], frames: Sequence[Frame], size: tuple[int, int]
) -> list[MaskCrop]:
    """Turn mask logits on frames into masks of the image; where frames overlap the earlier counts.

    Args:
        logits: On each frame, [K, h, w]; the narrowest frame first.
        frames: What each shows.
        size: (height, width) of the image.

    Returns:
        Where the logits, interpolated at the pixels' centres, are above 0: K masks.
    """
    places = [_pixels_in(frame, size) for frame in frames]
    left, top = (min(place[axis] for place in places) for axis in (0, 1))
    right, bottom = (max(place[axis] for place in places) for axis in (2, 3))
    grids = [_grid_of(*pair) for pair in zip(frames, places, strict=True)]
    masks = []
    for number in range(len(logits[0])):
        canvas = np.zeros((max(bottom - top, 0), max(right - left, 0)), dtype=np.bool_)
        for values, grid, place in reversed(list(zip(logits, grids, places, strict=True))):
            if grid is None:
                continue
            shown = values[None, number : number + 1]
            found = F.grid_sample(shown, grid, align_corners=False, padding_mode="border")[0, 0]
            x_min, y_min, x_max, y_max = place
            canvas[y_min - top : y_max - top, x_min - left : x_max - left] = (found > 0).numpy()
        masks.append(MaskCrop.of(canvas, (left, top), size))
    return masks


def _pixels_in(frame: Frame, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixels of an image whose centres lie in a frame: left, top, right, bottom."""
    x_min, y_min, x_max, y_max = frame.box
    left, right = max(math.ceil(x_min - 0.5), 0), min(math.floor(x_max + 0.5), size[1])
    top, bottom = max(math.ceil(y_min - 0.5), 0), min(math.floor(y_max + 0.5), size[0])
    return (left, top, right, bottom)


def _grid_of(frame: Frame, place: tuple[int, int, int, int]) -> Tensor | None:
    """Return where the centres of pixels lie in a frame, [1, h, w, 2]; None where there are none.

    Its edges are -1 and 1, as `grid_sample` counts.
    """
    left, top, right, bottom = place
    if left >= right or top >= bottom:
        return None
    x = (torch.arange(left, right) + 0.5 - frame.x_min) / frame.width * 2 - 1
    y = (torch.arange(top, bottom) + 0.5 - frame.y_min) / frame.height * 2 - 1
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
