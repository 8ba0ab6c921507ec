"""Cross-dataset: every dataset is the source once, and targets keep their own names."""

from __future__ import annotations

import pytest

from skycue.protocols.cells import Comparison
from skycue.protocols.cross_dataset import plan, tables
from skycue.protocols.results import Results
from skycue.protocols.tables import Measure
from tests.protocols.made_up import N_TEST, made_up_data, result_of, row

COMPARISON = Comparison(
    data=(
        made_up_data("aid", ("airport", "beach")),
        made_up_data("ucm", ("forest", "harbor", "river")),
        made_up_data("whu", ("desert", "park")),
    ),
    rows=(row("zero-shot"), row("linear-probe"), row("coop")),
    shots=(2,),
    seeds=(1, 2),
)


def test_each_dataset_is_the_source_once_and_asked_first() -> None:
    coop = [cell for cell in plan(COMPARISON) if cell.row.name == "coop" and cell.seed == 1]
    assert [[exam.name for exam in cell.exams] for cell in coop] == [
        ["aid", "ucm", "whu"],
        ["ucm", "aid", "whu"],
        ["whu", "aid", "ucm"],
    ]


def test_target_is_asked_on_its_whole_test_part_with_its_own_names() -> None:
    cell = plan(COMPARISON)[0]
    ucm = cell.exams[1]
    assert ucm.class_names == ("forest", "harbor", "river")
    assert len(ucm.items) == 3 * N_TEST


def test_mean_of_targets_leaves_the_source_out() -> None:
    answers = {
        "zero-shot": (0.9, 0.3, 0.5),
        "linear-probe": (1.0, None, None),
        "coop": (0.9, 0.2, 0.6),
    }
    results = Results(result_of(cell, answers[cell.row.name]) for cell in plan(COMPARISON))
    table = tables(COMPARISON, results)[0]
    assert table.columns[1:] == (
        "aid (source)",
        "ucm (3 classes)",
        "whu (2 classes)",
        "mean of targets",
    )
    zero_shot, probe, coop = (
        dict(zip(table.columns, fields, strict=True)) for fields in table.rows
    )
    mean = coop["mean of targets"]
    assert isinstance(mean, Measure)
    assert mean.values == pytest.approx((0.4, 0.4))
    assert probe["ucm (3 classes)"] is None
    assert probe["mean of targets"] is None
    assert isinstance(zero_shot["mean of targets"], Measure)
