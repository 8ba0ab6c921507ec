"""Measures of scene classification, from labels, predictions and probabilities."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Labels: TypeAlias = NDArray[np.integer]
Floats: TypeAlias = NDArray[np.floating]

CALIBRATION_BINS = 15
"""Bins of equal width used by Guo et al. (ICML 2017) for their tables."""


def accuracy(labels: Labels, predictions: Labels) -> float:
    """Return the share of images whose predicted class is the true one.

    Args:
        labels: True classes, [N].
        predictions: Predicted classes, [N].

    Returns:
        A number in [0, 1]; NaN without images.
    """
    if len(labels) == 0:
        return float("nan")
    return float(np.mean(labels == predictions))


def confusion_matrix(labels: Labels, predictions: Labels, n_classes: int) -> NDArray[np.int64]:
    """Count the images of each true class (row) given each predicted class (column), [C, C]."""
    flat = labels.astype(np.int64) * n_classes + predictions.astype(np.int64)  # [N]
    counts = np.bincount(flat, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def per_class_accuracy(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each class's images that were recognised, [C].

    Args:
        confusion: Counts as `confusion_matrix` makes them, [C, C].

    Returns:
        Shares in [0, 1]; NaN for a class without images.
    """
    totals = confusion.sum(axis=1)
    shares = np.full(len(confusion), np.nan)
    np.divide(np.diag(confusion), totals, out=shares, where=totals > 0)
    return shares


def expected_calibration_error(
    probabilities: Floats, labels: Labels, *, bins: int = CALIBRATION_BINS
) -> float:
    """Return how far confidence is from accuracy, on average over images.

    Images are put into `bins` bins of equal width by the probability of their predicted class;
    the error is the mean over bins of |accuracy - confidence|, weighted by the images in a bin
    (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3,
    https://arxiv.org/abs/1706.04599).

    Args:
        probabilities: Rows that sum to one, [N, C].
        labels: True classes, [N].
        bins: Number of bins.

    Returns:
        A number in [0, 1]; NaN without images.
    """
    if len(labels) == 0:
        return float("nan")
    confidence = probabilities.max(axis=1).astype(np.float64)  # [N]
    correct = (probabilities.argmax(axis=1) == labels).astype(np.float64)  # [N]
    # Bin m holds the confidences in ((m - 1) / bins, m / bins], as in the paper.
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=correct - confidence, minlength=bins)  # summed per bin
    return float(np.abs(gaps).sum() / len(labels))


def harmonic_mean(base: float, new: float) -> float:
    """Return 2bn / (b + n), the balance of base and new accuracy; 0 if either is 0."""
    if base <= 0 or new <= 0:
        return 0.0
    return 2 * base * new / (base + new)
