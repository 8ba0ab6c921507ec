"""Measures of several labels, against numbers worked out by hand and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from skycue.metrics.multi_label import (
    average_precision,
    best_threshold,
    label_rates,
    mean_average_precision,
    top_labels,
)

TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
SCORES = np.array([[0.9, 0.1, 0.5], [0.4, 0.8, 0.5], [0.6, 0.7, 0.5], [0.2, 0.9, 0.5]])


def test_average_precision_by_hand() -> None:
    # Class 0 ranks right, wrong, right, wrong: (1/1 + 2/3) / 2. Class 1: wrong, right, right.
    found = average_precision(SCORES, TRUTH)
    assert found[:2] == pytest.approx([(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])
    assert math.isnan(found[2])
    assert mean_average_precision(SCORES, TRUTH) == pytest.approx(found[:2].mean())
    assert math.isnan(mean_average_precision(SCORES[:, 2:], TRUTH[:, 2:]))


@given(st.integers(0, 10**6))
def test_average_precision_is_scikit_learns_with_equal_scores_too(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, (20, 3)) / 5
    truth = rng.random((20, 3)) < 0.4
    truth[0] = True
    expected = [average_precision_score(truth[:, c], scores[:, c]) for c in range(3)]
    assert average_precision(scores, truth) == pytest.approx(expected)


def test_rates_by_hand() -> None:
    predicted = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1]], dtype=bool)
    rates = label_rates(predicted, TRUTH)
    assert rates.cp == pytest.approx((2 / 2 + 1 / 3) / 2)
    assert rates.cr == pytest.approx((2 / 2 + 1 / 2) / 2)
    assert rates.cf1 == pytest.approx(2 * rates.cp * rates.cr / (rates.cp + rates.cr))
    assert (rates.op, rates.overall_recall) == pytest.approx((3 / 6, 3 / 4))
    assert rates.of1 == pytest.approx(0.6)


def test_rates_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.random((2, 40, 5)) < 0.3
    for average, found in (("macro", (0, 1)), ("micro", (3, 4))):
        expected = precision_recall_fscore_support(
            truth, predicted, average=average, zero_division=0
        )
        rates = label_rates(predicted, truth)
        assert [rates[k] for k in found] == pytest.approx(expected[:2])


def test_nothing_predicted_or_nothing_true_is_no_division_by_zero() -> None:
    nothing = np.zeros_like(TRUTH)
    assert label_rates(nothing, TRUTH) == (0, 0, 0, 0, 0, 0)
    assert all(math.isnan(rate) for rate in label_rates(TRUTH, nothing))


def test_the_highest_labels_are_marked_and_of_equal_ones_the_first() -> None:
    marked = top_labels(np.array([[0.1, 0.9, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3]]), 2)
    assert marked.tolist() == [[False, True, True, False], [True, True, False, False]]
    assert top_labels(SCORES, 5).all()


def test_a_threshold_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.4, 0.2])
    # F1 of the first 1 to 5: 2/4, 2/5, 4/6, 6/7, 6/8.
    assert best_threshold(scores, np.array([1, 0, 1, 1, 0], dtype=bool)) == pytest.approx(0.3)
    assert best_threshold(scores, np.ones(5, dtype=bool)) == 0.2
    assert best_threshold(scores, np.zeros(5, dtype=bool)) == math.inf


@given(st.integers(0, 10**6))
def test_no_other_threshold_has_a_higher_f1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, shown = rng.integers(0, 8, 15) / 7, rng.random(15) < 0.4
    shown[0] = True

    def f1(threshold: float) -> float:
        given_ = scores >= threshold
        return float(2 * (given_ & shown).sum() / (given_.sum() + shown.sum()))

    best = f1(best_threshold(scores, shown))
    assert best == pytest.approx(max(f1(t) for t in np.linspace(-0.1, 1.1, 200)))
