"""Which rows differ: the scores of a protocol, paired over places and seeds.

A protocol says what one score sums up its measures: H for base to new, the mean of targets across
datasets. Rows that have a score everywhere are compared by the tests of `metrics/paired.py`: all
with each other, and each with zero-shot, which asks fewer questions and so corrects less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from skycue.metrics.paired import (
    LEVEL,
    MeanDifference,
    critical_difference,
    friedman_p,
    holm,
    mean_difference,
    mean_ranks,
    wilcoxon_p,
)
from skycue.protocols.cells import ZERO_SHOT, Targets
from skycue.protocols.tables import Field, Measure, Table, shots_text

MIN_BLOCKS = 10
"""Fewer pairs of place and seed are too few for Friedman's approximation."""
MIN_ROWS = 3

SEEN_OR_NOT: Mapping[Targets, str] = {
    "unseen": ", targets not seen in pre-training",
    "seen": ", targets seen in pre-training",
    "all": "",
}
"""What titles say of the targets."""


AGAINST_ZERO_SHOT = ("minus zero-shot, points [95 %]", "p against it (Holm)")
"""Columns of the comparison with zero-shot."""


@dataclass(frozen=True)
class Scores:
    """One score for each row in each place, at one number of shots."""

    title: str
    """What the score is."""
    shots: int
    of_place: Mapping[str, Mapping[str, Measure | None]]
    """By place, then by row."""
    targets: Targets = "all"
    """Which datasets' images count."""

    @property
    def full_title(self) -> str:
        """The title with the targets that count."""
        return self.title + SEEN_OR_NOT[self.targets]

    def table_name(self, kind: str) -> str:
        """Name a table of these scores: "ranks-unseen_16-shots"."""
        return table_name(kind, self.targets, self.shots)

    @property
    def rows(self) -> list[str]:
        """The rows that have a score in every place."""
        names = {name: None for measures in self.of_place.values() for name in measures}
        return [
            name
            for name in names
            if all(measures.get(name) is not None for measures in self.of_place.values())
        ]

    def mean(self, row: str) -> Measure | None:
        """Return the mean over places, of each seed; None where a place has no score."""
        return Measure.average(measures.get(row) for measures in self.of_place.values())

    def matrix(self) -> NDArray[np.float64]:
        """Return the scores of `rows` in blocks of a place and a seed, shares in [0, 1], [N, K].

        A row without seeds of its own (zero-shot) has its one number at every seed.
        """
        blocks: list[list[float]] = []
        for measures in self.of_place.values():
            present = [measures[name] for name in self.rows]
            known = [measure.values for measure in present if measure is not None]
            n_seeds = max(map(len, known), default=0)
            filled = [values * n_seeds if len(values) == 1 else values for values in known]
            blocks += [list(of_seed) for of_seed in zip(*filled, strict=True)]
        return np.array(blocks, dtype=np.float64)


@dataclass(frozen=True)
class PairedComparison:
    """What the tests say of the rows of `scores`."""

    scores: Scores
    n_blocks: int
    ranks: Mapping[str, float]
    """Mean rank by row, the best first."""
    differences: Mapping[tuple[str, str], MeanDifference]
    """First minus second, for each pair, the better ranked first."""
    p_values: Mapping[tuple[str, str], float]
    """Of Wilcoxon's test, for each pair."""
    corrected: Mapping[tuple[str, str], float]
    """The same with Holm's correction over all pairs."""
    against_zero_shot: Mapping[str, float]
    """p of Wilcoxon's test of each other row against zero-shot, with Holm's correction over these
    alone (Demsar, section 3.2.2: comparison with a control); empty without zero-shot."""
    friedman: float | None
    """p-value of Friedman's test; None with too few rows or blocks."""
    critical: float | None
    """Critical difference of mean ranks, likewise."""


def table_name(kind: str, targets: Targets, shots: int) -> str:
    """Name a table of some targets: "ranks-unseen_16-shots", or without a word for all of them."""
    part = "" if targets == "all" else f"-{targets}"
    return f"{kind}{part}_{shots}-shots"


def compare(scores: Scores) -> PairedComparison | None:
    """Compare the rows of scores.

    Returns:
        None where fewer than two rows have a score everywhere, or all have a single one: with one
        pair of place and seed nothing can be told from chance.
    """
    names, matrix = scores.rows, scores.matrix()
    if len(names) < 2 or len(matrix) < 2:
        return None
    found = dict(zip(names, mean_ranks(matrix).tolist(), strict=True))
    ranks = {name: found[name] for name in sorted(names, key=found.__getitem__)}
    column = {name: matrix[:, place] for place, name in enumerate(names)}
    pairs = list(combinations(ranks, 2))
    p_values = {(a, b): wilcoxon_p(column[a], column[b]) for a, b in pairs}
    others = [name for name in names if name != ZERO_SHOT and ZERO_SHOT in names]
    control = [wilcoxon_p(column[name], column[ZERO_SHOT]) for name in others]
    n_blocks = len(matrix)
    is_enough = n_blocks >= MIN_BLOCKS and len(names) >= MIN_ROWS
    return PairedComparison(
        scores=scores,
        n_blocks=n_blocks,
        ranks=ranks,
        differences={(a, b): mean_difference(column[a], column[b]) for a, b in pairs},
        p_values=p_values,
        corrected=dict(zip(pairs, holm(list(p_values.values())), strict=True)),
        against_zero_shot=dict(zip(others, holm(control), strict=True)),
        friedman=friedman_p(matrix) if is_enough else None,
        critical=critical_difference(len(names), n_blocks) if is_enough else None,
    )


def ranks_table(found: PairedComparison) -> Table:
    """Build the table of mean ranks, with each row's distance to the best and to zero-shot."""
    best = next(iter(found.ranks))
    rows: list[tuple[Field, ...]] = []
    for name, rank in found.ranks.items():
        fields: tuple[Field, ...] = ("", "")
        if name != best:
            pair = (best, name)
            fields = (_interval(found.differences[pair]), f"{found.corrected[pair]:.3f}")
        if found.against_zero_shot:
            fields += _against_zero_shot(found, name)
        rows.append((name, found.scores.mean(name), f"{rank:.2f}", *fields))
    return Table(
        name=found.scores.table_name("ranks"),
        title=f"Paired comparison, {shots_text(found.scores.shots)}: {found.scores.full_title}",
        columns=(
            "method",
            "mean, %",
            "mean rank",
            f"{best} minus it, points [95 %]",
            "p (Holm)",
            *(AGAINST_ZERO_SHOT if found.against_zero_shot else ()),
        ),
        rows=tuple(rows),
        notes=_notes(found),
    )


def differences_table(found: PairedComparison) -> Table:
    """Build the square of mean differences, row minus column, with stars where they are sure."""
    rows: list[tuple[Field, ...]] = []
    for name in found.ranks:
        fields = [_difference(found, name, other) for other in found.ranks]
        rows.append((name, *fields))
    return Table(
        name=found.scores.table_name("differences"),
        title=f"Row minus column, points of {found.scores.full_title}",
        columns=("method", *found.ranks),
        rows=tuple(rows),
        notes=(
            f"\\*: p of Wilcoxon's signed-rank test below {LEVEL:g} after Holm's correction over "
            f"{len(found.p_values)} pairs of rows.",
        ),
    )


def pairs_table(found: PairedComparison) -> Table:
    """Build the long table of all pairs, for programs."""
    return Table(
        name=found.scores.table_name("pairs"),
        title="Pairs of rows: first minus second, shares",
        columns=("first", "second", "mean", "low", "high", "p (Wilcoxon)", "p (Holm)"),
        rows=tuple(
            (
                *pair,
                *(repr(value) for value in found.differences[pair]),
                repr(found.p_values[pair]),
                repr(found.corrected[pair]),
            )
            for pair in found.differences
        ),
    )


def _difference(found: PairedComparison, name: str, other: str) -> str:
    """Return "+1.2", with an escaped star where it is sure, and nothing on the diagonal."""
    if name == other:
        return ""
    is_better = (name, other) in found.differences
    pair = (name, other) if is_better else (other, name)
    mean = found.differences[pair].mean * (1 if is_better else -1)
    return f"{100 * mean:+.1f}" + (r"\*" if found.corrected[pair] < LEVEL else "")


def _against_zero_shot(found: PairedComparison, name: str) -> tuple[str, ...]:
    """Return by how much a row is ahead of zero-shot, and how sure that is."""
    if name == ZERO_SHOT:
        return "", ""
    difference = found.differences.get((name, ZERO_SHOT))
    if difference is None:
        mean, low, high = found.differences[ZERO_SHOT, name]
        difference = MeanDifference(0 - mean, 0 - high, 0 - low)  # 0 - x: no "-0.0"
    return _interval(difference), f"{found.against_zero_shot[name]:.3f}"


def _interval(difference: MeanDifference) -> str:
    """Return "1.2 [0.4, 2.0]" in points."""
    mean, low, high = (f"{100 * value:.1f}" for value in difference)
    return mean if np.isnan(difference.low) else f"{mean} [{low}, {high}]"


def _least_p(n_blocks: int, n_tests: int) -> float:
    """Return the least p after Holm that the exact test can give: all differences of one sign."""
    return min(2.0 ** (1 - n_blocks) * n_tests, 1.0)


def _notes(found: PairedComparison) -> tuple[str, ...]:
    """Say what the tests are, and what limits them."""
    pairs = (
        f"Over {found.n_blocks} pairs of place and seed. Brackets are Student's interval of the "
        "mean difference; p is that of Wilcoxon's signed-rank test, corrected by Holm over all "
        "pairs of rows (Demsar, JMLR 2006). Seeds of one place share its test images, so the pairs "
        "are not independent and the tests are surer of themselves than they should be."
    )
    if found.against_zero_shot:
        n_tests = len(found.against_zero_shot)
        pairs += (
            f" Against zero-shot Holm's correction is over those {n_tests} tests alone. So few "
            f"pairs give no p below {_least_p(found.n_blocks, n_tests):.2g} there, however clear "
            f"the case, and none below {_least_p(found.n_blocks, len(found.p_values)):.2g} between "
            "all rows."
        )
    if found.friedman is None or found.critical is None:
        few = f"Friedman's test is left out: it asks for {MIN_ROWS} rows and {MIN_BLOCKS} pairs."
        return (pairs, few)
    verdict = (
        f"Friedman's test: p = {found.friedman:.2g}. Nemenyi's critical difference of mean ranks "
        f"at {LEVEL:g}: {found.critical:.2f}."
    )
    return (pairs, verdict)
