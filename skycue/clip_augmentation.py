"""Random views of aerial images for contrastive training, a whole batch at once.

Seen from above no side is up, so all eight turns and flips of an image are as likely. The turn, the
crop and the resize are one affine map, sampled once.
"""

import math

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional as F

from skycue.config import Config

COSINES = (1.0, 0.0, -1.0, 0.0)
SINES = (0.0, 1.0, 0.0, -1.0)
"""Of the four quarter turns."""


class AugmentConfig(Config):
    """How far views may lie from the stored image."""

    min_area: float = Field(default=0.4, gt=0, le=1)
    """Least share of the image that a crop covers."""
    max_stretch: float = Field(default=1.33, ge=1)
    """Largest ratio of a crop's sides, either way."""
    jitter: float = Field(default=0.3, ge=0, lt=1)
    """Brightness, contrast and saturation change by a factor of 1 - jitter to 1 + jitter, and
    single channels by a third as much."""


def random_views(images: Tensor, size: int, config: AugmentConfig, generator: Generator) -> Tensor:
    """Turn, flip, crop, resize and recolour each image at random.

    Args:
        images: RGB bytes, [B, 3, H, H].
        size: Side of the views, S.
        config: Ranges of the changes.
        generator: Source of all chance.

    Returns:
        RGB in [0, 1], [B, 3, S, S].
    """
    pixels = images.float() / 255
    grid = F.affine_grid(
        _random_maps(len(images), config, generator),
        [len(images), 3, size, size],
        align_corners=False,
    )
    views = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    return _recolour(views, config.jitter, generator)


def _random_maps(count: int, config: AugmentConfig, generator: Generator) -> Tensor:
    """Return maps from view to image coordinates in [-1, 1], [B, 2, 3]."""
    area, shape, right, down = torch.rand(4, count, generator=generator)
    side = (config.min_area + (1 - config.min_area) * area).sqrt()
    stretch = torch.exp((2 * shape - 1) * math.log(config.max_stretch) / 2)
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    x, y = (1 - width) * (2 * right - 1), (1 - height) * (2 * down - 1)
    turn = torch.randint(4, (count,), generator=generator)
    flip = 1 - 2 * torch.randint(2, (count,), generator=generator)
    cosine, sine = torch.tensor(COSINES)[turn], torch.tensor(SINES)[turn]
    rows = [width * cosine * flip, -width * sine, x, height * sine * flip, height * cosine, y]
    return torch.stack(rows, dim=1).view(count, 2, 3)


def _recolour(views: Tensor, jitter: float, generator: Generator) -> Tensor:
    """Change brightness, contrast, saturation and the channels' gains, [B, 3, S, S]."""
    factors = 1 + jitter * (2 * torch.rand(3, len(views), 1, 1, 1, generator=generator) - 1)
    gains = 1 + jitter / 3 * (2 * torch.rand(len(views), 3, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = factors
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    views = (views - mean) * contrast + mean * brightness
    grey = views.mean(dim=1, keepdim=True)
    recoloured: Tensor = ((grey + (views - grey) * saturation) * gains).clamp(0, 1)
    return recoloured
