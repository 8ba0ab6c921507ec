"""The objects that a segmenter found around a box, as tokens that a language model reads.

Each token holds what the maps show at the object's centre, where the object lies as seen from the
box, how large it is, and which in the order of distance it is. So a model of a few million
parameters can count them and tell their sides; GLaMM and CLV-Net, with 7 billion, have none.
"""

import math

import torch
from torch import Tensor, nn

from skycue.backbones.object_finder import FoundObjects

N_WAVES = 5
"""Waves of the code of a coordinate; each is half as long as the one before, from 2 windows on."""
N_FEATURES = 4 * N_WAVES + 8
"""Waves of x and y; direction, twice the angle, distance, width, height, chance."""
NEAREST = 1e-3
"""Distance in windows below which a direction fades to none."""


class ObjectTokens(nn.Module):
    """Found objects to tokens of a given width."""

    def __init__(self, state_width: int, width: int, most: int) -> None:
        super().__init__()
        self.state = nn.Sequential(nn.LayerNorm(state_width), nn.Linear(state_width, width))
        self.place = nn.Sequential(
            nn.Linear(N_FEATURES, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width)
        )
        self.order = nn.Parameter(torch.randn(most, width))
        self.nothing = nn.Parameter(torch.randn(width))

    def forward(self, found: FoundObjects, near: Tensor) -> Tensor:
        """Return one token an object, [B, M, width]; all that a padded row says is its number.

        Args:
            found: M objects of each window.
            near: The middle of the prompt box, (x, y) as shares of the window, [B, 2].
        """
        tokens = self.state(found.states) + self.place(_geometry(found, near))
        tokens = torch.where(found.chances[..., None] > 0, tokens, self.nothing)
        return tokens + self.order[: tokens.shape[1]]


def _geometry(found: FoundObjects, near: Tensor) -> Tensor:
    """Return where objects lie as seen from a point, and how large they are, [B, M, N_FEATURES]."""
    away = found.boxes[..., :2] - near[:, None]  # [B, M, 2]
    waves = math.pi * 2.0 ** torch.arange(N_WAVES, device=away.device)
    phases = (away[..., None] * waves).flatten(-2)  # [B, M, 2 N_WAVES]
    distance = away.norm(dim=-1, keepdim=True)
    x, y = (away / (distance + NEAREST)).split(1, dim=-1)
    angles = torch.cat([x, y, x * x - y * y, 2 * x * y], dim=-1)
    sides = found.boxes[..., 2:].clamp(min=1e-4).log()
    scalars = torch.cat([distance, sides, found.chances[..., None]], dim=-1)
    return torch.cat([phases.sin(), phases.cos(), angles, scalars], dim=-1)
