"""Random crops and flips of training images."""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

MIN_AREA = 0.08
"""Least share of the image that a crop covers (Szegedy et al., "Going Deeper with Convolutions",
CVPR 2015, section 6), as in the recipes of CoOp and its heirs."""
MAX_STRETCH = 4 / 3
"""Largest ratio of a crop's sides, either way; same source."""
ATTEMPTS = 10
"""Draws of a crop before the largest centred one of an allowed shape is taken."""
MAX_BYTE = 255
"""Largest value of a stored channel."""


def random_resized_crop(image: Tensor, size: int, generator: Generator) -> Tensor:
    """Cut a random part, scale it to a square and mirror every second one.

    Args:
        image: RGB bytes, [3, H, W].
        size: Side of the square, in pixels.
        generator: Chooses the crop and the flip.

    Returns:
        RGB in [0, 1], [3, size, size].
    """
    top, left, height, width = draw_crop(image.shape[-2], image.shape[-1], generator)
    crop = image[None, :, top : top + height, left : left + width]
    pixels = F.interpolate(crop, size=(size, size), mode="bicubic", antialias=True)[0]
    if torch.rand(1, generator=generator).item() < 0.5:
        pixels = pixels.flip(-1)
    return pixels.float() / MAX_BYTE


def draw_crop(height: int, width: int, generator: Generator) -> tuple[int, int, int, int]:
    """Return a random crop (top, left, height, width) of uniform area and log-uniform shape."""
    stretch = math.log(MAX_STRETCH)
    for _ in range(ATTEMPTS):
        share, shape, down, right = torch.rand(4, generator=generator).tolist()
        area = height * width * (MIN_AREA + share * (1 - MIN_AREA))
        ratio = math.exp((2 * shape - 1) * stretch)  # width over height
        crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(down * (height - crop_height + 1))
            left = int(right * (width - crop_width + 1))
            return top, left, crop_height, crop_width
    crop_height = min(height, round(width * MAX_STRETCH))
    crop_width = min(width, round(height * MAX_STRETCH))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width
