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
) -> NDArray[np.bool_]:
    """Turn mask logits on frames into masks of the image; where frames overlap the earlier counts.

    Args:
        logits: On each frame, [K, h, w]; the narrowest frame first.
        frames: What each shows.
        size: (height, width) of the image.

    Returns:
        Where the logits, interpolated at the pixels' centres, are above 0, [K, H, W].
    """
    masks = np.zeros((len(logits[0]), *size), dtype=np.bool_)
    if len(masks) == 0:
        return masks
    for values, frame in zip(reversed(logits), reversed(frames), strict=True):
        x_min, y_min, x_max, y_max = frame.box
        left, right = max(math.ceil(x_min - 0.5), 0), min(math.floor(x_max + 0.5), size[1])
        top, bottom = max(math.ceil(y_min - 0.5), 0), min(math.floor(y_max + 0.5), size[0])
        if left >= right or top >= bottom:
            continue
        x = (torch.arange(left, right) + 0.5 - frame.x_min) / frame.width * 2 - 1
        y = (torch.arange(top, bottom) + 0.5 - frame.y_min) / frame.height * 2 - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]  # [1, h, w, 2]
        found = F.grid_sample(values[None], grid, align_corners=False, padding_mode="border")[0]
        masks[:, top:bottom, left:right] = (found > 0).numpy()
    return masks
