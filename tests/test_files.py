"""Files that are whole or not there, hashes, overwriting, and numbers by chance that repeat."""

import hashlib
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from skycue.errors import OutputExistsError
from skycue.files import refuse_overwrite, replacing, sha256_of, write_atomically
from skycue.progress import track
from skycue.seeds import generator_at


def test_text_and_bytes_are_written_into_new_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "text", "forêt")
    write_atomically(tmp_path / "bytes", b"\x00\x01")
    assert (tmp_path / "a" / "b" / "text").read_bytes() == "forêt".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00\x01"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "bytes"]


def test_a_write_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result"
    write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"


def test_a_library_writes_beside_a_file_and_replaces_it_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "map.tif"
    with replacing(path) as partial:
        assert partial.name == "map.tif"
        partial.write_text("pixels")
        (partial.parent / "map.tif.aux.xml").write_text("a library's own")
        assert not path.exists()
    assert path.read_text() == "pixels"
    assert list(path.parent.iterdir()) == [path]

    def break_off() -> None:
        with replacing(path) as partial:
            partial.write_text("half of the pix")
            raise ValueError("no more pixels")

    with pytest.raises(ValueError, match="no more pixels"):
        break_off()
    assert path.read_text() == "pixels"
    assert list(path.parent.iterdir()) == [path]


def test_threads_that_write_the_same_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    contents = [letter * 100_000 for letter in "abcdefgh"]
    with ThreadPoolExecutor(len(contents)) as threads:
        list(threads.map(lambda content: write_atomically(tmp_path / "result", content), contents))
    assert (tmp_path / "result").read_text() in contents
    assert list(tmp_path.iterdir()) == [tmp_path / "result"]


def test_a_leftover_of_a_killed_write_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / f".result.{os.getpid()}.partial").write_text("half of somethi")
    write_atomically(tmp_path / "result", "new")
    assert (tmp_path / "result").read_text() == "new"


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"tile")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"tile").hexdigest()


def test_an_existing_file_is_overwritten_with_force_only(tmp_path: Path) -> None:
    refuse_overwrite(tmp_path / "new", force=False)
    refuse_overwrite(tmp_path, force=True)
    with pytest.raises(OutputExistsError, match="exists: choose another name, or replace it"):
        refuse_overwrite(tmp_path, force=False)


def test_chance_is_a_function_of_seed_and_place() -> None:
    numbers = {
        place: torch.rand(1, generator=generator_at(*place)).item()
        for place in [(1, 1), (1, 2), (2, 1), (11,), (1, 1, 1)]
    }
    assert len(set(numbers.values())) == 5
    assert torch.rand(1, generator=generator_at(1, 1)).item() == numbers[(1, 1)]


def test_progress_shows_nothing_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(track("abc", "letters", 3)) == ["a", "b", "c"]
    assert stream.getvalue() == ""
