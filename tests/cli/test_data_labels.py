"""`skycue data labels-from-instances` makes a multi-label dataset of COCO files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from skycue.cli.app import app
from skycue.data.splits import load_split


def run(*arguments: object) -> Result:
    """Run `skycue data labels-from-instances`."""
    return CliRunner().invoke(app, ["data", "labels-from-instances", *map(str, arguments)])


def write_coco(path: Path, images: Mapping[str, Sequence[str]]) -> Path:
    """Write an instances file without outlines, and the images beside it."""
    categories = ["ship", "harbor", "storage_tank"]
    content = {
        "images": [
            {"id": n, "file_name": name, "width": 16, "height": 16} for n, name in enumerate(images)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(categories)],
        "annotations": [
            {"id": 10 * n + k, "image_id": n, "category_id": categories.index(name)}
            for n, shown in enumerate(images.values())
            for k, name in enumerate(shown)
        ],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    for name in images:
        grey = 40 + hash_of(name)
        Image.new("L", (16, 16), grey).save(path.parent / name)
    return path


def hash_of(name: str) -> int:
    """A number for each name of a letter: no two images are equal."""
    return 5 * (ord(name[0]) - ord("a"))


@pytest.fixture
def train(tmp_path: Path) -> Path:
    shown = {"a.png": ["ship", "ship"], "b.png": ["storage_tank", "harbor"], "c.png": []}
    return write_coco(tmp_path / "train.json", shown)


@pytest.fixture
def test(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "test.json", {"d.png": ["ship", "harbor"]})


def test_labels_of_images_are_written(train: Path, tmp_path: Path) -> None:
    result = run(train, "-o", tmp_path / "labels.json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["classes"] == 3
    assert json.loads((tmp_path / "labels.json").read_text()) == {
        "a.png": ["ship"],
        "b.png": ["harbor", "storage tank"],
        "c.png": [],
    }
    assert not (tmp_path / "split.json").exists()


def test_the_parts_of_several_files_become_the_split(
    train: Path, test: Path, tmp_path: Path
) -> None:
    (tmp_path / "held_out.txt").write_text("c.png\n")
    result = run(
        train, "--test", test, "--val", tmp_path / "held_out.txt", "-o", tmp_path / "labels.json"
    )
    assert result.exit_code == 0, result.stderr
    split = load_split(tmp_path)
    assert split.sha256 == json.loads(result.stdout)["sha256"]
    assert [item.path.name for item in split.train] == ["b.png", "a.png"]  # by label
    assert [(item.path.name, item.label) for item in split.val] == [("c.png", ())]
    assert [(item.path.name, item.label) for item in split.test] == [("d.png", (0, 1))]


def test_wrong_calls_are_told(train: Path, test: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    assert run(train, "-o", tmp_path / "other.json").exit_code == 2
    assert run(train, "--val", test, "-o", labels).exit_code == 2
    (tmp_path / "held_out.txt").write_text("z.png\n")
    wrong = run(train, "--test", test, "--val", tmp_path / "held_out.txt", "-o", labels)
    assert wrong.exit_code == 1
    assert "not among the images of train.json: z.png" in wrong.stderr
    twice = run(train, "--test", train, "-o", labels)
    assert "images that another file has too: a.png, b.png, c.png" in twice.stderr
    assert not labels.exists()
    labels.write_text("mine")
    assert "exists" in run(train, "-o", labels).stderr
