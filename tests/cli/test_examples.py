"""`skycue data examples` writes tiles to try things with."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skycue.cli.app import app
from skycue.data import examples
from skycue.data.renderer import SCENES


@pytest.fixture(autouse=True)
def only_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "SCENES", {"forest": SCENES["forest"]})


def test_the_examples_are_written_and_counted(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "examples", str(tmp_path / "tiles")])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["images"] == examples.PER_CLASS + 8
    assert len(list((tmp_path / "tiles" / "drawn" / "forest").iterdir())) == examples.PER_CLASS


def test_a_folder_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    result = CliRunner().invoke(app, ["data", "examples", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == (
        f"skycue: {tmp_path} is not empty; choose another folder or give --force\n"
    )
