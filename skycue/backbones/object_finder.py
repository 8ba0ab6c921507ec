"""Find the objects of a window by their centres, so that they can be told one by one.

Zhou et al., "Objects as Points", 2019, https://arxiv.org/abs/1904.07850: a map says of each cell
how likely an object's centre lies there, and how large that object would be. A region model of a
few million parameters does not learn to count on a grid of mixed cells; it does on a list of
objects (`skycue.regions.object_tokens`).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skycue.backbones.segmenter import MaskFeatures

LEAST_CHANCE = 0.3
"""A centre is an object from this chance on."""
LEAST_SIDE = 1.4
"""An object whose longer side is below this many cells is neither wanted nor held to be wrong."""
SPREAD = 0.1
"""Deviation of a centre's bump, as a share of the object's width and height."""
LEAST_SPREAD = 0.7
"""The same in cells, at least."""
FOCUS, NEARBY = 2, 4
"""Exponents of the focal loss: for what is sure already, and for cells close to a centre."""
RARE = -4.0
"""Logit of a centre at the start: few cells hold one."""
SIZE_WEIGHT = 0.1
"""Factor of the loss of sizes, as in the paper's equation 4."""


class FoundObjects(NamedTuple):
    """Objects of each window, nearest to a given point first; rows are padded.

    Attributes:
        boxes: Centre x, centre y, width and height as shares of the window, [B, M, 4].
        chances: That an object is there, [B, M], 0 where a row is padded.
        states: What the maps hold at the centres, [B, M, D + D'].
    """

    boxes: Tensor
    chances: Tensor
    states: Tensor


class ObjectFinder(nn.Module):
    """A map of centres and sizes from the finest map of a segmenter."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(groups, width),
            nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )
        with torch.no_grad():
            self.read[-1].bias.copy_(torch.tensor([RARE, -2.0, -2.0]))  # type: ignore[operator]

    def forward(self, features: MaskFeatures) -> Tensor:
        """Return the logit of a centre and the logarithms of width and height, [B, 3, h, w]."""
        maps: Tensor = self.read(features.fine[-1])
        return maps

    @torch.no_grad()
    def find(self, features: MaskFeatures, most: int, near: Tensor) -> FoundObjects:
        """Return the surest objects of each window, the nearest first.

        Args:
            features: Of B windows.
            most: So many at most, M.
            near: The point that they are sorted by, (x, y) as shares of the window, [B, 2].
        """
        maps = self(features).float()
        cells = maps.shape[-1]
        chances = maps[:, 0].sigmoid()
        peaks = F.max_pool2d(chances, 3, stride=1, padding=1) == chances
        chances = torch.where(peaks & (chances >= LEAST_CHANCE), chances, 0.0)
        best, index = chances.flatten(1).topk(min(most, cells * cells))  # [B, M]
        x = (index % cells + 0.5) / cells
        y = (index // cells + 0.5) / cells
        sides = maps[:, 1:].flatten(2).gather(2, index[:, None].expand(-1, 2, -1)).exp()
        boxes = torch.cat([torch.stack([x, y], -1), sides.transpose(1, 2)], -1)
        away = (boxes[..., :2] - near[:, None]).norm(dim=-1)
        order = torch.where(best > 0, away, torch.inf).argsort(dim=1, stable=True)
        boxes = boxes.gather(1, order[..., None].expand_as(boxes))
        best = best.gather(1, order)
        grid = boxes[:, None, :, :2] * 2 - 1  # [B, 1, M, 2]
        states = [
            F.grid_sample(level.float(), grid, align_corners=False)[:, :, 0].transpose(1, 2)
            for level in (features.coarse, features.fine[-1])
        ]
        return FoundObjects(boxes, best, torch.cat(states, dim=-1))

    def loss(self, features: MaskFeatures, objects: Sequence[Tensor]) -> Tensor:
        """Return the focal loss of the centres and the loss of the sizes (equations 1 and 3).

        Args:
            features: Of B windows.
            objects: Corners of each window's objects as shares of it, [n, 4] each; those whose
                centre lies outside count for nothing.
        """
        maps = self(features).float()
        cells = maps.shape[-1]
        targets = [_targets(boxes.to(maps.device), cells) for boxes in objects]
        wanted = torch.stack([target.bumps for target in targets])  # [B, h, w]
        known = torch.stack([target.known for target in targets])
        centres = torch.cat(  # [N, 3]: window, row, column
            [F.pad(t.places, (1, 0), value=row) for row, t in enumerate(targets)]
        ).long()
        window, row, column = centres.unbind(1)
        is_centre = torch.zeros_like(wanted)
        is_centre[window, row, column] = 1
        chances = maps[:, 0].sigmoid()
        hit = (1 - chances) ** FOCUS * F.logsigmoid(maps[:, 0])
        miss = (1 - wanted) ** NEARBY * chances**FOCUS * F.logsigmoid(-maps[:, 0]) * known
        focal = -(is_centre * hit + (1 - is_centre) * miss).sum()
        sides = torch.cat([target.sides for target in targets])  # [N, 2]
        sizes = (maps[window, 1:, row, column] - sides).abs().sum()
        total: Tensor = (focal + SIZE_WEIGHT * sizes) / max(len(centres), 1)
        return total


class _Targets(NamedTuple):
    """What a window's maps are to say: bumps around centres, cells that count, centres, sizes."""

    bumps: Tensor
    known: Tensor
    places: Tensor
    sides: Tensor


def _targets(boxes: Tensor, cells: int) -> _Targets:
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    shown = ((middle >= 0) & (middle < 1)).all(dim=1)
    middle, sides = middle[shown], (boxes[shown, 2:] - boxes[shown, :2])
    large = sides.amax(dim=1) * cells >= LEAST_SIDE
    places = (middle * cells).long()  # [n, 2]: column, row
    axis = torch.arange(cells, device=boxes.device)
    spread = (SPREAD * sides * cells).clamp(min=LEAST_SPREAD)
    away = (axis - places[..., None]) / spread[..., None]  # [n, 2, cells]
    falls = (-away.square() / 2).exp()
    bumps = falls[:, 1, :, None] * falls[:, 0, None, :]  # [n, h, w]
    none = bumps.new_zeros(1, cells, cells)
    return _Targets(
        torch.cat([none, bumps[large]]).amax(dim=0),
        1 - torch.cat([none, bumps[~large]]).amax(dim=0),
        places[large].flip(1),
        sides[large].clamp(min=1e-4).log(),
    )
