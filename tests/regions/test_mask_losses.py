"""The mask losses against loops over pixels."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.regions.mask_losses import mask_bce_loss, mask_dice_loss

MaskLoss = Callable[[Tensor, Tensor, Tensor, Tensor | float], Tensor]

GENERATOR = torch.Generator().manual_seed(1)
LOGITS = torch.randn(2, 3, 4, 5, generator=GENERATOR) * 2
SOFT = torch.rand(2, 3, 4, 5, generator=GENERATOR)
PRESENT = torch.tensor([[True, False, True], [True, True, False]])


def looped(logits: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return both losses of one mask, pixel by pixel."""
    bce = common = areas = 0.0
    pixels = list(zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True))
    for logit, target in pixels:
        p = 1 / (1 + math.exp(-logit))
        bce -= target * math.log(p) + (1 - target) * math.log(1 - p)
        common += p * target / 1000
        areas += (p + target) / 1000
    return bce / len(pixels), 1 - (2 * common + 1e-6) / (areas + 1e-6)


@pytest.mark.parametrize("targets", [SOFT, SOFT > 0.5])
def test_losses_equal_loops_over_pixels(targets: Tensor) -> None:
    pairs = [looped(LOGITS[i, j], targets[i, j].float()) for i, j in PRESENT.nonzero().tolist()]
    bce, dice = (sum(column) / 7 for column in zip(*pairs, strict=True))
    assert_close(mask_bce_loss(LOGITS, targets, PRESENT, 7).item(), bce, rtol=1e-5, atol=0)
    assert_close(mask_dice_loss(LOGITS, targets, PRESENT, 7).item(), dice, rtol=1e-5, atol=0)


@pytest.mark.parametrize("loss", [mask_bce_loss, mask_dice_loss])
def test_padded_masks_neither_count_nor_get_a_gradient(loss: MaskLoss) -> None:
    logits = LOGITS.clone()
    logits[~PRESENT] = 9e3
    logits.requires_grad_()
    value = loss(logits, SOFT, PRESENT, 4)
    assert_close(value, loss(LOGITS, SOFT, PRESENT, 4))
    torch.autograd.backward(value)
    assert logits.grad is not None
    assert not logits.grad[~PRESENT].any()


@pytest.mark.parametrize("empty", [torch.zeros(0, 3), torch.zeros(2, 0), torch.zeros(2, 3)])
def test_no_masks_cost_nothing(empty: Tensor) -> None:
    logits = torch.zeros(*empty.shape, 4, 4, requires_grad=True)
    for loss in (mask_bce_loss, mask_dice_loss):
        value = loss(logits, torch.ones(*empty.shape, 4, 4), empty.bool(), 0)
        torch.autograd.backward(value)
        assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_right_mask_costs_next_to_nothing_and_a_wrong_one_all() -> None:
    target = torch.zeros(1, 8, 8)
    target[0, :4] = 1
    present = torch.ones(1, dtype=torch.bool)
    right, wrong = (target * 2 - 1) * 50, (1 - target * 2) * 50
    assert mask_dice_loss(right, target, present, 1).item() < 1e-6
    assert mask_bce_loss(right, target, present, 1).item() < 1e-6
    assert mask_dice_loss(wrong, target, present, 1).item() > 0.9999
    assert_close(mask_bce_loss(wrong, target, present, 1).item(), 50.0)


def test_half_precision_logits_are_summed_in_float32() -> None:
    logits = torch.full((1, 256, 256), 3.0, dtype=torch.bfloat16)
    target, present = torch.ones(1, 256, 256), torch.ones(1, dtype=torch.bool)
    p = 1 / (1 + math.exp(-3))
    assert_close(
        mask_dice_loss(logits, target, present, 1).item(), 1 - 2 * p / (p + 1), rtol=1e-5, atol=0
    )
    assert mask_bce_loss(logits, target, present, 1).dtype == torch.float32
