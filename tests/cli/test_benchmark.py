"""`skycue benchmark`: from its arguments to the path of a report, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.cli.app import app

runner = CliRunner()


def test_report_is_named_on_standard_output(
    tiny_clip: Clip, scene_folder: Path, tmp_path: Path
) -> None:
    save_clip(tiny_clip, tmp_path / "tiny")
    arguments = [
        *("benchmark", "base-to-new", "--data", f"tiles={scene_folder}", "--methods", "coop"),
        *("--shots", "1", "--seeds", "1", "--backbone", str(tmp_path / "tiny"), "--device", "cpu"),
        *("--set", "methods.coop.train.epochs=1", "-o", str(tmp_path / "run")),
    ]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = tmp_path / "run" / "report.md"
    assert result.stdout.splitlines()[-1] == str(report)
    lines = report.read_text(encoding="utf-8").splitlines()
    assert "| method | base (2 classes) | new (1 classes) | H |" in lines
    probe = next(line for line in lines if line.startswith("| linear-probe |"))
    assert probe.endswith("| not applicable | not applicable |")


@pytest.mark.parametrize("shots", ["0", "4,many", ""])
def test_shots_that_are_no_numbers_are_wrong_usage(shots: str) -> None:
    arguments = ["benchmark", "few-shot", "--data", "x", "-o", "run", "--shots", shots]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert "no list of whole numbers of at least 1" in result.stderr


def test_unknown_protocol_is_wrong_usage() -> None:
    result = runner.invoke(app, ["benchmark", "base-to-old", "--data", "x", "-o", "run"])
    assert result.exit_code == 2
    assert "base-to-new" in result.stderr
