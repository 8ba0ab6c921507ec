"""Base to new: which classes are which, who is asked what, and what H is."""

from __future__ import annotations

import pytest

from skycue.protocols.base_to_new import ALL_CLASSES, base_new_measures, plan, tables
from skycue.protocols.cells import Cell, Comparison
from skycue.protocols.results import Results
from skycue.protocols.scene_data import SEEN
from skycue.protocols.tables import Measure
from tests.protocols.made_up import N_TEST, made_up_data, result_of, row

FIVE = ("airport", "beach", "church", "desert", "forest")
COMPARISON = Comparison(
    data=(made_up_data("aid", FIVE),),
    rows=(row("zero-shot"), row("linear-probe"), row("coop")),
    shots=(2,),
    seeds=(1, 2),
)


def cells_of(name: str) -> list[Cell]:
    return [cell for cell in plan(COMPARISON) if cell.row.name == name]


def test_base_gets_the_extra_class() -> None:
    base, new = cells_of("coop")[0].exams
    assert base.class_names == ("airport", "beach", "church")
    assert new.class_names == ("desert", "forest")


def test_only_images_of_base_classes_train() -> None:
    cell = cells_of("coop")[0]
    assert {item.path.parent.name for item in cell.train} == {"airport", "beach", "church"}
    assert len(cell.train) == 2 * 3


def test_new_images_are_labelled_among_new_names_only() -> None:
    _, new = cells_of("coop")[0].exams
    assert len(new.items) == 2 * N_TEST
    assert all(item.path.parent.name == new.class_names[item.only_label] for item in new.items)


def test_zero_shot_is_run_once_for_all_seeds() -> None:
    assert [(cell.shots, cell.seed) for cell in cells_of("zero-shot")] == [(0, 0)]


def test_reference_probe_is_trained_on_all_classes() -> None:
    reference = cells_of(ALL_CLASSES)[0]
    assert reference.class_names == FIVE
    assert len(reference.train) == 2 * 5
    assert [exam.class_names for exam in reference.exams] == [FIVE[:3], FIVE[3:]]


def test_all_rows_of_a_seed_see_the_same_images() -> None:
    draws = {
        cell.row.name: {item.path for item in cell.train}
        for cell in plan(COMPARISON)
        if cell.seed == 2
    }
    assert draws["coop"] == draws["linear-probe"]


ANSWERS = {
    ("zero-shot", 0): (0.5, 0.6),
    ("linear-probe", 1): (0.9, None),
    ("linear-probe", 2): (0.8, None),
    (ALL_CLASSES, 1): (0.85, 0.9),
    (ALL_CLASSES, 2): (0.85, 0.9),
    ("coop", 1): (0.8, 0.4),
    ("coop", 2): (0.6, 0.6),
}
RESULTS = Results(result_of(cell, ANSWERS[cell.row.name, cell.seed]) for cell in plan(COMPARISON))


def test_harmonic_mean_is_taken_per_seed_and_then_averaged() -> None:
    base, new, mean = base_new_measures(RESULTS, "coop", "aid", 2)
    assert base == Measure((0.8, 0.6))
    assert new == Measure((0.4, 0.6))
    assert mean is not None
    # 2 * 0.8 * 0.4 / 1.2 = 0.5333 and 0.6; not the H of the means, 0.5833.
    assert mean.mean == pytest.approx((0.64 / 1.2 + 0.6) / 2)


def test_probe_is_not_applicable_to_new_classes_and_has_no_harmonic_mean() -> None:
    assert base_new_measures(RESULTS, "linear-probe", "aid", 2)[1:] == (None, None)
    assert base_new_measures(RESULTS, ALL_CLASSES, "aid", 2)[2] is None
    (table,) = tables(COMPARISON, RESULTS)
    line = next(line for line in table.markdown().splitlines() if "linear-probe |" in line)
    assert line == "| linear-probe | 85.0 ± 7.1 | not applicable | not applicable |"


def test_classes_that_the_backbone_has_seen_are_marked() -> None:
    seen = Comparison((made_up_data("rsicd", FIVE, is_seen=True),), COMPARISON.rows, (2,), (1, 2))
    results = Results(result_of(c, ANSWERS[c.row.name, c.seed]) for c in plan(seen))
    assert "classes seen in pre-training" in tables(seen, results)[0].title
    assert SEEN not in tables(COMPARISON, RESULTS)[0].title
