"""The two losses of mask logits: cross-entropy of pixels, and overlap of masks.

Both take a global count and return this process's share: with the masks of all processes as the
count, the shares add up to the mean over the masks of the global batch. They are computed in
float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

DICE_SCALE = 1000.0
"""GLaMM and LISA divide areas by this; with `DICE_EPSILON` it sets what an empty mask costs."""
DICE_EPSILON = 1e-6


def mask_bce_loss(
    logits: Tensor, targets: Tensor, present: Tensor, count: Tensor | float
) -> Tensor:
    """Return the binary cross-entropy: mean over pixels, then over masks; a scalar.

    Args:
        logits: Mask logits at any resolution, [..., h, w].
        targets: Share of each pixel that the object covers, 0 to 1, or bool, [..., h, w].
        present: False where a mask is padding, bool [...].
        count: Masks of all processes by which the sum is divided.
    """
    with torch.autocast(logits.device.type, enabled=False):
        cells = F.binary_cross_entropy_with_logits(
            logits.float(), targets.float(), reduction="none"
        )
        return _mean(cells.mean(dim=(-2, -1)), present, count)


def mask_dice_loss(
    logits: Tensor, targets: Tensor, present: Tensor, count: Tensor | float
) -> Tensor:
    """Return one minus the overlap of each mask with its target, the mean over masks; a scalar.

    Milletari et al., "V-Net", 3DV 2016, section 3, https://arxiv.org/abs/1606.04797, without the
    squares and in the scaling of LISA and GLaMM:
    1 - (2 sum(p t) / 1000 + 1e-6) / (sum(p) / 1000 + sum(t) / 1000 + 1e-6), p being probabilities.
    Arguments are those of `mask_bce_loss`.
    """
    with torch.autocast(logits.device.type, enabled=False):
        probabilities, truth = logits.float().sigmoid(), targets.float()
        common = (probabilities * truth).sum(dim=(-2, -1)) / DICE_SCALE
        areas = (probabilities.sum(dim=(-2, -1)) + truth.sum(dim=(-2, -1))) / DICE_SCALE
        overlap = (2 * common + DICE_EPSILON) / (areas + DICE_EPSILON)
        return _mean(1 - overlap, present, count)


def _mean(losses: Tensor, present: Tensor, count: Tensor | float) -> Tensor:
    """Sum the losses of masks that are there, over the count of all processes, at least 1."""
    divisor = torch.as_tensor(count, dtype=losses.dtype, device=losses.device).clamp(min=1)
    return losses.masked_fill(~present, 0.0).sum() / divisor
