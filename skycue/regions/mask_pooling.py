"""What lies under a soft mask: its mean feature, and about which box it is."""

import torch
import torch.nn.functional as F
from torch import Tensor

EMPTY = 1e-6
"""Added to the area of a mask, in cells, so that an empty one divides by something."""
BOX_SPREAD = 2.0
"""Standard deviations from the middle of a mask to the sides of its box."""


def shrink_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Average masks down to a grid: the share of each cell that a mask covers.

    Args:
        masks: Values from 0 to 1, [R, K, H, W]; K may be 0.
        size: (height, width) of the grid.

    Returns:
        Shares, [R, K, h, w].
    """
    flat = masks.flatten(0, 1)[:, None]  # [R K, 1, H, W]
    return F.adaptive_avg_pool2d(flat, size).view(*masks.shape[:2], *size)


def pool_under_masks(features: Tensor, shares: Tensor) -> Tensor:
    """Return the mean feature under each mask, 0 for one without area.

    Args:
        features: Feature maps, [R, D, h, w].
        shares: Of each cell under each mask, [R, K, h, w].

    Returns:
        Vectors, [R, K, D].
    """
    totals = torch.einsum("rkhw,rdhw->rkd", shares, features)
    return totals / (shares.sum(dim=(-2, -1))[..., None] + EMPTY)


def boxes_under_masks(shares: Tensor) -> Tensor:
    """Return the box about each mask: its weighted middle, and two standard deviations around it.

    A cell spreads over its own extent, so no box is smaller than a cell. For an even rectangle of
    width w the box is 1.15 w wide. No gradient flows back.

    Args:
        shares: Of each cell under each mask, [R, K, h, w].

    Returns:
        Corners as shares of the frame, [R, K, 4]; a mask without area gets a cell at the corner.
    """
    shares = shares.detach().to(torch.promote_types(shares.dtype, torch.float32))
    area = shares.sum(dim=(-2, -1)) + EMPTY  # [R, K]
    middles, spreads = [], []
    for axis in (-1, -2):  # x runs along columns, y along rows
        cells = shares.shape[axis]
        centres = (torch.arange(cells, device=shares.device, dtype=shares.dtype) + 0.5) / cells
        profile = shares.sum(dim=-2 if axis == -1 else -1) / area[..., None]  # [R, K, cells]
        middle = (profile * centres).sum(dim=-1)
        away = centres - middle[..., None]
        variance = (profile * away.square()).sum(dim=-1) + 1 / (12 * cells**2)
        middles.append(middle)
        spreads.append(BOX_SPREAD * variance.sqrt())
    middle_point, spread = torch.stack(middles, dim=-1), torch.stack(spreads, dim=-1)
    return torch.cat([middle_point - spread, middle_point + spread], dim=-1)
