"""The losses of training a CLIP, against their formulas as loops."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from skycue.backbones.contrastive import (
    distillation_loss,
    multi_positive_contrastive_loss,
    text_id_of,
)

GENERATOR = torch.Generator().manual_seed(1)
IMAGES = F.normalize(torch.randn(5, 8, generator=GENERATOR), dim=-1)
TEXTS = F.normalize(torch.randn(5, 8, generator=GENERATOR), dim=-1)
SCALE = torch.tensor(10.0)


def test_without_equal_texts_it_is_clips_loss() -> None:
    loss = multi_positive_contrastive_loss(IMAGES, TEXTS, SCALE, torch.arange(5))
    logits = SCALE * IMAGES @ TEXTS.T
    right = torch.arange(5)
    assert_close(loss, (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2)


def test_equal_texts_are_positives_as_in_the_loops_of_the_paper() -> None:
    ids = torch.tensor([0, 1, 0, 2, 1])
    texts = TEXTS[ids]
    loss = multi_positive_contrastive_loss(IMAGES, texts, SCALE, ids)
    assert_close(loss.item(), (_one_way(IMAGES, texts, ids) + _one_way(texts, IMAGES, ids)) / 2)


def _one_way(anchors: Tensor, others: Tensor, ids: Tensor) -> float:
    """Equation 2 of Khosla et al., anchor by anchor."""
    total = 0.0
    for i in range(len(ids)):
        exps = [math.exp(10 * float(anchors[i] @ others[j])) for j in range(len(ids))]
        positives = [j for j in range(len(ids)) if ids[j] == ids[i]]
        total -= sum(math.log(exps[p] / sum(exps)) for p in positives) / len(positives)
    return total / len(ids)


def test_a_student_that_equals_its_teacher_costs_nothing() -> None:
    assert_close(distillation_loss(3 * TEXTS, TEXTS, 0.1), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_distillation_is_cosine_distance_plus_divergence() -> None:
    found = distillation_loss(IMAGES, TEXTS, 0.5).item()
    expected = 0.0
    for i in range(5):
        wanted = [math.exp(float(TEXTS[i] @ TEXTS[j]) / 0.5) for j in range(5)]
        given = [math.exp(float(IMAGES[i] @ TEXTS[j]) / 0.5) for j in range(5)]
        shares = [(w / sum(wanted), g / sum(given)) for w, g in zip(wanted, given, strict=True)]
        expected += 1 - float(IMAGES[i] @ TEXTS[i]) + sum(p * math.log(p / q) for p, q in shares)
    assert_close(found, expected / 5)


def test_texts_that_differ_in_case_or_outer_spaces_are_equal() -> None:
    assert text_id_of(["A port.", "a lake.", " a port. "]).tolist() == [0, 1, 0]
