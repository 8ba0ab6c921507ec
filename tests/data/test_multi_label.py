"""Folders whose images show several classes: checked, cut, drawn and relabelled."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.data.few_shot import draw
from skycue.data.scenes import PARTS, SceneItem, check_folder, image_root, relabel
from skycue.data.split_files import read_split, write_split
from skycue.data.splits import load_split, make_split, split_from_names
from skycue.errors import DatasetError, ShotsError, SplitError
from tests.conftest import write_multi_label_tiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_multi_label_tiles(tmp_path / "tiles")


def test_a_folder_with_a_file_of_labels_is_multi_label(folder: Path) -> None:
    report = check_folder(folder)
    assert report.problems == ()
    assert report.class_names == ("forest", "lake", "soil")
    labels = {item.path.name: item.label for item in report.items}
    assert labels["tile_00.png"] == ()
    assert labels["tile_03.png"] == (0, 1)
    assert labels["tile_07.png"] == (0, 1, 2)
    assert load_split(folder).is_multi_label


def test_images_lie_beside_the_labels_or_in_a_folder(folder: Path, tmp_path: Path) -> None:
    assert image_root(folder) == folder / "images"
    flat = tmp_path / "flat"
    shutil.copytree(folder / "images", flat)
    shutil.copy(folder / "labels.json", flat)
    assert image_root(flat) == flat
    assert make_split(flat).sha256 == make_split(folder).sha256


def test_the_layout_of_mlrsnet_is_read(tmp_path: Path) -> None:
    for name in ("beach", "harbor&port"):
        (tmp_path / "Images" / name).mkdir(parents=True)
        for number in range(4):
            colour = tuple(np.random.default_rng(number + len(name)).integers(0, 255, 3).tolist())
            Image.new("RGB", (16, 16), colour).save(tmp_path / "Images" / name / f"{number}.png")
        (tmp_path / "Labels").mkdir(exist_ok=True)
        lines = "".join(f"{n}.png,1,{n % 2},{int(n > 1)}\n" for n in range(4))
        table = tmp_path / "Labels" / f"{name}.csv"
        table.write_text(f"image,sand,sea,ships\n{lines}", encoding="utf-8")
    split = load_split(tmp_path)
    assert split.root == tmp_path / "Images"
    assert split.class_names == ("sand", "sea", "ships")
    assert sum(len(split.part(part)) for part in PARTS) == 8


def test_absent_images_unseen_classes_and_copies_are_named_together(folder: Path) -> None:
    labels = json.loads((folder / "labels.json").read_text())
    labels["absent.png"] = ["forest", "dune"]
    labels["copy.png"] = ["lake"]
    shutil.copy(folder / "images" / "tile_03.png", folder / "images" / "copy.png")
    (folder / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(DatasetError) as error:
        load_split(folder)
    assert "in labels.json but not in" in str(error.value)
    assert "absent.png" in str(error.value)
    assert "class that no image shows: dune" in str(error.value)
    assert "same bytes in two classes: copy.png = tile_03.png" in str(error.value)


def test_an_image_that_no_label_names_is_passed_over_and_told(folder: Path) -> None:
    shutil.copy(folder / "images" / "tile_00.png", folder / "images" / "more.png")
    report = check_folder(folder)
    assert len(report.items) == 48
    assert "passed over, not in labels.json: more.png" in map(str, report.remarks)


def test_the_cut_gives_each_class_its_share(folder: Path) -> None:
    split = make_split(folder)
    for label in range(3):
        counts = [sum(label in i.labels for i in split.part(part)) for part in PARTS]
        assert counts == pytest.approx([0.49 * 24, 0.21 * 24, 0.30 * 24], abs=2)
    assert make_split(folder, seed=2).sha256 != split.sha256 == make_split(folder).sha256


def test_a_split_file_keeps_all_labels(folder: Path) -> None:
    split = make_split(folder)
    write_split(split, folder / "split.json")
    assert read_split(folder / "split.json", folder / "images") == split
    assert load_split(folder) == split


def test_a_split_file_of_older_labels_is_refused(folder: Path) -> None:
    write_split(make_split(folder), folder / "split.json")
    labels = json.loads((folder / "labels.json").read_text())
    labels["tile_03.png"] = ["lake"]
    (folder / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(SplitError, match=r"does not fit labels\.json: the labels of tile_03\.png"):
        load_split(folder)


def entries(first: object, second: object) -> str:
    return json.dumps({"train": [first, second], "val": [], "test": []})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (entries(["a", 0, "x"], ["b", [1], ["y"]]), "some images have one label, others a list"),
        (entries(["a", [0, 1], ["x"]], ["b", [1], ["y"]]), "not as many class names as labels"),
        (entries(["a", [], []], ["b", [], []]), "no labelled image is listed"),
        (entries(["a", [0], ["x"]], ["b", [0], ["y"]]), "label 0 is x, y"),
    ],
)
def test_a_malformed_split_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(SplitError, match=message):
        read_split(tmp_path / "split.json", tmp_path)


def test_a_given_split_is_taken_and_val_is_cut_from_its_train(folder: Path) -> None:
    names = [f"tile_{n:02}.png" for n in range(48)]
    split = split_from_names(folder, {n: "test" if n > "tile_28" else "train" for n in names})
    assert [item.path.name for item in split.test] == sorted(
        names[28:], key=lambda n: (labels_of_tile(n), n)
    )
    assert len(split.val) == 3  # a tenth of 28, by classes
    with pytest.raises(SplitError, match=r"without a part of the split: tile_47\.png"):
        split_from_names(folder, dict.fromkeys(names[:-1], "train"))


def labels_of_tile(name: str) -> tuple[int, ...]:
    number = int(name[5:7])
    return tuple(k for k in range(3) if number >> k & 1)


def test_a_draw_counts_an_image_for_each_of_its_classes(folder: Path) -> None:
    split = make_split(folder, fractions=(1.0, 0.0, 0.0))
    few, more = draw(split.train, 2, seed=1), draw(split.train, 4, seed=1)
    assert set(few) < set(more)
    assert len(set(more)) == len(more) < 12
    counts = Counter(label for item in more for label in item.labels)
    assert min(counts.values()) >= 4
    assert set(more) <= set(split.train)  # labels and all


def test_too_few_images_of_a_class_are_told_by_its_name(folder: Path) -> None:
    split = make_split(folder, fractions=(1.0, 0.0, 0.0))
    with pytest.raises(ShotsError, match=r"3 of 3 classes hold fewer: forest \(24\), lake"):
        draw(split.train, 25, 1, split.class_names)


def test_relabelling_keeps_images_of_the_classes_and_only_those_labels() -> None:
    items = [SceneItem(Path(n), label) for n, label in (("a", (0, 2)), ("b", (1,)), ("c", ()))]
    kept = relabel(items, ["x", "y", "z"], {"z": 0, "x": 1})
    assert kept == (SceneItem(Path("a"), (0, 1)),)
    assert relabel(items, ["x", "y", "z"], {"y": 0, "x": 0})[0].label == (0,)


def test_an_only_label_is_asked_of_single_label_images_alone() -> None:
    assert SceneItem(Path("a"), 3).only_label == 3
    assert SceneItem(Path("a"), 3).labels == (3,)
    with pytest.raises(AssertionError):
        _ = SceneItem(Path("a"), (3,)).only_label
