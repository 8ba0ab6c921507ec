"""A classifier and labelled images to measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from skycue.data.scenes import SceneItem
from skycue.errors import DatasetError
from skycue.inference import SceneClassifier
from skycue.metrics.classification import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    per_class_accuracy,
)


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


def evaluate(
    classifier: SceneClassifier,
    items: Sequence[SceneItem],
    class_names: Sequence[str] | None = None,
) -> Evaluation:
    """Ask a classifier for the class of labelled images.

    Args:
        classifier: Trained, or zero-shot.
        items: Images whose labels index into `class_names`.
        class_names: The classes to tell apart, as their folders say; by default those that the
            classifier was trained on.

    Raises:
        NewClassesError: If the method cannot score a class that it has not learned.
        DatasetError: If there are no items.
    """
    if not items:
        raise DatasetError("there are no images to evaluate on: the test part is empty.")
    names = classifier.class_names if class_names is None else tuple(class_names)
    probabilities = classifier.probabilities_of([item.path for item in items], names)
    return evaluate_probabilities(probabilities, [item.label for item in items], names)
