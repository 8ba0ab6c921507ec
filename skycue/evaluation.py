"""A classifier and labelled images to measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from torch import Tensor

from skycue.data.scenes import SceneItem, is_multi_label
from skycue.errors import DatasetError
from skycue.fitting import labels_of
from skycue.inference import SceneClassifier
from skycue.metrics.classification import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    per_class_accuracy,
)
from skycue.metrics.multi_label import (
    LabelRates,
    average_precision,
    label_rates,
    mean_average_precision,
    top_labels,
)

TOP_LABELS = 3
"""Labels an image gets in the measures beside those at thresholds (Chen et al., CVPR 2019)."""


@dataclass(frozen=True)
class Evaluation:
    """How well images of known classes were recognised."""

    class_names: tuple[str, ...]
    """The classes that were told apart, C."""
    n_images: int
    top1: float
    """Share of images whose most probable class is the true one, in [0, 1]."""
    per_class: tuple[float | None, ...]
    """The same for the images of each class, C shares; None for a class without images."""
    calibration_error: float
    """Expected calibration error over 15 bins, in [0, 1]."""
    confusion: tuple[tuple[int, ...], ...]
    """Counts, C rows of true classes by C columns of predicted ones."""

    @property
    def headline(self) -> float:
        """What tables show: `top1`."""
        return self.top1


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """How well the classes were recognised of images that show several."""

    class_names: tuple[str, ...]
    """The classes that were looked for, C."""
    n_images: int
    mean_average_precision: float
    """Mean over the classes that some image shows, in [0, 1]."""
    average_precision: tuple[float | None, ...]
    """Of each class, C; None for a class that no image shows."""
    at_thresholds: LabelRates
    """Precision, recall and F1 of the classes over their thresholds."""
    at_top_3: LabelRates
    """The same of the three most probable classes of each image."""

    @property
    def headline(self) -> float:
        """What tables show: `mean_average_precision`."""
        return self.mean_average_precision

    @property
    def per_class(self) -> tuple[float | None, ...]:
        """What tables of classes show: `average_precision`."""
        return self.average_precision


AnyEvaluation: TypeAlias = Evaluation | MultiLabelEvaluation
"""Of images with one label each, or with several."""


def evaluate_probabilities(
    probabilities: Tensor, labels: Sequence[int], class_names: Sequence[str]
) -> Evaluation:
    """Measure probabilities against the truth.

    Args:
        probabilities: Rows that sum to one, [N, C].
        labels: True classes, N indices into `class_names`.
        class_names: C names.
    """
    scores = probabilities.double().numpy(force=True)  # [N, C]
    truth = np.asarray(labels, dtype=np.int64)  # [N]
    predictions = scores.argmax(axis=1)  # [N]
    confusion = confusion_matrix(truth, predictions, len(class_names))
    shares = per_class_accuracy(confusion).tolist()
    return Evaluation(
        class_names=tuple(class_names),
        n_images=len(truth),
        top1=accuracy(truth, predictions),
        per_class=tuple(None if math.isnan(share) else share for share in shares),
        calibration_error=expected_calibration_error(scores, truth),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def evaluate_labels(
    probabilities: Tensor, labels: Tensor, class_names: Sequence[str], thresholds: Tensor
) -> MultiLabelEvaluation:
    """Measure probabilities of several classes an image against the truth.

    Args:
        probabilities: One for each class, [N, C].
        labels: 1 where an image shows a class, else 0, [N, C].
        class_names: C names.
        thresholds: Of each class, [C].
    """
    scores = probabilities.double().numpy(force=True)  # [N, C]
    truth = labels.numpy(force=True) > 0  # [N, C]
    precisions = average_precision(scores, truth).tolist()
    return MultiLabelEvaluation(
        class_names=tuple(class_names),
        n_images=len(truth),
        mean_average_precision=mean_average_precision(scores, truth),
        average_precision=tuple(None if math.isnan(each) else each for each in precisions),
        at_thresholds=label_rates(scores >= thresholds.numpy(), truth),
        at_top_3=label_rates(top_labels(scores, TOP_LABELS), truth),
    )


def evaluate(
    classifier: SceneClassifier,
    items: Sequence[SceneItem],
    class_names: Sequence[str] | None = None,
) -> AnyEvaluation:
    """Ask a classifier for the class, or the classes, of labelled images.

    Args:
        classifier: Trained, or zero-shot.
        items: Images whose labels index into `class_names`.
        class_names: The classes to tell apart, as their folders say; by default those that the
            classifier was trained on.

    Raises:
        NewClassesError: If the method cannot score a class that it has not learned.
        DatasetError: If there are no items, none that shows any class, or they have several labels
            and the classifier gives one, or the reverse.
    """
    if not items:
        raise DatasetError("there are no images to evaluate on: the test part is empty.")
    names = classifier.class_names if class_names is None else tuple(class_names)
    several = is_multi_label(items)
    if several != (classifier.label_scores is not None):
        kinds = ("one label", "several labels")
        raise DatasetError(
            f"the classifier was fitted on images of {kinds[not several]} each, and these have "
            f"{kinds[several]}: fit one on data of the same kind."
        )
    probabilities = classifier.probabilities_of([item.path for item in items], names)
    labels = labels_of(items, len(names))
    if classifier.label_scores is None:
        return evaluate_probabilities(probabilities, labels.tolist(), names)
    if not labels.any():
        raise DatasetError(f"the {len(items)} images show none of {', '.join(names)}.")
    thresholds = classifier.label_scores.thresholds(names)
    return evaluate_labels(probabilities, labels, names, thresholds)
