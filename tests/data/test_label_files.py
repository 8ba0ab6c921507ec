"""Files of labels: their three forms say the same, and what is wrong is told in one line."""

import json
from pathlib import Path

import pytest

from skycue.data.label_files import find_labels, read_labels, write_labels
from skycue.errors import DatasetError

HEADER = "image,harbor,ship,tank\n"


def csv_of(folder: Path, lines: str, header: str = HEADER) -> Path:
    path = folder / "labels.csv"
    path.write_text(header + lines, encoding="utf-8")
    return path


def json_of(folder: Path, text: str) -> Path:
    path = folder / "labels.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_gives_the_columns_of_each_image(tmp_path: Path) -> None:
    labels = read_labels(csv_of(tmp_path, "a.jpg,1,1,0\nsub/b.jpg,0,0,0\nc.jpg,0,0,1\n"))
    assert labels.class_names == ("harbor", "ship", "tank")
    assert labels.of_image == {"a.jpg": (0, 1), "sub/b.jpg": (), "c.jpg": (2,)}


def test_a_table_with_a_mark_and_line_ends_of_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("﻿image,harbor,ship\r\na.jpg,0,1\r\n\r\n".encode())
    assert read_labels(path).of_image == {"a.jpg": (1,)}


def test_lists_of_classes_say_the_same_in_the_order_of_the_alphabet(tmp_path: Path) -> None:
    text = '{"a.jpg": ["ship", "harbor"], "sub/b.jpg": [], "c.jpg": ["tank"]}'
    from_json = read_labels(json_of(tmp_path, text))
    from_csv = read_labels(csv_of(tmp_path, "a.jpg,1,1,0\nsub/b.jpg,0,0,0\nc.jpg,0,0,1\n"))
    assert from_json._replace(source=tmp_path) == from_csv._replace(source=tmp_path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_labels(tmp_path / "labels.json", {"é.jpg": ("ship", "harbor"), "b.jpg": ()})
    assert read_labels(tmp_path / "labels.json").of_image == {"é.jpg": (0, 1), "b.jpg": ()}


def test_a_file_for_each_folder_of_images_is_joined(tmp_path: Path) -> None:
    folder = tmp_path / "Labels"  # as MLRSNet is laid out
    folder.mkdir()
    (folder / "harbor&port.csv").write_text(HEADER + "1.jpg,1,0,0\n", encoding="utf-8")
    (folder / "beach.csv").write_text(HEADER + "1.jpg,0,1,0\n", encoding="utf-8")
    assert find_labels(tmp_path) == folder
    assert read_labels(folder).of_image == {"harbor&port/1.jpg": (0,), "beach/1.jpg": (1,)}
    (folder / "zoo.csv").write_text("image,ship,harbor,tank\n1.jpg,0,1,0\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"zoo\.csv has other class columns than beach\.csv"):
        read_labels(folder)


def test_labels_are_found_once_or_not_at_all(tmp_path: Path) -> None:
    assert find_labels(tmp_path / "absent") is None
    (tmp_path / "labels").mkdir()  # a class of that name holds no table
    assert find_labels(tmp_path) is None
    path = csv_of(tmp_path, "")
    assert find_labels(tmp_path) == path
    json_of(tmp_path, "{}")
    with pytest.raises(DatasetError, match=r"more than once \(labels\.csv, labels\.json\)"):
        find_labels(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.jpg,1,2,0\n", "a.jpg has '2' for 'ship': 0 or 1 is needed"),
        ("a.jpg,1,,0\n", "a.jpg has '' for 'ship'"),
        ("a.jpg,1,0\n", "a.jpg has 2 values, but there are 3 classes"),
        ("a.jpg,1,0,0\nb.jpg,1,0,0\na.jpg,0,1,0\n", "image stands twice: a.jpg"),
        ("../a.jpg,1,0,0\n", "outside the dataset: ../a.jpg"),
        ("C:/a.jpg,1,0,0\n", "outside the dataset: C:/a.jpg"),
    ],
)
def test_a_wrong_line_is_named(lines: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        read_labels(csv_of(tmp_path, lines))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "has no header"),
        ("file,ship,tank\n", "its first line is to be 'image' and the classes"),
        ("image,ship,ship\n", "class stands twice: ship"),
        ("image,ship,\n", "a class column without a name: column 3"),
        ("image,ship\n", "has 1 class: at least two"),
    ],
)
def test_a_wrong_header_is_named(header: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        read_labels(csv_of(tmp_path, "", header))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read .* as JSON"),
        ("[]", "is no file of labels: content"),
        ('{"a.jpg": "ship"}', r"a\.jpg: Input should be a valid list"),
        ('{"a.jpg": ["ship", "ship"]}', r"a\.jpg: class stands twice: ship"),
        ('{"a.jpg": ["ship"], "a.jpg": ["tank"]}', r"image stands twice: a\.jpg"),
        (json.dumps({"a.jpg": ["ship"]}), "has 1 class"),
    ],
)
def test_a_wrong_json_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        read_labels(json_of(tmp_path, text))
