"""`skycue data` says what is wrong with a dataset, and what is known of public ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.cli.app import app
from skycue.data.datasets import FACTS


def run(*arguments: object) -> Result:
    """Run `skycue data`."""
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_a_sound_folder_is_counted(scene_folder: Path) -> None:
    result = run("check", scene_folder)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"classes": 3, "images": 24}


def test_all_problems_are_listed_a_line_each_and_the_exit_is_1(scene_folder: Path) -> None:
    for number in range(30):
        (scene_folder / "lake" / f"empty_{number:02}.png").touch()
    (scene_folder / "city").mkdir()
    (scene_folder / "notes.txt").write_text("tiles")
    result = run("check", scene_folder)
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[0] == {
        "kind": "problem",
        "what": "class folder without an image",
        "count": 1,
        "names": ["city"],
    }
    assert (lines[1]["count"], len(lines[1]["names"])) == (30, 30)
    assert (lines[2]["kind"], lines[2]["names"]) == ("remark", ["notes.txt"])
    assert "2 problems, listed above" in result.stderr


def test_a_folder_that_should_be_a_known_dataset_is_compared_with_it(scene_folder: Path) -> None:
    result = run("check", scene_folder, "--set", "rsscn7")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert "resident" in lines[0]["names"]
    assert lines[1]["names"] == ["bare_soil", "lake"]
    assert result.exit_code == 1


def test_facts_of_one_and_of_all_datasets_are_printed() -> None:
    (line,) = run("facts", "eurosat").stdout.splitlines()
    assert json.loads(line)["class_names"]["AnnualCrop"] == "annual crop land"
    assert len(run("facts").stdout.splitlines()) == len(FACTS)
    unknown = run("facts", "imagenet")
    assert unknown.exit_code == 1
    assert "no facts of 'imagenet'" in unknown.stderr


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """Two datasets of made-up places; b holds one of a's images turned, and a crop of another."""
    rng = np.random.default_rng(11)
    for number in range(8):
        coarse = Image.fromarray(rng.integers(0, 256, (13, 13, 3), dtype=np.uint8))
        ground = coarse.resize((96, 96), Image.Resampling.BICUBIC)
        for name, box in (("a", (0, 0, 64, 64)), ("b", (6, 4, 70, 68))):
            folder = tmp_path / name / ("left" if number < 4 else "right")
            folder.mkdir(parents=True, exist_ok=True)
            if name == "a" or number == 5:
                ground.crop(box).save(folder / f"{number}.png")
            elif number == 0:
                ground.crop((0, 0, 64, 64)).rotate(90).save(folder / "0.png")
    return tmp_path / "a", tmp_path / "b"


def test_a_turned_copy_is_found_by_its_hash(places: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "pairs.jsonl"
    assert run("near-duplicates", *places, "-o", output).exit_code == 0
    (pair,) = [json.loads(line) for line in output.read_text().splitlines()]
    assert pair["a"] == str(places[0] / "left" / "0.png")
    assert pair["b"] == str(places[1] / "left" / "0.png")
    assert pair["bits"] < 40
    assert "--force" in run("near-duplicates", *places, "-o", output).stderr


def test_an_overlapping_crop_is_found_with_a_backbone(
    places: tuple[Path, Path], tmp_path: Path, tiny_clip: Clip
) -> None:
    save_clip(tiny_clip, tmp_path / "clip")
    options = ["--backbone", tmp_path / "clip", "--min-cosine", -1, "--device", "cpu"]
    result = run("near-duplicates", *places, *options)
    pairs = [json.loads(line) for line in result.stdout.splitlines()]
    overlapping = [pair for pair in pairs if pair.get("overlap", 0) > 0.35]
    assert [Path(pair["a"]).name for pair in overlapping] == ["5.png"]


def test_copies_inside_one_dataset_are_paired_once(scene_folder: Path) -> None:
    shutil.copy(scene_folder / "lake" / "lake_0.png", scene_folder / "lake" / "copy.png")
    result = run("near-duplicates", scene_folder, scene_folder, "--max-bits", 0)
    (pair,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert {Path(pair["a"]).name, Path(pair["b"]).name} == {"lake_0.png", "copy.png"}


def test_parts_of_a_split_can_be_compared(scene_folder: Path) -> None:
    result = run("near-duplicates", scene_folder, scene_folder, "--part-a", "train,val")
    assert result.exit_code == 0
    wrong = run("near-duplicates", scene_folder, scene_folder, "--part-a", "dev")
    assert wrong.exit_code == 1
    assert "no part 'dev' of a split: train, val, test" in wrong.stderr
