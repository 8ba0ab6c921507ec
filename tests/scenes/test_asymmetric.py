"""The asymmetric loss against its formula, binary cross-entropy, and numbers worked out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from skycue.scenes.asymmetric import MultiLabelConfig, asymmetric_loss, level_of

GENERATOR = torch.Generator().manual_seed(4)
LOGITS = 3 * torch.randn(5, 4, generator=GENERATOR)
LABELS = (torch.rand(5, 4, generator=GENERATOR) < 0.4).float()
PLAIN = MultiLabelConfig()
PUBLISHED = MultiLabelConfig(gamma_negative=4, margin=0.05)


def test_without_gammas_and_margin_it_is_the_binary_cross_entropy() -> None:
    expected = F.binary_cross_entropy_with_logits(LOGITS, LABELS, reduction="sum") / 5
    assert_close(asymmetric_loss(LOGITS, LABELS, PLAIN), expected)


@pytest.mark.parametrize(
    "config",
    [
        PUBLISHED,
        MultiLabelConfig(gamma_positive=1, gamma_negative=2, margin=0.2),
        MultiLabelConfig(gamma_positive=0.5, gamma_negative=0.5, margin=0),
    ],
)
def test_it_is_the_formula_written_as_loops(config: MultiLabelConfig) -> None:
    total = 0.0
    for image in range(5):
        for c in range(4):
            p = 1 / (1 + math.exp(-float(LOGITS[image, c])))
            q = max(p - config.margin, 0.0)
            if LABELS[image, c] == 1:
                total -= (1 - p) ** config.gamma_positive * math.log(p)
            else:
                total -= q**config.gamma_negative * math.log(1 - q)
    assert float(asymmetric_loss(LOGITS, LABELS, config)) == pytest.approx(total / 5, rel=1e-4)


def test_absent_classes_below_the_margin_count_nothing() -> None:
    config = MultiLabelConfig(gamma_negative=1, margin=0.3)
    logits = torch.tensor([[-2.0, -1.0]], requires_grad=True)  # 0.12 and 0.27
    loss = asymmetric_loss(logits, torch.zeros(1, 2), config)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert gradient.tolist() == [[0, 0]]


@pytest.mark.parametrize("config", [PUBLISHED, PLAIN, MultiLabelConfig(gamma_negative=4)])
def test_extreme_logits_have_finite_losses_and_gradients(config: MultiLabelConfig) -> None:
    logits = torch.tensor([[-200.0, -200.0, 0.0, 200.0, 200.0]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0]]), config)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_the_level_of_two_logits_by_hand() -> None:
    # One label of two pairs: the middle of the logits, by symmetry.
    assert level_of(torch.tensor([[3.0, 5.0]]), torch.tensor([[0.0, 1.0]])) == pytest.approx(4)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_as_many_labels_are_expected_as_there_are(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 40 + 8 * torch.randn(6, 5, generator=generator, dtype=torch.float64)
    labels = (torch.rand(6, 5, generator=generator) < share).double()
    expected = float((logits - level_of(logits, labels)).sigmoid().sum())
    assert expected == pytest.approx(min(max(float(labels.sum()), 0.5), 29.5), abs=1e-6)
