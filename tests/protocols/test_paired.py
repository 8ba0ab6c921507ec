"""Scores of a protocol become ranks, differences and costs that can be worked out by hand."""

from __future__ import annotations

import csv
import io
import math

import pytest

from skycue.protocols import base_to_new, cross_dataset, few_shot
from skycue.protocols.cells import Comparison
from skycue.protocols.costs import ANSWER_AXIS, FIT_AXIS, cost_points, cost_table
from skycue.protocols.paired import (
    PairedComparison,
    Scores,
    compare,
    differences_table,
    pairs_table,
    ranks_table,
)
from skycue.protocols.results import Results
from skycue.protocols.tables import Measure
from tests.protocols.made_up import made_up_data, result_of, row

FOUR = ("forest", "river", "beach", "harbor")
ONE, TWO = made_up_data("one", FOUR), made_up_data("two", FOUR)
SEEDS = (1, 2)


def scores_of(n_places: int = 5) -> Scores:
    """Three rows in places of two seeds: `good` wins by 0.1, `flat` has no seeds."""
    return Scores(
        title="accuracy",
        shots=4,
        of_place={
            f"place {n}": {
                "bad": Measure((0.5 + n / 100, 0.5)),
                "good": Measure((0.6 + n / 100, 0.6)),
                "flat": Measure((0.4,)),
                "absent": None if n else Measure((1.0, 1.0)),
            }
            for n in range(n_places)
        },
    )


def compared(scores: Scores) -> PairedComparison:
    found = compare(scores)
    assert found is not None
    return found


def test_rows_without_a_score_somewhere_are_left_out_and_single_ones_spread() -> None:
    scores = scores_of(2)
    assert scores.rows == ["bad", "good", "flat"]
    expected = [[0.5, 0.6, 0.4], [0.5, 0.6, 0.4], [0.51, 0.61, 0.4], [0.5, 0.6, 0.4]]
    assert scores.matrix().tolist() == expected
    assert scores.mean("bad") == Measure((0.505, 0.5))
    assert scores.mean("absent") is None


def test_ranks_and_differences_by_hand() -> None:
    found = compared(scores_of())
    assert found.n_blocks == 10
    assert dict(found.ranks) == {"good": 1, "bad": 2, "flat": 3}
    assert list(found.ranks) == ["good", "bad", "flat"]
    assert found.differences["good", "bad"].mean == pytest.approx(0.1)
    assert found.p_values["good", "bad"] < 0.01
    assert found.friedman == pytest.approx(math.exp(-10))  # chi-square 20, two degrees of freedom
    assert found.critical == pytest.approx(3.314 / math.sqrt(2) * math.sqrt(12 / 60), abs=1e-3)


def test_tables_say_who_is_ahead_by_how_much() -> None:
    found = compared(scores_of())
    ranks = ranks_table(found)
    assert ranks.columns[3] == "good minus it, points [95 %]"
    assert [line[0] for line in ranks.rows] == ["good", "bad", "flat"]
    assert ranks.rows[0][2:] == ("1.00", "", "")
    assert ranks.rows[1][3] == "10.0 [10.0, 10.0]"
    assert "critical difference of mean ranks at 0.05: 1.05" in ranks.notes[1]
    square = differences_table(found)
    assert square.columns == ("method", "good", "bad", "flat")
    assert square.rows[0][:3] == ("good", "", r"+10.0\*")
    assert square.rows[1][:3] == ("bad", r"-10.0\*", "")
    lines = list(csv.DictReader(io.StringIO(pairs_table(found).csv())))
    assert [(line["first"], line["second"]) for line in lines] == list(found.differences)
    assert float(lines[0]["mean"]) == found.differences["good", "bad"].mean


def test_too_few_pairs_get_no_test_over_all_rows() -> None:
    found = compared(scores_of(4))
    assert (found.friedman, found.critical) == (None, None)
    assert "Friedman's test is left out" in ranks_table(found).notes[1]


def test_one_row_is_compared_with_nothing() -> None:
    assert compare(Scores("accuracy", 4, {"place": {"one": Measure((0.5,)), "two": None}})) is None


ROWS = (row("zero-shot"), row("linear-probe"), row("coop"))
COMPARISON = Comparison((ONE, TWO), ROWS, (2,), SEEDS)


def test_the_score_of_base_to_new_is_h() -> None:
    cells = base_to_new.plan(COMPARISON)
    results = Results(
        result_of(cell, (0.9, 0.45 if cell.row.scores_new_classes else None)) for cell in cells
    )
    scores = base_to_new.scores(COMPARISON, results, 2)
    assert scores.of_place["one"]["coop"] == Measure((0.6, 0.6))  # 2 x 0.9 x 0.45 / 1.35
    assert scores.of_place["two"]["zero-shot"] == Measure((0.6,))
    assert scores.rows == ["zero-shot", "coop"]  # a probe has no H


def test_the_score_across_datasets_is_the_mean_of_targets() -> None:
    three = Comparison((ONE, TWO, made_up_data("three", FOUR)), ROWS, (2,), SEEDS)
    results = Results(result_of(cell, (0.9, 0.6, 0.4)) for cell in cross_dataset.plan(three))
    scores = cross_dataset.scores(three, results, 2)
    assert list(scores.of_place) == ["one", "two", "three"]
    assert scores.of_place["two"]["coop"] == Measure((0.5, 0.5))


def test_the_score_of_few_shots_is_the_accuracy() -> None:
    results = Results(result_of(cell, (0.1 * cell.seed,)) for cell in few_shot.plan(COMPARISON))
    assert few_shot.scores(COMPARISON, results, 2).of_place["one"]["coop"] == Measure((0.1, 0.2))


def test_costs_stand_beside_the_score() -> None:
    cells = few_shot.plan(COMPARISON)
    results = Results(result_of(cell, (0.1 * cell.seed,)) for cell in cells)
    scores = few_shot.scores(COMPARISON, results, 2)
    lines = {line[0]: line[1:] for line in cost_table(results, scores).rows}
    # 8 images, batches of 32, 200 epochs
    effort = ("1,600", "200")
    assert lines["coop"] == (Measure((0.1, 0.2)), "7", *effort, "1.00", "10", "1")
    assert lines["linear-probe"][1:4] == ("7", "", "")
    points = cost_points(results, scores)
    assert {point.name for point in points[FIT_AXIS]} == {"zero-shot", "linear-probe", "coop"}
    coop = points[ANSWER_AXIS][2]
    assert (coop.name, coop.cost, round(coop.score, 6)) == ("coop", 100, 15)


def test_a_training_that_was_killed_has_no_time() -> None:
    cells = [result_of(cell, (0.5,)) for cell in few_shot.plan(COMPARISON)]
    resumed = [
        cell.model_copy(update={"cost": cell.cost.model_copy(update={"fit": None})})
        for cell in cells
    ]
    scores = few_shot.scores(COMPARISON, Results(cells), 2)
    assert {line[5] for line in cost_table(Results(resumed), scores).rows} == {"not measured"}
    assert FIT_AXIS not in cost_points(Results(resumed), scores)
