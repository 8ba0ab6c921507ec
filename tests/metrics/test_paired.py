"""Tests on paired scores, against numbers worked out by hand or printed in Demsar's paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import chi2

from skycue.metrics.paired import (
    critical_difference,
    friedman_p,
    groups_within,
    holm,
    mean_difference,
    mean_ranks,
    wilcoxon_p,
)


def test_ranks_begin_with_the_best_and_ties_share() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.5, 0.6, 0.5]])
    assert mean_ranks(scores).tolist() == [(1 + 2.5) / 2, (2 + 1) / 2, (3 + 2.5) / 2]


def test_friedman_is_the_formula_over_ranks() -> None:
    scores = np.random.default_rng(3).permuted(np.tile(np.arange(5.0), (12, 1)), axis=1)
    n, k = scores.shape
    total = 0.0
    for method in range(k):
        ranks = [sum(other >= own for other in row) for row in scores for own in [row[method]]]
        total += (sum(ranks) / n) ** 2
    statistic = 12 * n / (k * (k + 1)) * (total - k * (k + 1) ** 2 / 4)
    assert friedman_p(scores) == pytest.approx(chi2.sf(statistic, k - 1))


def test_methods_that_tie_everywhere_are_equal() -> None:
    ties = np.full((10, 4), 0.5)
    assert friedman_p(ties) == 1
    assert wilcoxon_p(ties[:, 0], ties[:, 1]) == 1


def test_critical_difference_is_that_of_the_papers_example() -> None:
    # Section 3.2.3: four classifiers on 14 data sets, q = 2.569, so 2.569 sqrt(20 / 84) = 1.25
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    # Table 5: q at 0.05 for 2, 5 and 10 classifiers
    for k, q in ((2, 1.960), (5, 2.728), (10, 3.164)):
        assert critical_difference(k, 6) == pytest.approx(q * math.sqrt(k * (k + 1)) / 6, abs=2e-3)


def test_five_wins_in_five_have_the_smallest_exact_p() -> None:
    first = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    second = first - np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    assert wilcoxon_p(first, second) == pytest.approx(2 / 2**5)
    assert wilcoxon_p(second, first) == pytest.approx(2 / 2**5)


def test_holm_multiplies_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1]
    assert holm([]) == []


def test_interval_of_a_mean_difference_by_hand() -> None:
    found = mean_difference(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    half = 4.30265 / math.sqrt(3)  # t of two degrees of freedom, deviation 1, three pairs
    assert found == pytest.approx((2, 2 - half, 2 + half), abs=1e-4)


def test_one_pair_has_no_interval() -> None:
    found = mean_difference(np.array([2.0]), np.array([1.5]))
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize(
    ("ranks", "difference", "groups"),
    [
        ([1, 1.5, 2.6, 3], 1.2, [(0, 1), (1, 2), (2, 3)]),
        ([1, 2, 3], 2, [(0, 2)]),
        ([1, 2, 3], 0.5, []),
        ([1.5], 1, []),
        ([], 1, []),
    ],
)
def test_groups_join_neighbours_that_are_not_told_apart(
    ranks: list[float], difference: float, groups: list[tuple[int, int]]
) -> None:
    assert groups_within(ranks, difference) == groups
