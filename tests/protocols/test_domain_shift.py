"""Domain shift: the classes a pair shares, under one set of labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skycue.data.datasets.shared_classes import SharedClass
from skycue.errors import DatasetError
from skycue.protocols.cells import Comparison
from skycue.protocols.domain_shift import plan, scores, tables
from skycue.protocols.results import Results
from skycue.protocols.tables import Measure
from tests.protocols.made_up import N_TEST, made_up_data, result_of, row

UCM = (
    *("agricultural", "beach", "buildings", "denseresidential", "forest", "harbor"),
    *("mediumresidential", "parkinglot", "river", "sparseresidential"),
)
RESISC12 = ("beach", "commercial_area", "farmland", "forest", "lake", "residential", "river")
RSSCN7 = ("field", "forest", "grass", "industry", "parking", "resident", "river_lake")
COMPARISON = Comparison(
    data=(
        made_up_data("ucm", UCM),
        made_up_data("resisc12", RESISC12),
        made_up_data("rsscn7", RSSCN7),
    ),
    rows=(row("zero-shot"), row("linear-probe")),
    shots=(2,),
    seeds=(1,),
)


@pytest.fixture
def complete() -> Comparison:
    """The same with all folders that the mapping names."""
    more = (*RESISC12, "industrial_area")
    return Comparison(
        (COMPARISON.data[0], made_up_data("resisc12", more), COMPARISON.data[2]),
        COMPARISON.rows,
        COMPARISON.shots,
        COMPARISON.seeds,
    )


def test_source_and_target_share_names_and_labels(complete: Comparison) -> None:
    cell = next(c for c in plan(complete) if c.data == "ucm to resisc12")
    assert cell.class_names[:4] == ("forest", "river", "farmland", "residential area")
    target, source = cell.exams
    assert (target.name, source.name) == ("resisc12", "source")
    folders = {(item.path.parent.name, item.label) for item in target.items}
    assert ("farmland", 2) in folders
    assert ("residential", 3) in folders
    folders = {(item.path.parent.name, item.label) for item in source.items}
    assert {("agricultural", 2), ("denseresidential", 3), ("sparseresidential", 3)} <= folders


def test_merged_folders_count_as_one_class_in_the_draw(complete: Comparison) -> None:
    probe = next(
        c for c in plan(complete) if c.data == "ucm to resisc12" and c.row.name == "linear-probe"
    )
    assert len(probe.train) == 2 * len(probe.class_names)


def test_every_ordered_pair_with_enough_classes_is_run(complete: Comparison) -> None:
    pairs = {cell.data for cell in plan(complete) if " to " in cell.data}
    assert pairs == {
        *("ucm to resisc12", "resisc12 to ucm", "ucm to rsscn7", "rsscn7 to ucm"),
        *("resisc12 to rsscn7", "rsscn7 to resisc12"),
    }


def test_common_classes_of_one_source_are_asked_on_all_others(complete: Comparison) -> None:
    cell = next(c for c in plan(complete) if c.data == "rsscn7, common classes")
    assert cell.class_names == ("forest", "river", "farmland", "residential area")
    assert [exam.name for exam in cell.exams] == ["ucm", "resisc12", "source"]
    assert len(cell.exams[0].items) == 6 * N_TEST  # three densities are one class


def test_tables_show_the_target_and_name_doubtful_merges(complete: Comparison) -> None:
    cells = plan(complete)
    results = Results(result_of(cell, [0.5, *[0.9] * (len(cell.exams) - 1)]) for cell in cells)
    pairs, common = tables(complete, results)
    assert pairs.rows[0][0] == "ucm to resisc12 (6 classes)"
    assert pairs.rows[0][1] == Measure((0.5,))
    assert pairs.rows[-1][0] == "mean"
    assert "river in rsscn7: river_lake mixes lakes" in pairs.notes[0]
    assert len(common.rows) == 6 + 1


def test_the_score_of_a_pair_is_the_accuracy_on_its_target(complete: Comparison) -> None:
    cells = plan(complete)
    results = Results(result_of(cell, [0.5, *[0.9] * (len(cell.exams) - 1)]) for cell in cells)
    of_place = scores(complete, results, 2).of_place
    assert set(of_place) == {cell.data for cell in cells if " to " in cell.data}
    assert of_place["ucm to rsscn7"] == dict.fromkeys(
        ("zero-shot", "linear-probe"), Measure((0.5,))
    )


def test_targets_that_the_backbone_has_seen_have_a_mean_of_their_own(complete: Comparison) -> None:
    seen = made_up_data("ucm", UCM, is_seen=True)
    mixed = replace(complete, data=(seen, *complete.data[1:]))
    answers = {"ucm to resisc12": 0.1, "resisc12 to ucm": 0.5, "rsscn7 to ucm": 0.7}
    cells = plan(mixed)
    results = Results(
        result_of(cell, [answers.get(cell.data, 0.3), *[0.9] * (len(cell.exams) - 1)])
        for cell in cells
    )
    pairs, _ = tables(mixed, results)
    means = {line[0]: line[1] for line in pairs.rows[-3:]}
    assert list(means) == [
        "mean, targets not seen in pre-training",
        "mean, targets seen in pre-training",
        "mean",
    ]
    values = [mean.values[0] for mean in means.values() if isinstance(mean, Measure)]
    assert values == pytest.approx([(0.1 + 3 * 0.3) / 4, (0.5 + 0.7) / 2, 2.2 / 6])
    assert set(scores(mixed, results, 2, "seen").of_place) == {"resisc12 to ucm", "rsscn7 to ucm"}


MINE = (
    SharedClass("wood", {"north": ("trees", "grove"), "south": ("forest",), "west": ("wood",)}),
    SharedClass("water", {"north": ("lake",), "south": ("pond",), "west": ("sea",)}),
    SharedClass("road", {"north": ("road",), "south": ("street",)}),
)


@pytest.fixture
def own() -> Comparison:
    """Datasets that no list knows, with classes that a configuration says to be the same."""
    data = (
        made_up_data("north", ("grove", "lake", "road", "trees")),
        made_up_data("south", ("forest", "pond", "street")),
        made_up_data("west", ("sea", "wood")),
    )
    return replace(COMPARISON, data=data, shared_classes=MINE)


def test_classes_may_be_said_to_be_the_same(own: Comparison) -> None:
    cells = {cell.data: cell for cell in plan(own)}
    assert cells["north to south"].class_names == ("wood", "water", "road")
    assert cells["south to west"].class_names == ("wood", "water")
    assert cells["west, common classes"].class_names == ("wood", "water")
    target, _ = cells["west to north"].exams
    folders = {(item.path.parent.name, item.label) for item in target.items}
    assert folders == {("trees", 0), ("grove", 0), ("lake", 1)}


def test_two_datasets_have_no_common_classes_beside_their_pair(own: Comparison) -> None:
    two = replace(own, data=own.data[:2])
    cells = plan(two)
    assert {cell.data for cell in cells} == {"north to south", "south to north"}
    (pairs,) = tables(two, Results(result_of(cell, [0.5, 0.9]) for cell in cells))
    assert len(pairs.rows) == 2 + 1


def test_a_dataset_without_shared_classes_is_named(own: Comparison) -> None:
    with pytest.raises(DatasetError, match="names folders of west: add them"):
        plan(replace(own, shared_classes=MINE[2:]))
    with pytest.raises(DatasetError, match="no two of north, south share 2 classes"):
        plan(replace(own, data=own.data[:2], shared_classes=MINE[2:]))


def test_a_folder_that_a_dataset_lacks_is_named_with_those_it_has(own: Comparison) -> None:
    wrong = SharedClass("wood", {"north": ("woods",), "south": ("forest",), "west": ("wood",)})
    with pytest.raises(DatasetError, match="classes of north: no class woods here"):
        plan(replace(own, shared_classes=(wrong, *MINE[1:])))
