"""`skycue evaluate regions`: files, the line on standard output, and what is refused."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from skycue.cli.app import app
from skycue.data.regions import write_records
from tests.made_up_regions import KnowingDescriber, records

METRICS = "miou,p_iou,class,shuffle,look_alikes,relations,jitter"


@pytest.fixture
def boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A records file, and a model that knows its images."""

    class RegionDescriber:
        @staticmethod
        def load(name: str, **options: object) -> KnowingDescriber:
            return KnowingDescriber()

    module = ModuleType("skycue.region_describer")
    module.RegionDescriber = RegionDescriber  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    write_records(tmp_path / "boxes.jsonl", records())
    return tmp_path / "boxes.jsonl"


def evaluate(boxes: Path, *more: str) -> Result:
    arguments = ["evaluate", "regions", "mini", str(boxes), "-o", str(boxes.parent / "run")]
    return CliRunner().invoke(app, [*arguments, "--device", "cpu", *more])


def test_scores_are_printed_and_kept_with_report_and_answers(boxes: Path) -> None:
    result = evaluate(boxes, "--metrics", METRICS)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed["columns"]["p_iou"] == 1.0
    assert printed["n_records"] == 7
    folder = boxes.parent / "run"
    assert json.loads((folder / "scores.json").read_text(encoding="utf-8")) == printed
    assert "| p_iou | 100.0 |" in (folder / "report.md").read_text(encoding="utf-8")
    assert len((folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()) == 1 + 3


def test_a_finished_run_is_not_replaced_without_force(boxes: Path) -> None:
    evaluate(boxes, "--metrics", "p_iou")
    again = evaluate(boxes, "--metrics", "miou")
    assert again.exit_code == 1
    assert f"{boxes.parent / 'run' / 'scores.json'} exists" in again.stderr
    forced = evaluate(boxes, "--metrics", "miou", "--force")
    assert json.loads(forced.stdout)["columns"].keys() == {"glamm_miou", "miou"}


def test_an_unknown_metric_is_named_with_those_that_there_are(boxes: Path) -> None:
    result = evaluate(boxes, "--metrics", "bleu")
    assert result.exit_code == 1
    assert result.stderr == (
        "skycue: no metric 'bleu'; there are meteor, cider, ap50, miou, recall, p_iou, class, "
        "shuffle, look_alikes, relations, jitter, and all.\n"
    )
    assert not (boxes.parent / "run").exists()
