"""The loss of images that show several classes, and its options.

Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021,
https://arxiv.org/abs/2009.14119. Equation numbers are the paper's. It was made for training on many
images of many classes, nearly all absent (gamma- 4, gamma+ 0, m 0.05). A draw of K images of each
class is not so: our defaults are 0, which is the binary cross-entropy (docs/multilabel.md).
"""

import math
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from skycue.config import Config

LEAST_PROBABILITY = 1e-8
"""Shifted probabilities are not below it, so that their powers have finite gradients."""

BISECTIONS = 60
"""Halvings of an interval of logits: its length falls below the rounding of float64."""


class MultiLabelConfig(Config):
    """Options for images that show several classes, under `multi_label:` in a configuration."""

    gamma_positive: float = Field(default=0.0, ge=0)
    """How much labels that are already sure count less, where a class is shown; gamma+."""
    gamma_negative: float = Field(default=0.0, ge=0)
    """The same where a class is absent, which is the case of most pairs; gamma-, published as 4."""
    margin: float = Field(default=0.0, ge=0, lt=1)
    """Absent classes of a probability up to this count nothing; m, published as 0.05."""
    standardise: Literal["none", "image", "image-class"] = "none"
    """Standardise scores without training: over the classes of each image, and then over images
    for each class by what the images had that the thresholds were chosen on."""


def asymmetric_loss(logits: Tensor, labels: Tensor, config: MultiLabelConfig) -> Tensor:
    """Return the asymmetric loss (eq. 7), summed over classes and averaged over images, a scalar.

    With p = sigmoid(logit): -(1 - p)^gamma+ log(p) where a class is shown, else
    -q^gamma- log(1 - q) with the shifted probability q = max(p - m, 0) (eq. 5). With both gammas
    and m at 0 it is the binary cross-entropy. The focusing powers have gradients, as in the paper.

    Args:
        logits: [B, C].
        labels: 1 where a class is shown, else 0, [B, C].
        config: gamma+, gamma- and m.
    """
    probability = logits.sigmoid()
    shifted = (probability - config.margin).clamp(min=LEAST_PROBABILITY)
    if config.margin == 0:
        log_absent = F.logsigmoid(-logits)  # true for any logit
    else:
        log_absent = ((-logits).sigmoid() + config.margin).clamp(max=1).log()
    focus_shown = (1 - probability).clamp(min=LEAST_PROBABILITY) ** config.gamma_positive
    shown = labels * focus_shown * F.logsigmoid(logits)
    absent = (1 - labels) * shifted**config.gamma_negative * log_absent
    return -(shown + absent).sum(dim=-1).mean()


def level_of(logits: Tensor, labels: Tensor) -> float:
    """Return the number to take off all logits so that as many labels are expected as there are.

    CLIP compares texts for one image, so its logits mean something only up to a constant; its
    temperature, and so the odds between two classes of an image, can stay. Of all constants this is
    the one of maximum likelihood: the mean of sigmoid(logit - level) is the share of labels, which
    is held half a label away from none and all.

    Args:
        logits: [N, C].
        labels: 1 where a class is shown, else 0, [N, C].
    """
    scores, n_pairs = logits.detach().double().flatten(), labels.numel()
    wanted = float(labels.sum().clamp(0.5, n_pairs - 0.5)) / n_pairs
    edge = 2 * math.log(n_pairs) + 1  # beyond it nothing, or all, is left
    low, high = scores.min().item() - edge, scores.max().item() + edge
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if (scores - middle).sigmoid().mean().item() > wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
