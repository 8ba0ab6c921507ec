"""`skycue convert` prints one JSON line, or one line of what is wrong."""

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from skycue.backbones.clip_folder import load_clip_folder
from skycue.backbones.convert.architectures import ARCHITECTURES
from skycue.cli.app import CommandGroup
from skycue.cli.convert import convert
from skycue.files import sha256_of
from tests.backbones.convert.foreign import openai_state, tiny_architecture, tiny_reference


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(cls=CommandGroup)
    app.callback()(lambda: None)
    app.command()(convert)
    return app


def test_the_line_names_architecture_size_source_and_fingerprint(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "tiny", tiny_architecture())
    path, out = tmp_path / "weights.pt", tmp_path / "out"
    reference = tiny_reference()
    torch.save(openai_state(reference), path)
    result = CliRunner().invoke(app, ["convert", str(path), "-o", str(out), "--arch", "tiny"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {
        "source": str(path),
        "backbone": str(out),
        "architecture": "tiny",
        "parameters": sum(parameter.numel() for parameter in reference.parameters()),
        "sha256": {"weights.pt": sha256_of(path)},
        "fingerprint": load_clip_folder(out).fingerprint,
    }


def test_a_missing_file_is_one_line_and_exit_code_1(app: typer.Typer, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    result = CliRunner().invoke(app, ["convert", str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"skycue: no file {path}.")
    assert result.stderr.count("\n") == 1
