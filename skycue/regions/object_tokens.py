"""The objects that a segmenter found around a box, as tokens that a language model reads.

Each token holds what the maps show at the object's centre, and where it lies and how large it is,
as sines and cosines. Tokens stand in the order of their distance from the box, so that a small
model can count them and tell their sides; GLaMM and CLV-Net, with 7 billion parameters, have none.
"""

import math

import torch
from torch import Tensor, nn

from skycue.backbones.object_finder import FoundObjects

N_WAVES = 6
"""Waves of the code of a coordinate; each is half as long as the one before, from 2 windows on."""


class ObjectTokens(nn.Module):
    """Found objects to tokens of a given width."""

    def __init__(self, state_width: int, width: int) -> None:
        super().__init__()
        self.state = nn.Linear(state_width, width)
        self.place = nn.Sequential(
            nn.Linear(4 * N_WAVES + 3, width), nn.GELU(), nn.Linear(width, width)
        )
        self.nothing = nn.Parameter(0.2 * torch.randn(width))

    def forward(self, found: FoundObjects, near: Tensor) -> Tensor:
        """Return one token an object, [B, M, width], those of padded rows all alike.

        Args:
            found: M objects of each window.
            near: The middle of the prompt box, (x, y) as shares of the window, [B, 2]; places are
                told as seen from there.
        """
        away = found.boxes[..., :2] - near[:, None]  # [B, M, 2]
        waves = math.pi * 2.0 ** torch.arange(N_WAVES, device=away.device)
        phases = (away[..., None] * waves).flatten(-2)  # [B, M, 2 N_WAVES]
        sides = found.boxes[..., 2:].clamp(min=1e-4).log()
        code = torch.cat([phases.sin(), phases.cos(), sides, found.chances[..., None]], dim=-1)
        tokens = self.state(found.states) + self.place(code.to(found.states.dtype))
        return torch.where(found.chances[..., None] > 0, tokens, self.nothing)
