"""Captions as lines: what is written is read back, and a killed writer leaves no damage."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skycue.data.captions import CaptionRecord, append_captions, read_captions, resume_captions
from skycue.errors import CaptionError

RECORDS = (
    CaptionRecord(image="images/lake/1.jpg", captions=("a lake .", "water, blå")),
    CaptionRecord(
        image="images/lake/2.jpg", captions=("trees",), settings={"source": "hf:blip", "beams": 3}
    ),
)


def test_records_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "captions.jsonl"
    append_captions(path, RECORDS[:1])
    append_captions(path, RECORDS[1:])
    assert read_captions(path) == RECORDS
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_a_line_of_the_published_layout_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text('{"image": "images/a/1.jpg", "split": "test", "captions": ["many planes ."]}')
    (record,) = read_captions(path)
    assert record.split == "test"
    assert record.captions == ("many planes .",)
    assert record.settings == {}


@given(cut=st.integers(0, 400))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_wherever_the_writing_stops_it_goes_on_to_the_same_file(tmp_path: Path, cut: int) -> None:
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    for path in (whole, killed):
        path.unlink(missing_ok=True)
        append_captions(path, RECORDS)
    killed.write_bytes(whole.read_bytes()[:cut])
    done = {record.image for record in resume_captions(killed)}
    append_captions(killed, [record for record in RECORDS if record.image not in done])
    assert killed.read_bytes() == whole.read_bytes()


def test_nothing_is_resumed_from_no_file(tmp_path: Path) -> None:
    assert resume_captions(tmp_path / "absent.jsonl") == ()


def test_all_wrong_lines_are_named_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    good = {"image": "1.jpg", "captions": ["a"]}
    lines: list[object] = [good, {"image": "2.jpg"}, good, {**good, "image": "3.jpg", "spilt": "x"}]
    lines.append({"image": "4.jpg", "captions": ["a", " "]})
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n{")
    with pytest.raises(CaptionError) as caught:
        read_captions(path)
    message = str(caught.value)
    assert "5 wrong lines" in message
    assert "line 2: captions: Field required" in message
    assert "line 3: 1.jpg stands twice" in message
    assert "line 4: spilt: Extra inputs" in message
    assert "line 5: empty caption of 4.jpg" in message
    assert "line 6" in message
    assert "\n" not in message


def test_absent_empty_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    with pytest.raises(CaptionError, match="no captions file"):
        read_captions(path)
    path.touch()
    with pytest.raises(CaptionError, match="holds no captions"):
        read_captions(path)
    path.write_bytes(b'{"image": "\xff"}')
    with pytest.raises(CaptionError, match=r"not UTF-8 text \(byte 11\)"):
        read_captions(path)
