"""Scores of a protocol become ranks, differences and costs that can be worked out by hand."""

from __future__ import annotations

import csv
import io
import math

import pytest

from skycue.protocols import base_to_new, cross_dataset, few_shot
from skycue.protocols.cells import Comparison
from skycue.protocols.costs import FIT_AXIS, SCORING_AXIS, cost_points, cost_table
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


def test_one_row_or_one_pair_is_compared_with_nothing() -> None:
    assert compare(Scores("accuracy", 4, {"place": {"one": Measure((0.5,)), "two": None}})) is None
    single = {"one": Measure((0.5,)), "two": Measure((0.6,))}
    assert compare(Scores("accuracy", 4, {"place": single})) is None
    assert compare(Scores("accuracy", 4, {"place": single, "other": single})) is not None


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


SEEN, NEW = made_up_data("seen", FOUR, is_seen=True), made_up_data("new", FOUR)
MIXED = Comparison((SEEN, NEW, TWO), ROWS, (2,), SEEDS)


def test_targets_that_the_backbone_has_seen_are_scored_apart() -> None:
    assert MIXED.parts == ("unseen", "seen")
    assert COMPARISON.parts == ()
    results = Results(result_of(cell, (0.1 * cell.seed,)) for cell in few_shot.plan(MIXED))
    names = {part: few_shot.scores(MIXED, results, 2, part).of_place for part in MIXED.parts}
    assert {part: list(places) for part, places in names.items()} == {
        "unseen": ["new", "two"],
        "seen": ["seen"],
    }


def test_across_datasets_the_target_decides_and_not_the_source() -> None:
    answers = {"seen": (0.9, 0.6, 0.4), "new": (0.9, 0.2, 0.8), "two": (0.9, 0.3, 0.7)}
    results = Results(result_of(cell, answers[cell.data]) for cell in cross_dataset.plan(MIXED))
    unseen = cross_dataset.scores(MIXED, results, 2, "unseen").of_place
    assert {name: rows["coop"] for name, rows in unseen.items()} == {
        "seen": Measure((0.5, 0.5)),
        "new": Measure((0.8, 0.8)),  # asked second, behind "seen"
        "two": Measure((0.7, 0.7)),
    }
    seen = cross_dataset.scores(MIXED, results, 2, "seen").of_place
    assert {name: rows["coop"] for name, rows in seen.items()} == {
        "new": Measure((0.2, 0.2)),
        "two": Measure((0.3, 0.3)),
    }
    heads = cross_dataset.tables(MIXED, results)[1].columns
    assert heads[2:4] == ("seen (4 classes, seen in pre-training)", "two (4 classes)")


def test_base_to_new_has_a_mean_of_the_unseen_datasets() -> None:
    of_data = {"seen": 0.9, "new": 0.5, "two": 0.7}
    results = Results(
        result_of(cell, (of_data[cell.data], 0.5 if cell.row.scores_new_classes else None))
        for cell in base_to_new.plan(MIXED)
    )
    means = [table for table in base_to_new.tables(MIXED, results) if "mean" in table.name]
    assert [table.name for table in means] == [
        "base-to-new_mean-unseen_2-shots",
        "base-to-new_mean_2-shots",
    ]
    assert means[0].title.startswith("Base to new, mean over new, two, targets not seen")
    coop = next(line for line in means[0].rows if line[0] == "coop")
    assert isinstance(coop[1], Measure)
    assert coop[1].values == pytest.approx((0.6, 0.6))
    unseen = base_to_new.scores(MIXED, results, 2, "unseen")
    assert list(unseen.of_place) == ["new", "two"]
    assert ranks_table(compared(unseen)).name == "ranks-unseen_2-shots"


def test_rows_stand_against_zero_shot_with_a_correction_of_their_own() -> None:
    ahead = {
        f"place {n}": {
            "zero-shot": Measure((0.5,)),
            "coop": Measure((0.5 + (n + 1) / 100,)),
            "maple": Measure((0.5 - (n + 1) / 200,)),
        }
        for n in range(6)
    }
    found = compared(Scores("accuracy", 4, ahead))
    # All six differences of one sign: p = 2 / 2^6, times two tests against zero-shot, three in all.
    assert found.against_zero_shot == pytest.approx({"coop": 0.0625, "maple": 0.0625})
    assert found.corrected["coop", "zero-shot"] == pytest.approx(0.09375)
    table = ranks_table(found)
    assert table.columns[5:] == ("minus zero-shot, points [95 %]", "p against it (Holm)")
    lines = {line[0]: line[5:] for line in table.rows}
    assert lines["zero-shot"] == ("", "")
    assert lines["coop"] == ("3.5 [1.5, 5.5]", "0.062")
    assert lines["maple"] == ("-1.8 [-2.7, -0.8]", "0.062")
    assert "no p below 0.062 there" in table.notes[0]


def test_costs_stand_beside_the_score() -> None:
    cells = few_shot.plan(COMPARISON)
    results = Results(result_of(cell, (0.1 * cell.seed,)) for cell in cells)
    scores = few_shot.scores(COMPARISON, results, 2)
    lines = {line[0]: line[1:] for line in cost_table(results, scores).rows}
    # 8 images, batches of 32, 200 epochs
    effort = ("1,600", "200")
    assert lines["coop"] == (Measure((0.1, 0.2)), "7", *effort, "1.00", "10", "0.250", "1")
    assert lines["linear-probe"][1:4] == ("7", "", "")
    points = cost_points(results, scores)
    assert {point.name for point in points[FIT_AXIS]} == {"zero-shot", "linear-probe", "coop"}
    coop = points[SCORING_AXIS][2]
    assert (coop.name, coop.cost, round(coop.score, 6)) == ("coop", 0.25, 15)


def test_rates_are_those_of_the_cell_with_the_most_classes() -> None:
    few, many = made_up_data("few", ("forest", "river")), made_up_data("many", tuple("abcd"))
    comparison = Comparison((few, many), ROWS, (2,), SEEDS)
    cells = [result_of(cell, (0.5,)) for cell in few_shot.plan(comparison)]
    rates = {"few": {"images_a_second": 9.0, "scoring_ms": 0.5}, "many": {}}
    results = Results(
        cell.model_copy(update={"cost": cell.cost.model_copy(update=rates[cell.data])})
        for cell in cells
    )
    scores = few_shot.scores(comparison, results, 2)
    assert {line[6:8] for line in cost_table(results, scores).rows} == {("10", "0.250")}
    points = cost_points(results, scores)[SCORING_AXIS]
    assert {point.cost for point in points} == {0.25}


def test_a_training_that_was_killed_has_no_time() -> None:
    cells = [result_of(cell, (0.5,)) for cell in few_shot.plan(COMPARISON)]
    resumed = [
        cell.model_copy(update={"cost": cell.cost.model_copy(update={"fit": None})})
        for cell in cells
    ]
    scores = few_shot.scores(COMPARISON, Results(cells), 2)
    assert {line[5] for line in cost_table(Results(resumed), scores).rows} == {"not measured"}
    assert FIT_AXIS not in cost_points(Results(resumed), scores)
