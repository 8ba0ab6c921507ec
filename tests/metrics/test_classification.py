"""Measures of classification, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from skycue.metrics.classification import (
    accuracy,
    confusion_matrix,
    expected_calibration_error,
    harmonic_mean,
    per_class_accuracy,
)

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTIONS = np.array([0, 0, 1, 1, 0, 2])


def test_accuracy_is_the_share_of_right_answers() -> None:
    assert accuracy(LABELS, PREDICTIONS) == pytest.approx(4 / 6)


def test_accuracy_of_no_images_is_not_a_number() -> None:
    assert math.isnan(accuracy(np.array([], dtype=int), np.array([], dtype=int)))


def test_confusion_rows_are_true_classes() -> None:
    confusion = confusion_matrix(LABELS, PREDICTIONS, 4)
    expected = [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert confusion.tolist() == expected
    assert confusion[:3, :3].tolist() == sklearn_confusion_matrix(LABELS, PREDICTIONS).tolist()


def test_class_without_images_has_no_accuracy() -> None:
    shares = per_class_accuracy(confusion_matrix(LABELS, PREDICTIONS, 4))
    assert shares[:3] == pytest.approx([2 / 3, 1 / 2, 1])
    assert math.isnan(shares[3])


def test_calibration_error_worked_out_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.6, 0.4], [0.45, 0.55]])
    labels = np.array([0, 1, 0, 1])
    # Two bins of ten: confidence 0.95 twice with one right; 0.6 and 0.55 in (0.5, 0.6], both right.
    by_hand = (abs(1 - 1.9) + abs(2 - 1.15)) / 4
    assert expected_calibration_error(probabilities, labels, bins=10) == pytest.approx(by_hand)


def test_certain_and_right_is_perfectly_calibrated() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_calibration_error_equals_the_formula_as_loops() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet(np.ones(5), size=200)
    labels = generator.integers(0, 5, size=200)
    error, bins = 0.0, 15
    for m in range(bins):
        inside = [
            row for row in range(200) if m / bins < probabilities[row].max() <= (m + 1) / bins
        ]
        if inside:
            right = np.mean([probabilities[row].argmax() == labels[row] for row in inside])
            confidence = np.mean([probabilities[row].max() for row in inside])
            error += len(inside) / 200 * abs(right - confidence)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(error)


def test_harmonic_mean_of_the_published_example() -> None:
    # CLIP on PatternNet in the table of APPLeNet: base 63.67, new 64.37, H 64.02.
    assert harmonic_mean(63.67, 64.37) == pytest.approx(64.02, abs=0.005)


def test_harmonic_mean_with_a_total_failure_is_zero() -> None:
    assert harmonic_mean(0.9, 0.0) == 0
