"""`skycue fit`, `classify` and `evaluate`, as a user runs them."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.cli.app import app
from skycue.data.splits import load_split

PNG = b"\x89PNG"
COOP = ["--method", "coop", "--shots", "2", "--set", "train.epochs=3"]


@pytest.fixture
def backbone(tmp_path: Path, tiny_clip: Clip) -> str:
    save_clip(tiny_clip, tmp_path / "clip")
    return str(tmp_path / "clip")


def skycue(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fit(data: Path, model: Path, backbone: str, *more: str) -> Result:
    cache = model.parent / "cache"
    return skycue("fit", data, "-o", model, "-b", backbone, "--cache", cache, *more)


def one_line(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    *logged, line = result.stderr.splitlines()
    assert not any(line.startswith("skycue:") for line in logged)
    return line


def test_fit_says_what_it_did_in_one_line(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    result = fit(scene_folder, tmp_path / "model", backbone, *COOP, "--seed", "3")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["method"] == "coop"
    assert summary["class_names"] == "clean"
    assert summary["captions"] is None
    assert summary["images"] == 6
    assert summary["split_sha256"] == load_split(scene_folder).sha256
    assert summary["validation_images"] == 6
    assert 0 <= summary["validation_accuracy"] <= 1
    assert summary["encodings"] == {"reused": 0, "computed": 12}
    assert not (tmp_path / "model" / ".state").exists()
    again = fit(scene_folder, tmp_path / "again", backbone, *COOP, "--seed", "3")
    assert json.loads(again.stdout)["encodings"] == {"reused": 12, "computed": 0}
    for name in ("learned.safetensors", "config.json"):
        first, second = (tmp_path / model / name for model in ("model", "again"))
        assert first.read_bytes() == second.read_bytes()


def test_a_finished_model_is_replaced_with_force_only(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    model = tmp_path / "model"
    fit(scene_folder, model, backbone, *COOP)
    before = (model / "learned.safetensors").read_bytes()
    refused = fit(scene_folder, model, backbone, *COOP, "--seed", "2")
    assert "exists: choose another name, or replace it with --force" in one_line(refused)
    assert (model / "learned.safetensors").read_bytes() == before
    assert fit(scene_folder, model, backbone, *COOP, "--seed", "2", "--force").exit_code == 0
    assert (model / "learned.safetensors").read_bytes() != before


def test_all_that_is_wrong_with_the_images_is_told_before_training(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    (scene_folder / "lake" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    (scene_folder / "empty").mkdir()
    Image.new("I;16", (40, 40)).save(scene_folder / "forest" / "deep.png")
    message = one_line(fit(scene_folder, tmp_path / "model", backbone, *COOP))
    for name in ("lake/torn.jpg", "empty", "forest/deep.png"):
        assert name in message
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "train.epoch=3"], "unknown key 'train.epoch'; did you mean 'epochs'?"),
        (["--method", "cocop"], "'cocop' found using 'name' does not match"),
        (["--method", "zero-shot", "--set", "train.lr=1"], "does not train step by step"),
        (["--method", "coop", "--shots", "99"], "99 shots asked for"),
        (["--device", "tpu"], "'tpu' is no device"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: list[str], message: str, scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    assert message in one_line(fit(scene_folder, tmp_path / "model", backbone, *options))


def test_a_configuration_file_is_read_and_overridden(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    config = tmp_path / "coop.yaml"
    config.write_text("method: {name: coop, n_ctx: 6}\ntrain: {epochs: 2, lr: 0.1}\n")
    options = ["--config", str(config), "--set", "train.lr=0.2", "--shots", "2", "--raw-names"]
    result = fit(scene_folder, tmp_path / "model", backbone, *options)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "model" / "config.json").read_text())
    assert record["config"]["method"]["n_ctx"] == 6
    assert record["config"]["train"]["epochs"] == 2
    assert record["config"]["train"]["lr"] == 0.2
    assert record["config"]["train"]["batch_size"] == 32  # CoOp's own
    assert record["prompt_names"] == record["class_names"]


def test_a_fit_killed_while_it_trains_goes_on_to_the_same_result(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    options = ["--method", "coop", "--shots", "2", "--set", "train.epochs=40"]
    options += ["--set", "train.save_every_s=0", "--set", "train.lr=0.05"]
    whole = fit(scene_folder, tmp_path / "whole", backbone, *options)
    assert whole.exit_code == 0, whole.output
    model = tmp_path / "killed"
    command = [sys.executable, "-m", "skycue", "fit", str(scene_folder), "-o", str(model)]
    command += ["-b", backbone, "--cache", str(tmp_path / "cache"), *options]
    state = model / ".state" / "training.safetensors"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not state.exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert state.exists()
    assert not (model / "config.json").exists()
    other = fit(scene_folder, model, backbone, *options, "--seed", "9")
    assert "left by an unfinished run with images" in one_line(other)
    resumed = fit(scene_folder, model, backbone, *options)
    assert resumed.exit_code == 0, resumed.output
    for name in ("learned.safetensors", "config.json"):
        assert (model / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_classify_prints_probabilities_for_files_and_folders(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    model = tmp_path / "model"
    fit(scene_folder, model, backbone, "--method", "linear-probe", "--shots", "4")
    lake = scene_folder / "lake"
    result = skycue("classify", model, lake, scene_folder / "forest" / "forest_1.png")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(answer["image"]).parent.name for answer in answers] == ["lake"] * 8 + ["forest"]
    for answer in answers:
        values = list(answer["probabilities"].values())
        assert sum(values) == pytest.approx(1)
        assert values == sorted(values, reverse=True)
        assert next(iter(answer["probabilities"])) == Path(answer["image"]).parent.name
    written, picture = tmp_path / "answers.jsonl", tmp_path / "sheet.png"
    quiet = skycue(
        "classify", model, lake, "-o", written, "--picture", picture, "--batch-size", "3"
    )
    assert quiet.exit_code == 0, quiet.output
    assert quiet.stdout == ""
    kept = [json.loads(line) for line in written.read_text().splitlines()]
    for one, other in zip(kept, answers, strict=False):
        assert one["image"] == other["image"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    assert picture.read_bytes().startswith(PNG)
    assert "exists" in one_line(skycue("classify", model, lake, "-o", written))


def test_classify_takes_other_classes_where_the_method_can_score_them(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    image = scene_folder / "lake" / "lake_0.png"
    fit(scene_folder, tmp_path / "zero", backbone, "--method", "zero-shot")
    result = skycue("classify", tmp_path / "zero", image, "--classes", "river,dense residential")
    assert set(json.loads(result.stdout)["probabilities"]) == {"river", "dense residential"}
    fit(scene_folder, tmp_path / "probe", backbone, "--method", "linear-probe", "--shots", "2")
    refused = skycue("classify", tmp_path / "probe", image, "--classes", "river,lake")
    assert "scores only the 3 classes" in one_line(refused)


def test_evaluate_counts_right_and_wrong_on_the_part_asked_for(
    scene_folder: Path, tmp_path: Path, backbone: str
) -> None:
    model, picture = tmp_path / "model", tmp_path / "confusion.png"
    fit(scene_folder, model, backbone, "--method", "linear-probe", "--shots", "4")
    cache = tmp_path / "cache"
    result = skycue(
        "evaluate", model, scene_folder, "--split", "val", "--picture", picture, "--cache", cache
    )
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert measured["images"] == len(load_split(scene_folder).val) == 6
    assert measured["top1"] == 1.0
    assert measured["per_class"] == {"bare_soil": 1.0, "forest": 1.0, "lake": 1.0}
    assert measured["confusion"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    assert measured["split_sha256"] == measured["fitted_on_split_sha256"]
    assert picture.read_bytes().startswith(PNG)


def test_a_folder_that_is_no_model_is_named(scene_folder: Path, tmp_path: Path) -> None:
    result = skycue("classify", tmp_path, scene_folder)
    assert f"no config.json in {tmp_path}" in one_line(result)
