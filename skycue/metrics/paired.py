"""Do methods differ that were measured in the same places? Tests on paired scores.

The procedure is that of Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets",
JMLR 7 (2006), https://www.jmlr.org/papers/v7/demsar06a.html: Friedman's test over all methods, then
Nemenyi's critical difference of mean ranks; Wilcoxon's signed-rank test for a pair, with Holm's
correction where there are several. A score is better the higher it is; a block is a place where all
methods were measured. The tests take blocks for independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05
"""Chance to find a difference where there is none."""


class MeanDifference(NamedTuple):
    """A mean of paired differences with its confidence interval."""

    mean: float
    low: float
    """NaN for fewer than two pairs, as `high`."""
    high: float


def mean_ranks(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean rank of each method, 1 for the best; ties share the mean of their ranks.

    Args:
        scores: N blocks by K methods, [N, K].

    Returns:
        K numbers from 1 to K.
    """
    ranks: NDArray[np.float64] = np.asarray(stats.rankdata(-scores, axis=1)).mean(axis=0)
    return ranks


def friedman_p(scores: NDArray[np.floating]) -> float:
    """Return the chance of ranks as unequal as these if the methods were equal (section 3.2.2).

    Friedman's chi-square with its correction for ties; a good approximation from about ten blocks
    and five methods on.

    Args:
        scores: N blocks by K methods, [N, K], K of at least 3.

    Returns:
        A p-value; 1 where all methods tie everywhere.
    """
    if (scores == scores[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*scores.T).pvalue)


def critical_difference(n_methods: int, n_blocks: int, level: float = LEVEL) -> float:
    """Return by how much two mean ranks must differ to tell methods apart (section 3.2.2, Nemenyi).

    q sqrt(K (K + 1) / (6 N)), with q the studentized range of K means over sqrt(2).

    Args:
        n_methods: K, at least 2.
        n_blocks: N.
        level: Chance of a false difference among all pairs.
    """
    q = float(stats.studentized_range.ppf(1 - level, n_methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(n_methods * (n_methods + 1) / (6 * n_blocks))


def wilcoxon_p(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test (section 3.1.3).

    Differences of zero are split evenly between the two signs.

    Args:
        first: Scores of one method, [N].
        second: Those of another in the same blocks, [N].

    Returns:
        A p-value; 1 where all scores are equal.
    """
    differences = first - second
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences, zero_method="zsplit").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all of several tests together (section 3.2.2, Holm).

    The i-th smallest of m is multiplied by m - i + 1; none falls below a smaller one's, or above 1.

    Args:
        p_values: One for each test.

    Returns:
        As many, in the same order.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min((len(p_values) - place) * p_values[index], 1.0))
        adjusted[index] = largest
    return adjusted


def mean_difference(
    first: NDArray[np.floating], second: NDArray[np.floating], level: float = LEVEL
) -> MeanDifference:
    """Return the mean of first minus second with Student's interval for it.

    Args:
        first: Scores of one method, [N].
        second: Those of another in the same blocks, [N].
        level: The interval leaves out the true mean with this chance.
    """
    differences = first - second
    mean, n = float(differences.mean()), len(differences)
    if n < 2:
        return MeanDifference(mean, math.nan, math.nan)
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    half = float(stats.t.ppf(1 - level / 2, n - 1)) * error
    return MeanDifference(mean, mean - half, mean + half)


def groups_within(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the largest groups of neighbours in rank that a difference does not tell apart.

    Args:
        ranks: Mean ranks in rising order.
        difference: The critical difference.

    Returns:
        First and last place of each group of two or more; no group lies in another.
    """
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(n for n in range(first, len(ranks)) if ranks[n] - rank <= difference)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
