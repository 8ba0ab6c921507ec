"""Captions as text, one JSON line for an image: `captions.jsonl`.

A line holds the image's path relative to the dataset's folder, its captions, the settings that made
them and, in datasets that come with one, the part of the official split. Text is what is kept;
vectors are derived from it. A file that is being written can be killed at any moment: a last line
without its end is dropped when the writing goes on.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from skycue.errors import CaptionError

CAPTIONS_FILE = "captions.jsonl"
"""Name of the captions file in a dataset's folder."""

Setting = str | int | float | bool | None


class CaptionRecord(BaseModel, frozen=True, extra="forbid"):
    """The captions of one image: a line of `captions.jsonl`."""

    image: str = Field(min_length=1)
    """Path relative to the dataset's folder, with forward slashes."""
    captions: tuple[str, ...] = Field(min_length=1)
    """At least one text; none is empty."""
    split: Literal["train", "val", "test"] | None = None
    """Part of the dataset's official split, where it has one."""
    settings: dict[str, Setting] = Field(default_factory=dict)
    """What made the captions: source, model, decoding; empty for captions written by people."""


def read_captions(path: Path) -> tuple[CaptionRecord, ...]:
    """Read a captions file.

    Raises:
        CaptionError: If it is missing, empty, names an image twice or holds lines that are no
            records; all such lines are named.
    """
    if not path.is_file():
        raise CaptionError(f"no captions file {path}; `skycue caption` writes one.")
    return _parse(path, _lines(path))


def resume_captions(path: Path) -> tuple[CaptionRecord, ...]:
    """Return the records that a killed run left, none if there is no file, and mend its end.

    A last line that was cut off is removed from the file, so that `append_captions` goes on behind
    a whole line.

    Raises:
        CaptionError: If an earlier line is no record.
    """
    if not path.is_file():
        return ()
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        with path.open("rb+") as file:
            file.truncate(len(whole))
    return _parse(path, whole.decode("utf-8").splitlines()) if whole else ()


def append_captions(path: Path, records: Iterable[CaptionRecord]) -> None:
    """Add records to a captions file and wait until they are on the disk."""
    lines = [record.model_dump_json(exclude_none=True) + "\n" for record in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write("".join(lines).encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file."""
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise CaptionError(f"{path} is not UTF-8 text (byte {error.start}).") from error


def _parse(path: Path, lines: Iterable[str]) -> tuple[CaptionRecord, ...]:
    """Turn lines into records; blank lines are passed over."""
    records: dict[str, CaptionRecord] = {}
    wrong: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = CaptionRecord.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            wrong.append(f"line {number}: {place or 'record'}: {first['msg']}")
            continue
        if any(not caption.strip() for caption in record.captions):
            wrong.append(f"line {number}: empty caption of {record.image}")
        if record.image in records:
            wrong.append(f"line {number}: {record.image} stands twice")
        records[record.image] = record
    if wrong:
        raise CaptionError(f"{path}: {len(wrong)} wrong lines: {'; '.join(wrong)}")
    if not records:
        raise CaptionError(f"{path} holds no captions.")
    return tuple(records.values())
