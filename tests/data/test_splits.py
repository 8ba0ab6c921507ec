"""Cuts: whole, disjoint, the same everywhere, and never with a copy on both sides."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skycue.data.captions import CaptionRecord, append_captions
from skycue.data.scenes import PARTS, Part, SceneSplit
from skycue.data.split_files import write_split
from skycue.data.splits import load_split, make_split, split_from_captions
from skycue.errors import DatasetError, SplitError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def names(split: SceneSplit, part: Part) -> list[str]:
    """Return the file names of a part."""
    return [item.path.name for item in split.part(part)]


def test_the_default_cut_is_49_21_30_of_each_class(scene_folder: Path) -> None:
    split = make_split(scene_folder)
    for part, count in zip(PARTS, (4, 2, 2), strict=True):  # of 8 images: 2.4 and 1.68, rounded
        assert Counter(item.label for item in split.part(part)) == {0: count, 1: count, 2: count}


@given(
    seed=st.integers(0, 2**31),
    weights=st.tuples(st.integers(4, 9), st.integers(0, 4), st.integers(0, 4)),
)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_image_lies_in_one_part(
    scene_folder: Path, seed: int, weights: tuple[int, int, int]
) -> None:
    train, val, test = (weight / sum(weights) for weight in weights)
    split = make_split(scene_folder, seed, (train, val, test))
    paths = [item.path for part in PARTS for item in split.part(part)]
    assert len(paths) == len(set(paths)) == 24
    assert list(split.train) == sorted(split.train, key=lambda item: (item.label, item.path.name))


def test_the_same_seed_cuts_the_same_wherever_the_data_lie(scene_folder: Path) -> None:
    moved = shutil.copytree(scene_folder, scene_folder.parent / "moved" / "images").parent
    here, there = make_split(scene_folder, seed=3), make_split(moved, seed=3)
    assert here.sha256 == there.sha256
    assert names(here, "test") == names(there, "test")
    assert make_split(scene_folder, seed=4).sha256 != here.sha256


def test_copies_of_a_file_stay_in_one_part(scene_folder: Path) -> None:
    lake = scene_folder / "lake"
    for number in range(8):
        shutil.copy(lake / f"lake_{number}.png", lake / f"again_{number}.png")
    for seed in range(5):
        split = make_split(scene_folder, seed)
        for part in PARTS:
            in_lake = [item for item in split.part(part) if item.label == 2]
            numbers = [item.path.stem[-1] for item in in_lake]
            assert set(Counter(numbers).values()) == {2}


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.2, 0.0)])
def test_fractions_that_are_none_are_refused(
    scene_folder: Path, fractions: tuple[float, float, float]
) -> None:
    with pytest.raises(SplitError, match="three numbers from 0 to 1 that add up to 1"):
        make_split(scene_folder, fractions=fractions)


def test_classes_left_without_a_training_image_are_named(scene_folder: Path) -> None:
    for path in (scene_folder / "lake").glob("lake_[2-7].png"):
        path.unlink()
    with pytest.raises(SplitError, match="classes without a train image: lake"):
        make_split(scene_folder, fractions=(0.2, 0.0, 0.8))


def test_a_class_without_a_test_image_is_logged(
    scene_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (scene_folder / "lake").glob("lake_[1-7].png"):
        path.unlink()
    make_split(scene_folder)
    messages = [record.getMessage() for record in caplog.records]
    assert f"{scene_folder}: 1 x classes without a test image: lake" in messages


def record_official_split(data: Path, n_test: int, skip: str = "") -> None:
    """Write a captions file that gives the first images of each class to test."""
    append_captions(
        data / "captions.jsonl",
        [
            CaptionRecord(
                image=path.relative_to(data).as_posix(),
                captions=("a scene .",),
                split="test" if int(path.stem[-1]) < n_test else "train",
            )
            for path in sorted(data.rglob("*.png"))
            if path.name != skip
        ],
    )


def test_the_official_split_keeps_test_and_cuts_val_from_train(scene_folder: Path) -> None:
    record_official_split(scene_folder, n_test=2)
    split = split_from_captions(scene_folder, seed=1)
    assert names(split, "test") == [
        f"{name}_{number}.png" for name in ("bare_soil", "forest", "lake") for number in (0, 1)
    ]
    assert Counter(item.label for item in split.val) == {0: 1, 1: 1, 2: 1}  # a tenth of 6
    assert len(split.train) == 15
    assert split_from_captions(scene_folder, seed=2).val != split.val
    assert load_split(scene_folder) == split


def test_images_without_a_record_and_records_without_an_image_are_named(
    scene_folder: Path,
) -> None:
    record_official_split(scene_folder, n_test=2, skip="lake_5.png")
    (scene_folder / "forest" / "forest_4.png").unlink()
    with pytest.raises(SplitError) as caught:
        split_from_captions(scene_folder)
    assert "recorded but not in a class folder: forest/forest_4.png" in str(caught.value)
    assert "images without a recorded split: lake/lake_5.png" in str(caught.value)


def test_a_copy_of_a_training_image_in_the_official_test_is_refused(scene_folder: Path) -> None:
    shutil.copy(scene_folder / "lake" / "lake_7.png", scene_folder / "lake" / "lake_0.png")
    record_official_split(scene_folder, n_test=1)
    with pytest.raises(SplitError, match=r"two parts of the split: lake/lake_0.png = lake/lake_7"):
        split_from_captions(scene_folder)


def test_captions_that_record_no_split_leave_the_default_cut(scene_folder: Path) -> None:
    append_captions(
        scene_folder / "captions.jsonl",
        [CaptionRecord(image="lake/lake_0.png", captions=("a lake .",))],
    )
    assert load_split(scene_folder) == make_split(scene_folder)


def test_the_split_file_in_the_folder_comes_first_and_its_images_are_checked(
    scene_folder: Path,
) -> None:
    record_official_split(scene_folder, n_test=2)
    split = make_split(scene_folder, seed=9)
    write_split(split, scene_folder / "split.json")
    assert load_split(scene_folder) == split
    split.val[0].path.write_bytes(b"")
    with pytest.raises(DatasetError, match="empty file"):
        load_split(scene_folder)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data with real imagery")
def test_the_official_split_of_ucm_is_taken_and_never_changes() -> None:
    split = load_split(SHARED / "ucm", seed=1)
    lines = (SHARED / "ucm" / "captions.jsonl").read_text().splitlines()
    recorded = Counter(json.loads(line)["split"] for line in lines)
    assert len(split.test) == recorded["test"] == 210
    assert len(split.train) + len(split.val) == recorded["train"] == 1890
    assert split.sha256.startswith("e461d16be0b5")  # version 0.1
