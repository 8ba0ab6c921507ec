"""Measures of images that show several classes, from scores, labels and predicted labels.

All take N images by C classes. "Per class" (C) averages over classes, so rare ones count as much as
frequent ones; "overall" (O) counts every pair of image and class alike. The names mAP, CP, CR, CF1,
OP, OR and OF1 are those of Chen et al., "Multi-Label Image Recognition with Graph Convolutional
Networks", CVPR 2019, section 4.1, https://arxiv.org/abs/1904.03582.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Flags: TypeAlias = NDArray[np.bool_]


class LabelRates(NamedTuple):
    """Precision, recall and their harmonic means, in [0, 1]."""

    cp: float
    """Mean precision over classes; a class that is never predicted has precision 0."""
    cr: float
    """Mean recall over the classes that some image shows."""
    cf1: float
    """Harmonic mean of `cp` and `cr`."""
    op: float
    """Precision over all predicted labels."""
    overall_recall: float
    """Recall over all true labels, OR."""
    of1: float
    """Harmonic mean of the two before."""


def average_precision(scores: Floats, truth: Flags) -> NDArray[np.float64]:
    """Return the average precision of each class, [C]; NaN for a class that no image shows.

    AP is the sum over the distinct scores, from high to low, of the gain in recall times the
    precision there: no interpolation, and equal scores count together.

    Args:
        scores: The higher, the more likely a class is shown, [N, C].
        truth: Which classes images show, [N, C].
    """
    columns = zip(scores.T, truth.T, strict=True)
    return np.array([_average_precision(score, shown) for score, shown in columns])


def mean_average_precision(scores: Floats, truth: Flags) -> float:
    """Return the mean of `average_precision` over the classes that are shown; NaN without any."""
    found = average_precision(scores, truth)
    known = found[~np.isnan(found)]
    return float(known.mean()) if len(known) else float("nan")


def label_rates(predicted: Flags, truth: Flags) -> LabelRates:
    """Return precision, recall and F1 of predicted labels; 0 where nothing could be right.

    Classes that no image shows are left out of the means over classes.

    Args:
        predicted: Labels given, [N, C].
        truth: Labels that are true, [N, C].
    """
    right = (predicted & truth).sum(axis=0)  # [C]
    given, true = predicted.sum(axis=0), truth.sum(axis=0)
    shown = true > 0
    if not shown.any():
        return LabelRates(*[float("nan")] * 6)
    cp = float((right / np.maximum(given, 1))[shown].mean())
    cr = float((right / np.maximum(true, 1))[shown].mean())
    op = float(right.sum() / max(given.sum(), 1))
    overall_recall = float(right.sum() / true.sum())
    return LabelRates(cp, cr, _f1(cp, cr), op, overall_recall, _f1(op, overall_recall))


def top_labels(scores: Floats, k: int) -> Flags:
    """Mark the k highest scores of each image, [N, C]; of equal ones the first class."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    marked = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(marked, order, True, axis=1)
    return marked


def best_threshold(scores: Floats, shown: Flags) -> float:
    """Return the threshold with the highest F1: a label is given where the score is at least it.

    Thresholds lie halfway between neighbouring scores, so a new image that scores a little less
    than the least right one is still in. Of equal F1 the highest threshold is taken.

    Args:
        scores: Of any number of images for one class, or of many pairs of image and class, [N].
        shown: Which of them are right, [N].

    Returns:
        The threshold; infinity where nothing is right.
    """
    if not shown.any():
        return float("inf")
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order].astype(np.float64), np.cumsum(shown[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of runs of equal scores
    f1 = 2 * right[ends] / (ends + 1 + right[-1])
    best = ends[int(f1.argmax())]
    if best == len(ranked) - 1:
        return float(ranked[best])
    return float(ranked[best] + ranked[best + 1]) / 2


def _average_precision(scores: Floats, shown: Flags) -> float:
    """Return the average precision of one class."""
    if not shown.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], np.cumsum(shown[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of runs of equal scores
    precision = right[ends] / (ends + 1)
    gained = np.diff(right[ends], prepend=0) / right[-1]
    return float((precision * gained).sum())


def _f1(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total > 0 else 0.0
