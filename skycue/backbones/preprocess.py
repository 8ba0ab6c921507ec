"""From a decoded image to the square that CLIP sees: CLIP's own resize and crop, in torch."""

import torch.nn.functional as F
from torch import Tensor

MAX_BYTE = 255
"""Largest value of a stored channel."""


def preprocess(image: Tensor, size: int) -> Tensor:
    """Resize the shorter side to `size` (bicubic, antialiased) and crop the centre.

    Args:
        image: RGB bytes, [3, H, W].
        size: Side of the square wanted, in pixels.

    Returns:
        RGB in [0, 1], [3, size, size]. Equal to CLIP's Pillow preprocessing within 2/255.
    """
    height, width = image.shape[-2:]
    shorter = min(height, width)
    if shorter != size:
        scaled = (height * size // shorter, width * size // shorter)  # CLIP truncates the longer
        # On bytes the kernel rounds and clamps as Pillow does.
        image = F.interpolate(image[None], size=scaled, mode="bicubic", antialias=True)[0]
    top = round((image.shape[-2] - size) / 2)
    left = round((image.shape[-1] - size) / 2)
    return image[..., top : top + size, left : left + size].float() / MAX_BYTE
