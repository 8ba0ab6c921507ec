"""`skycue export`, as a user runs it, with the backbone that is inside the package."""

import json
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession
from typer.testing import CliRunner, Result

from skycue.cli.app import app


def skycue(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def model(scene_folder: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    options: list[str | Path] = [
        "--method",
        "linear-probe",
        "--shots",
        "2",
        "--cache",
        tmp_path / "cache",
    ]
    assert skycue("fit", scene_folder, "-o", folder, *options).exit_code == 0
    return folder


def test_a_model_on_mini_becomes_one_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "scenes.onnx"
    result = skycue("export", model, "-o", path, "--classes", "lake, forest")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said.pop("largest_difference") < 1e-4
    assert said == {
        "model": str(model),
        "onnx": str(path),
        "method": "linear-probe",
        "classes": 2,
        "image_size": 192,
        "megabytes": round(path.stat().st_size / 1e6, 1),
    }
    session = InferenceSession(path)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == ["lake", "forest"]
    assert "research and evaluation only" in about["licence"]
    (probabilities,) = session.run(["probabilities"], {"images": np.zeros((1, 3, 192, 192), "f4")})
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)
    again = skycue("export", model, "-o", path)
    assert again.exit_code == 1
    assert "exists: choose another name, or replace it with --force" in again.stderr


def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    result = skycue("export", tmp_path, "-o", tmp_path / "scenes.onnx")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "a model is a folder made by `skycue fit`" in result.stderr
    assert len(result.stderr.splitlines()) == 1
