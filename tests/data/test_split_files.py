"""Split files: CoOp's shape, a hash that does not depend on blanks, and no silent change."""

import json
import re
from pathlib import Path

import pytest

from skycue.data.scenes import SceneSplit
from skycue.data.split_files import read_split, write_split
from skycue.data.splits import make_split
from skycue.errors import SplitError

Rows = dict[str, list[list[str | int]]]


@pytest.fixture
def split(scene_folder: Path) -> SceneSplit:
    """A cut of the small dataset."""
    return make_split(scene_folder)


def write_rows(path: Path, rows: Rows) -> Path:
    """Write a split file as another program would."""
    path.write_text(json.dumps(rows, indent=4))
    return path


def rows_of(path: Path) -> Rows:
    """Return the lists of a split file."""
    content = json.loads(path.read_text())
    return {part: content[part] for part in ("train", "val", "test")}


def test_what_is_written_is_read_back_equal(split: SceneSplit, tmp_path: Path) -> None:
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json", split.root) == split


def test_the_file_has_the_shape_of_coop_with_relative_paths(
    split: SceneSplit, tmp_path: Path
) -> None:
    write_split(split, tmp_path / "split.json")
    rows = rows_of(tmp_path / "split.json")
    assert rows["train"][0] == ["bare_soil/" + split.train[0].path.name, 0, "bare_soil"]
    assert [len(rows[part]) for part in ("train", "val", "test")] == [12, 6, 6]


def test_a_file_made_elsewhere_has_the_same_hash_whatever_its_blanks(
    split: SceneSplit, tmp_path: Path
) -> None:
    write_split(split, tmp_path / "split.json")
    path = write_rows(tmp_path / "coop.json", rows_of(tmp_path / "split.json"))
    assert read_split(path, split.root).sha256 == split.sha256


def test_a_changed_line_is_noticed(split: SceneSplit, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    write_split(split, path)
    lines = path.read_text().splitlines()
    moved = re.sub(r"\d\.png", "x.png", lines[2])
    path.write_text("\n".join([*lines[:2], moved, *lines[3:]]))
    with pytest.raises(SplitError, match=r"has changed: .* is recorded in the file"):
        read_split(path, split.root)


def test_another_split_than_the_one_asked_for_is_refused(split: SceneSplit, tmp_path: Path) -> None:
    write_split(split, tmp_path / "split.json")
    with pytest.raises(SplitError, match="but 000000000000 is recorded in the result"):
        read_split(tmp_path / "split.json", split.root, sha256="0" * 64)


def test_absent_doubled_and_outside_paths_are_named_together(
    split: SceneSplit, tmp_path: Path
) -> None:
    write_split(split, tmp_path / "split.json")
    rows = rows_of(tmp_path / "split.json")
    rows["test"][0] = rows["train"][0]
    rows["test"][1][0] = "../secret.png"
    rows["test"][2][0] = "forest/gone.png"
    with pytest.raises(SplitError) as caught:
        read_split(write_rows(tmp_path / "bad.json", rows), split.root)
    message = str(caught.value)
    assert f"listed twice: {rows['train'][0][0]}" in message
    assert "outside the dataset: ../secret.png" in message
    assert "forest/gone.png" in message.split("absent from")[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: [row[0], 7, row[2]], r"bare_soil has labels \[0, 7\]"),
        (lambda row: [row[0], 0, "moor"], "label 0 is bare_soil, moor"),
        (lambda row: [row[0], "zero", row[2]], r"train\.0\.1"),
        (lambda row: [row[0], 0], r"train\.0\.2"),
    ],
)
def test_labels_and_rows_that_make_no_sense_are_refused(
    split: SceneSplit, tmp_path: Path, change: object, said: str
) -> None:
    write_split(split, tmp_path / "split.json")
    rows = rows_of(tmp_path / "split.json")
    assert callable(change)
    rows["train"][0] = change(rows["train"][0])
    with pytest.raises(SplitError, match=said):
        read_split(write_rows(tmp_path / "bad.json", rows), split.root)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"train": []}', '{"train":[],"val":[],"test":[]}']
)
def test_a_file_that_is_no_split_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(SplitError, match=r"split\.json"):
        read_split(tmp_path / "split.json", tmp_path)


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="`skycue split` makes one"):
        read_split(tmp_path / "absent.json", tmp_path)
