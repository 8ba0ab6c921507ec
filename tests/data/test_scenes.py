"""A dataset's folder is checked whole, and everything wrong is named at once."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.data.scenes import (
    Finding,
    SceneItem,
    check_folder,
    image_root,
    relabel,
    scan_folder,
)
from skycue.errors import DatasetError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def write_tile(path: Path, seed: int, size: tuple[int, int] = (16, 16)) -> None:
    """Write a small image that no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.mark.parametrize("inside", ["", "images"])
def test_class_folders_lie_in_the_folder_or_in_its_images(scene_folder: Path, inside: str) -> None:
    data = scene_folder
    if inside:
        data = scene_folder.parent / "dataset"
        shutil.move(scene_folder, data / inside)
    names, items = scan_folder(data)
    assert names == ("bare_soil", "forest", "lake")
    assert [item.label for item in items] == [0] * 8 + [1] * 8 + [2] * 8
    assert items[8] == SceneItem(data / inside / "forest" / "forest_0.png", 1)


def test_a_class_may_be_called_images(tmp_path: Path) -> None:
    write_tile(tmp_path / "images" / "1.png", 1)
    write_tile(tmp_path / "maps" / "2.png", 2)
    assert scan_folder(tmp_path)[0] == ("images", "maps")


def test_class_folders_in_both_places_are_refused(scene_folder: Path) -> None:
    write_tile(scene_folder / "images" / "city" / "1.png", 1)
    with pytest.raises(DatasetError, match=r"both in images/ and beside it \(bare_soil, forest"):
        image_root(scene_folder)


def test_a_missing_folder_says_what_a_dataset_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="a dataset is a folder with one folder per class"):
        scan_folder(tmp_path / "absent")


def test_everything_wrong_is_named_at_once_in_one_line(scene_folder: Path) -> None:
    (scene_folder / "city").mkdir()
    (scene_folder / "lake" / "empty.png").touch()
    Image.new("CMYK", (16, 16)).save(scene_folder / "lake" / "print.jpg")
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(scene_folder / "lake" / "deep.png")
    write_tile(scene_folder / "lake" / "thin.png", 1, (4, 40))
    write_tile(scene_folder / "lake" / "sub" / "nested.png", 2)
    shutil.copy(scene_folder / "forest" / "forest_1.png", scene_folder / "lake" / "copy.png")
    cut = scene_folder / "forest" / "forest_2.png"
    cut.write_bytes(cut.read_bytes()[:-60])
    with pytest.raises(DatasetError) as caught:
        scan_folder(scene_folder)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "class folder without an image: city",
        "folder inside a class folder: lake/sub",
        "empty file (0 bytes): lake/empty.png",
        "colour mode CMYK",
        "lake/print.jpg",
        "16 bits a channel",
        "lake/deep.png",
        "4 x 40 pixels",
        "damaged or cut off",
        "forest/forest_2.png",
        "same bytes in two classes: forest/forest_1.png = lake/copy.png",
        "`skycue data check",
    ):
        assert part in message


def test_fewer_than_two_classes_are_refused(tmp_path: Path) -> None:
    write_tile(tmp_path / "forest" / "1.png", 1)
    with pytest.raises(DatasetError, match="fewer than two class folders: 1 found"):
        scan_folder(tmp_path)


def test_what_is_survived_is_logged_with_its_count(
    scene_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = scene_folder / "lake"
    Image.fromarray(np.arange(1600, dtype=np.uint8).reshape(40, 40)).save(lake / "grey.png")
    write_tile(lake / "wide.png", 1, (40, 41))
    shutil.copy(lake / "lake_1.png", lake / "lake_1_copy.png")
    (lake / "notes.txt").write_text("lake by lake")
    (lake / ".DS_Store").touch()
    (scene_folder / "README.md").write_text("tiles")
    with caplog.at_level(logging.WARNING):
        names, items = scan_folder(scene_folder)
    assert len(items) == 24 + 3
    assert [record.getMessage().removeprefix(f"{scene_folder}: ") for record in caplog.records] == [
        "2 x passed over, not an image in a class folder: README.md, lake/notes.txt",
        "1 x mode L, converted to RGB: lake/grey.png",
        "1 x size other than the usual 40 x 40: lake/wide.png",
        "1 x same bytes within a class: lake/lake_1.png = lake/lake_1_copy.png",
    ]
    assert names == ("bare_soil", "forest", "lake")


@pytest.mark.parametrize(("n_alike", "n_odd"), [(4, 3), (3, 0)])
def test_a_size_is_usual_if_most_images_have_it(n_alike: int, n_odd: int, tmp_path: Path) -> None:
    for index in range(6 + 1):
        size = (40, 40) if index < n_alike else (40, 50 + index)
        write_tile(tmp_path / "lake" / f"{index}.png", index, size)
    odd = [len(r.names) for r in check_folder(tmp_path).remarks if r.what.startswith("size other")]
    assert odd == ([n_odd] if n_odd else [])


def test_full_decoding_finds_damage_in_the_middle_of_a_file(scene_folder: Path) -> None:
    path = scene_folder / "lake" / "lake_3.png"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(bytes(content))
    assert check_folder(scene_folder).problems == ()
    (problem,) = check_folder(scene_folder, decode=True).problems
    assert problem.names == ("lake/lake_3.png",)


def test_a_finding_names_twenty_files_and_counts_the_rest() -> None:
    finding = Finding("odd", tuple(str(number) for number in range(23)))
    assert str(finding) == f"odd: {', '.join(str(number) for number in range(20))} and 3 more"


def test_relabelling_keeps_merges_and_drops_classes() -> None:
    items = [SceneItem(Path(f"{label}.png"), label) for label in (0, 1, 2, 1)]
    names = ("dense", "river", "sparse")
    assert relabel(items, names, {"dense": 1, "sparse": 1}) == (
        SceneItem(Path("0.png"), 1),
        SceneItem(Path("2.png"), 1),
    )
    with pytest.raises(DatasetError, match="no class lake here; the classes are dense, river"):
        relabel(items, names, {"lake": 0})


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data with real imagery")
@pytest.mark.parametrize(
    ("name", "n_classes", "n_images", "copies"),
    [("ucm", 21, 2100, 1), ("resisc12", 12, 1920, 0), ("rsscn7", 7, 1120, 0)],
)
def test_real_sets_are_sound(name: str, n_classes: int, n_images: int, copies: int) -> None:
    report = check_folder(SHARED / name)
    assert (len(report.class_names), len(report.items)) == (n_classes, n_images)
    assert report.problems == ()
    assert len(report.remarks) == copies
