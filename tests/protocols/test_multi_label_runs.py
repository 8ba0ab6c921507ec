"""Protocols on images that show several classes: mAP for accuracy, thresholds, two halves."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from skycue.data.splits import load_split
from skycue.errors import ConfigError, DatasetError
from skycue.evaluation import MultiLabelEvaluation
from skycue.protocols import base_to_new
from skycue.protocols.benchmark import Outcome, Request, run_benchmark
from skycue.protocols.cells import Comparison
from skycue.protocols.results import CellResult
from skycue.protocols.scene_data import SceneData
from skycue.reports import build_card, write_report
from skycue.scene_config import SceneConfig
from tests.conftest import write_multi_label_tiles
from tests.protocols.made_up import row
from tests.protocols.quick import quick_config as config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_multi_label_tiles(tmp_path / "several")


@pytest.fixture
def request_of_several(request_for: Request, folder: Path) -> Request:
    return request_for._replace(data=(f"tiles={folder}",), shots=(2,), seeds=(1, 2))


def report_of(request: Request, outcome: Outcome) -> str:
    card = build_card(request.protocol, outcome, command="", backbone=request.backbone)
    path = write_report(request.folder, card, outcome)
    return path.read_text(encoding="utf-8")


def test_a_few_shot_report_shows_map_and_f1(request_of_several: Request) -> None:
    outcome = run_benchmark(request_of_several, config())
    (table,) = outcome.tables
    assert table.title.startswith("Few-shot on tiles: mAP on ")
    assert [line[0] for line in table.rows] == ["zero-shot", "linear-probe", "coop"]
    report = report_of(request_of_several, outcome)
    assert "F1 of the labels given, 2 shots" in report
    assert "calibration" not in report.lower()
    tables = {path.name for path in (request_of_several.folder / "tables").iterdir()}
    of_two_shots = ("ranks", "differences", "pairs", "costs", "labels", "per-class")
    assert tables == {
        "few-shot_tiles.csv",
        *(f"{name}_2-shots.csv" for name in of_two_shots),
        "times.csv",
    }
    per_class = (request_of_several.folder / "tables" / "per-class_2-shots.csv").read_text()
    assert per_class.splitlines()[0].endswith("average precision seeds")
    assert len(per_class.splitlines()) == 1 + 3 * 3
    assert not list((request_of_several.folder / "pictures").glob("confusion*"))


def test_finished_cells_are_read_as_they_were_written(request_of_several: Request) -> None:
    first = run_benchmark(request_of_several, config())
    again = run_benchmark(request_of_several, config())
    assert [cell.exams for cell in again.results.cells] == [c.exams for c in first.results.cells]
    for cell in again.results.cells:
        (exam,) = cell.exams
        assert isinstance(exam.evaluation, MultiLabelEvaluation)
        path = request_of_several.folder / "cells" / f"tiles_{cell.row}_{cell.shots}-shots"
        text = Path(f"{path}_seed-{cell.seed}.json").read_text()
        assert CellResult.model_validate_json(text) == cell


def test_base_to_new_scores_each_half_among_its_names(request_of_several: Request) -> None:
    request = request_of_several._replace(protocol="base-to-new", seeds=(1,))
    outcome = run_benchmark(request, config())
    (table,) = outcome.tables
    assert table.title.endswith("2 shots: mAP, %")
    assert table.columns[1:3] == ("base (2 classes)", "new (1 classes)")
    probe = next(cell for cell in outcome.results.cells if cell.row == "linear-probe")
    assert [exam.evaluation is None for exam in probe.exams] == [False, True]


def test_an_image_is_of_every_half_whose_classes_it_shows(folder: Path) -> None:
    split = load_split(folder)
    data = SceneData("tiles", split, split.test)
    comparison = Comparison((data,), (row("zero-shot"), row("coop")), (2,), (1,))
    zero_shot, coop = base_to_new.plan(comparison)
    base, new = coop.exams
    assert {item.label for item in base.items} == {(0,), (1,), (0, 1)}
    assert {item.label for item in new.items} == {(0,)}
    both = {item.path for item in base.items} & {item.path for item in new.items}
    assert both == {i.path for i in split.test if 2 in i.labels and len(i.labels) > 1}
    assert {label for item in coop.train for label in item.labels} == {0, 1}
    assert zero_shot.train == ()
    assert zero_shot.validation  # thresholds are chosen on them
    assert all(item.labels for item in zero_shot.validation)


def test_a_dataset_of_other_classes_is_a_target(request_of_several: Request) -> None:
    target = write_multi_label_tiles(request_of_several.folder.parent / "target")
    labels = (target / "labels.json").read_text()
    (target / "labels.json").write_text(labels.replace("soil", "dune"))
    request = request_of_several._replace(
        protocol="cross-dataset", data=(*request_of_several.data, f"other={target}"), seeds=(1,)
    )
    first, _ = run_benchmark(request, config()).tables
    assert first.title == "Cross-dataset from tiles, 2 shots: mAP, %"
    assert first.columns[1:] == ("tiles (source)", "other (3 classes)", "mean of targets")
    coop = next(line for line in first.rows if line[0] == "coop")
    assert None not in coop
    probe = next(line for line in first.rows if line[0] == "linear-probe")
    assert probe[2:] == (None, None)


def test_a_description_of_no_class_is_refused_before_anything_is_trained(
    request_of_several: Request,
) -> None:
    def described(name: str) -> SceneConfig:
        settings = {"name": "regional", "descriptions": {name: ["bare ground."]}}
        return SceneConfig.model_validate({"method": settings, "train": {"epochs": 1}})

    request = request_of_several._replace(protocol="base-to-new", methods=("mine",), seeds=(1,))
    with pytest.raises(ConfigError, match="soils is no class of the data; the classes are read"):
        run_benchmark(request, config(methods={"mine": described("soils")}))
    assert not list(request.folder.glob("cells/*"))
    outcome = run_benchmark(request, config(methods={"mine": described("soil")}))
    assert any(cell.row == "mine" for cell in outcome.results.cells)


def test_one_label_and_several_are_not_compared(
    request_of_several: Request, request_for: Request
) -> None:
    both = (*request_of_several.data, request_for.data[0].replace("tiles=", "one=", 1))
    with pytest.raises(ConfigError, match="images of tiles have several labels, those of the othe"):
        run_benchmark(request_of_several._replace(data=both), config())
    with pytest.raises(DatasetError, match="which classes of tiles mean the same is not written"):
        run_benchmark(request_of_several._replace(protocol="domain-shift"), config())


def test_domain_shift_asks_on_the_target_what_both_label(
    request_of_several: Request, tmp_path: Path
) -> None:
    other = write_multi_label_tiles(tmp_path / "other")
    labels = (other / "labels.json").read_text(encoding="utf-8")
    (other / "labels.json").write_text(labels.replace("forest", "wood"), encoding="utf-8")
    request = request_of_several._replace(
        protocol="domain-shift", data=(*request_of_several.data, f"other={other}"), seeds=(1,)
    )
    shared = [
        {"name": "forest", "folders": {"tiles": ["forest"], "other": ["wood"]}},
        {"name": "lake", "folders": {"tiles": ["lake"], "other": ["lake"]}},
    ]
    outcome = run_benchmark(request, config(shared_classes=shared))
    (table,) = outcome.tables
    assert table.title.endswith("2 shots: mAP on the target, %")
    assert table.rows[0][0] == "tiles to other (2 classes)"
    assert outcome.scores[0].title == "mAP on the target"
    for cell in outcome.results.cells:
        for exam in cell.exams:
            assert isinstance(exam.evaluation, MultiLabelEvaluation)
            assert exam.evaluation.class_names == ("forest", "lake")
    assert "F1 of the labels given, 2 shots" in report_of(request, outcome)
    with pytest.raises(ValidationError, match=r"folder\b"):
        config(shared_classes=[{"name": "forest", "folder": {}, "folders": {}}])
