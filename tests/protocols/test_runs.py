"""A benchmark from folders to a report, with a tiny CLIP; killed and started again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from skycue.config import load_config
from skycue.errors import ConfigError, RunError
from skycue.protocols.benchmark import BenchmarkConfig, Outcome, Request, run_benchmark
from skycue.protocols.cell_work import CellWorker
from skycue.reports import build_card, write_report
from tests.protocols.quick import quick_config as config


def report_of(request: Request, outcome: Outcome) -> str:
    card = build_card(
        request.protocol, outcome, command="skycue benchmark", backbone=request.backbone
    )
    path = write_report(request.folder, card, outcome)
    return path.read_text(encoding="utf-8")


def test_zero_shot_and_probe_stand_in_the_table_unasked(request_for: Request) -> None:
    outcome = run_benchmark(request_for, config())
    (table,) = outcome.tables
    assert [row[0] for row in table.rows] == ["zero-shot", "linear-probe", "coop"]


def test_report_has_tables_pictures_hashes_and_environment(request_for: Request) -> None:
    outcome = run_benchmark(request_for, config())
    report = report_of(request_for, outcome)
    split = outcome.comparison.data[0].split
    for piece in (split.sha256[:16], outcome.fingerprint[:16], "GFLOP/s", "torch 2", "threads"):
        assert piece in report
    names = {path.name for path in (request_for.folder / "pictures").iterdir()}
    assert names == {
        "accuracy-against-cost.png",
        "accuracy-against-shots_tiles.png",
        *(f"confusion_tiles_{row}.png" for row in ("zero-shot", "linear-probe", "coop")),
    }
    tables = {path.name for path in (request_for.folder / "tables").iterdir()}
    per_shots = ("ranks", "differences", "pairs")
    assert tables == {
        *("few-shot_tiles.csv", "per-class_2-shots.csv", "calibration_2-shots.csv"),
        *("costs_2-shots.csv", "times.csv"),
        *(f"{name}_{shots}-shots.csv" for name in per_shots for shots in (1, 2)),
    }
    for link in re.findall(r"\((pictures/[^)]+)\)", report):
        assert (request_for.folder / link).is_file()


def test_datasets_that_the_backbone_has_seen_are_told_apart(
    request_for: Request, scene_folder: Path
) -> None:
    request = request_for._replace(
        data=(f"old={scene_folder}", f"young={scene_folder}"), shots=(1,), seeds=(1, 2)
    )
    outcome = run_benchmark(request, config(seen=["old"]))
    assert [(scores.targets, list(scores.of_place)) for scores in outcome.parts] == [
        ("unseen", ["young"]),
        ("seen", ["old"]),
    ]
    report = report_of(request, outcome)
    assert "few-shot top-1 accuracy, targets not seen in pre-training" in report
    assert "Few-shot on old (classes seen in pre-training)" in report
    tables = {path.name for path in (request.folder / "tables").iterdir()}
    assert {"ranks-unseen_1-shots.csv", "pairs-seen_1-shots.csv"} <= tables


def test_each_seed_is_one_json_file(request_for: Request) -> None:
    run_benchmark(request_for, config())
    cells = sorted(path.name for path in (request_for.folder / "cells").iterdir())
    assert len(cells) == 1 + 4 + 4
    cell = json.loads((request_for.folder / "cells" / "tiles_coop_2-shots_seed-1.json").read_text())
    assert cell["n_train"] == 2 * 3
    assert cell["exams"][0]["evaluation"]["n_images"] == 6
    assert cell["config"]["train"]["lr"] == 0.1


def test_finished_cells_are_not_run_again(
    request_for: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_benchmark(request_for, config())
    monkeypatch.setattr(CellWorker, "do", lambda *given: pytest.fail("ran again"))
    assert run_benchmark(request_for, config()).results.cells == first.results.cells


def test_a_run_that_goes_on_measures_rates_in_no_other_cell(request_for: Request) -> None:
    def measured() -> set[str]:
        cells = run_benchmark(request_for, config()).results.cells
        return {
            f"{cell.row} {cell.shots} {cell.seed}" for cell in cells if cell.cost.images_a_second
        }

    first = measured()
    assert first == {"zero-shot 0 0", "linear-probe 2 1", "coop 2 1"}
    (request_for.folder / "cells" / "tiles_coop_2-shots_seed-2.json").unlink()
    assert measured() == first


def test_results_of_other_settings_are_refused_and_replaced_by_force(request_for: Request) -> None:
    run_benchmark(request_for, config())
    other = load_config(
        BenchmarkConfig,
        None,
        ["methods.coop.method.name=coop", "methods.coop.train.epochs=1"],
    )
    with pytest.raises(RunError, match=r"other settings.*--force"):
        run_benchmark(request_for, other)
    replaced = run_benchmark(request_for._replace(force=True), other)
    assert {c.config.train.epochs for c in replaced.results.cells if c.row == "coop"} == {1}


def test_unknown_method_is_refused_with_those_there_are(request_for: Request) -> None:
    with pytest.raises(ConfigError, match="no method 'cop'; there are zero-shot"):
        run_benchmark(request_for._replace(methods=("cop",)), config())


KILLED = """
import os, signal, sys
from pathlib import Path
import {module} as module

calls = 0
original = module.write_atomically

def write(path, content):
    global calls
    calls += 1
    if calls == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    original(path, content)

module.write_atomically = write
from tests.protocols.quick import quick_config as config
from skycue.protocols.benchmark import Request, run_benchmark
request = Request("few-shot", ({data!r},), ("coop",), (1, 2), (1, 2), {backbone!r},
                  Path({folder!r}), "cpu")
run_benchmark(request, config())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL: Windows has none")
@pytest.mark.parametrize(
    ("module", "number"),
    [("skycue.protocols.cell_work", 3), ("skycue.training_state", 4), ("skycue.training_state", 7)],
    ids=["before a result is written", "amid a training", "amid another training"],
)
def test_killed_run_goes_on_to_the_same_tables(
    request_for: Request, tmp_path: Path, module: str, number: int
) -> None:
    script = KILLED.format(
        module=module,
        number=number,
        data=request_for.data[0],
        backbone=request_for.backbone,
        folder=str(request_for.folder),
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=Path.cwd(), check=False)
    assert killed.returncode == -9
    resumed = run_benchmark(request_for, config())
    whole = run_benchmark(request_for._replace(folder=tmp_path / "whole"), config())
    assert [table.csv() for table in resumed.tables] == [table.csv() for table in whole.tables]
    assert [cell.exams for cell in resumed.results.cells] == [
        cell.exams for cell in whole.results.cells
    ]
    assert not list((request_for.folder / "state").glob("*.safetensors"))
