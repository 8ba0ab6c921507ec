"""Datasets of a benchmark: names, near-duplicates, captions by people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skycue.backbones.pretrained import trained_on
from skycue.data.captions import CaptionRecord, append_captions
from skycue.data.splits import load_split
from skycue.errors import ConfigError
from skycue.protocols.scene_data import load_data, parse_data, read_near_duplicates


def test_bare_folder_is_named_after_itself() -> None:
    assert parse_data(["ucm=/a/b", "/x/tiles"]) == {"ucm": Path("/a/b"), "tiles": Path("/x/tiles")}


def test_two_datasets_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two datasets are named 'tiles'"):
        parse_data(["/x/tiles", "/y/tiles"])


def test_near_duplicates_leave_the_test_part_and_are_counted(
    scene_folder: Path, tmp_path: Path
) -> None:
    victim = load_split(scene_folder).test[0]
    name = f"tiles/{victim.path.relative_to(scene_folder).as_posix()}"
    listed = tmp_path / "near.json"
    listed.write_text(json.dumps({"pairs": [{"train": "rsicd/a.jpg", "evaluation": name}]}))
    excluded = read_near_duplicates(listed)
    data = load_data("tiles", scene_folder, seen=(), excluded=excluded)
    assert victim not in data.test
    assert len(data.test) == len(data.split.test) - 1
    assert data.n_excluded == 1


def test_file_without_pairs_is_no_list_of_near_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "near.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="no `pairs`"):
        read_near_duplicates(path)


@pytest.mark.parametrize(("settings", "by_people"), [({}, True), ({"source": "bank"}, False)])
def test_captions_that_name_no_maker_are_by_people(
    scene_folder: Path, settings: dict[str, str], by_people: bool
) -> None:
    split = load_split(scene_folder)
    path = scene_folder / "captions.jsonl"
    records = [
        CaptionRecord(
            image=item.path.relative_to(scene_folder).as_posix(),
            captions=("a field",),
            settings=settings,
        )
        for item in (*split.train, *split.val, *split.test)
    ]
    append_captions(path, records)
    data = load_data("tiles", scene_folder, seen=(), excluded=())
    assert data.human_captions == (path if by_people else None)


def test_only_the_sets_that_mini_has_read_are_marked_as_seen(scene_folder: Path) -> None:
    seen = trained_on("mini")
    assert load_data("ucm", scene_folder, seen=seen, excluded=()).is_seen
    assert not load_data("resisc12", scene_folder, seen=seen, excluded=()).is_seen
