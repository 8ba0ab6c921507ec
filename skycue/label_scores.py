"""From logits to a probability for each class, and to the labels that an image is given.

Probabilities of one class an image come from a softmax; where an image shows several, each class
has its own: sigmoid(logit - level). CLIP's temperature stays, so the odds between two classes of an
image are those of the softmax, and only the level of all logits is chosen (`asymmetric.level_of`).
That and a threshold for each class are chosen on labelled images, those of the validation part if
there are some.

Scores can be standardised without training: over the classes of each image, then over images for
each class, in the spirit of SPARC (Miller et al., CVPR 2025, https://arxiv.org/abs/2502.16911),
whose formulas were not at hand. The moments over images are those of the images that thresholds are
chosen on and are kept, so a single image can be scored, and its scores do not depend on the images
beside it; those of the first step depend on the classes that are asked for. The second step moves a
class in all images alike: it changes thresholds and the ranking of classes for an image, but
neither average precision nor F1 at thresholds chosen after it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from skycue.config import Config
from skycue.errors import DatasetError
from skycue.metrics.multi_label import best_threshold
from skycue.scenes.asymmetric import MultiLabelConfig, level_of

LEAST_DEVIATION = 1e-6
"""What scores are divided by at least."""


class ClassScore(Config):
    """What was chosen for one class."""

    threshold: float
    """An image gets the label where the class's probability is at least this."""
    mean: float = 0.0
    """Of the class's scores over images; taken off them."""
    deviation: float = 1.0
    """Of the same, in the sense of n; divides them."""


class LabelScores(Config):
    """How logits become probabilities and labels."""

    standardise: Literal["none", "image", "image-class"] = "none"
    """As `MultiLabelConfig` has it."""
    level: float
    """Taken off the scores before the sigmoid."""
    classes: dict[str, ClassScore]
    """What was chosen for each class fitted on, by its name."""
    other: ClassScore
    """For any other class: the threshold of all classes together, and the mean moments."""
    chosen_on: Literal["validation", "training"]
    """Images that all this was chosen on."""
    n_images: int
    """How many they were."""

    def probabilities(self, logits: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return the probability of each class, [B, C], for logits [B, C] of these classes."""
        scores = logits if self.standardise == "none" else _standardised(logits, dim=1)
        chosen = [self.of(name) for name in class_names]
        mean, deviation = (
            torch.tensor([each.mean for each in chosen]).to(scores),
            torch.tensor([each.deviation for each in chosen]).to(scores),
        )
        return ((scores - mean) / deviation - self.level).sigmoid()

    def of(self, class_name: str) -> ClassScore:
        """Return what was chosen for a class."""
        return self.classes.get(class_name, self.other)

    def thresholds(self, class_names: Sequence[str]) -> Tensor:
        """Return the thresholds of classes, float64 [C]."""
        return torch.tensor([self.of(name).threshold for name in class_names], dtype=torch.float64)

    def labels(self, probabilities: Mapping[str, float]) -> list[str]:
        """Return the classes that an image is given, in the order of `probabilities`."""
        return [name for name, p in probabilities.items() if p >= self.of(name).threshold]


def choose_label_scores(
    logits: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
    config: MultiLabelConfig,
    chosen_on: Literal["validation", "training"],
) -> LabelScores:
    """Choose level, moments and thresholds on labelled images.

    A class that none of them shows gets the threshold of all classes together.

    Args:
        logits: Of N images, float32 [N, C].
        labels: 1 where an image shows a class, else 0, [N, C].
        class_names: C names.
        config: Says whether scores are standardised.
        chosen_on: Which images they are.

    Raises:
        DatasetError: If none of the images shows any class.
    """
    if not labels.any():
        raise DatasetError(
            f"the {len(labels)} {chosen_on} images show none of {', '.join(class_names)}: add "
            "labelled ones, for thresholds are chosen on them."
        )
    moments = [(0.0, 1.0)] * len(class_names)
    scores = logits
    if config.standardise != "none":
        scores = _standardised(logits, dim=1)
    if config.standardise == "image-class":
        means = scores.mean(dim=0)
        deviations = scores.std(dim=0, correction=0).clamp(min=LEAST_DEVIATION)
        moments = list(zip(means.tolist(), deviations.tolist(), strict=True))
        scores = (scores - means) / deviations
    level = level_of(scores, labels)
    probabilities = (scores - level).sigmoid().double().numpy()
    shown = labels.numpy() > 0
    overall = best_threshold(probabilities.ravel(), shown.ravel())
    thresholds = [
        best_threshold(column, of_class) if of_class.any() else overall
        for column, of_class in zip(probabilities.T, shown.T, strict=True)
    ]
    mean, deviation = np.mean(moments, axis=0).tolist()
    return LabelScores(
        standardise=config.standardise,
        level=level,
        classes={
            name: ClassScore(threshold=threshold, mean=m, deviation=d)
            for name, threshold, (m, d) in zip(class_names, thresholds, moments, strict=True)
        },
        other=ClassScore(threshold=overall, mean=mean, deviation=deviation),
        chosen_on=chosen_on,
        n_images=len(labels),
    )


def _standardised(scores: Tensor, dim: int) -> Tensor:
    """Take off the mean along a dimension and divide by the deviation."""
    deviation = scores.std(dim=dim, correction=0, keepdim=True).clamp(min=LEAST_DEVIATION)
    return (scores - scores.mean(dim=dim, keepdim=True)) / deviation
