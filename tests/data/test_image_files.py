"""Tests of what files and folders on a command line mean."""

from pathlib import Path

import pytest

from skycue.data.image_files import find_images
from skycue.errors import ImageReadError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2.png", "b/1.JPG", "a/3.tif", "a/notes.txt", ".cache/4.png", "a/.5.png"):
        path = tmp_path / "tiles" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "tiles"


def test_a_folder_means_the_visible_images_below_it_by_name(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in find_images([folder])]
    assert found == ["a/3.tif", "b/1.JPG", "b/2.png"]


def test_files_keep_their_order_and_stand_once(folder: Path) -> None:
    two, three = folder / "b" / "2.png", folder / "a" / "3.tif"
    assert find_images([two, three, folder / "a", two]) == [two, three]


def test_what_is_not_there_or_empty_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match=r"no image or folder .*absent\.png"):
        find_images([folder / "absent.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageReadError, match=r"no image below .*empty; read are files that end in"):
        find_images([tmp_path / "empty"])
