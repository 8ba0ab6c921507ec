"""Encodings kept on disk."""

import errno
import logging
import os
import random
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import Tensor

from skycue.store import EncodingStore, WindowKey
from tests.killing import kill_at


def test_rows_come_back_bit_for_bit_in_their_format(tmp_path: Path) -> None:
    rows = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(1)).half()
    EncodingStore(tmp_path).save("tokens", ["a", "b", "c"], rows)
    found = EncodingStore(tmp_path).load("tokens", ["c", "a"])
    assert list(found) == ["c", "a"]
    assert torch.equal(found["c"], rows[2])
    assert torch.equal(found["a"], rows[0])
    assert found["a"].dtype == torch.float16


def test_rows_of_many_shards_are_found_and_others_left_out(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path)
    for start in (0, 10, 20):
        keys = [str(number) for number in range(start, start + 10)]
        store.save("embedding", keys, torch.arange(start, start + 10.0)[:, None])
    found = store.load("embedding", ["25", "3", "99", "14", "3"])
    assert {key: row.item() for key, row in found.items()} == {"25": 25, "3": 3, "14": 14}


def test_spaces_do_not_mix(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path)
    store.save("embedding-of-one-backbone", ["a"], torch.ones(1, 2))
    assert store.load("embedding-of-another", ["a"]) == {}


def test_what_a_killed_write_left_is_no_encoding(tmp_path: Path) -> None:
    EncodingStore(tmp_path).save("embedding", ["a"], torch.ones(1, 2))
    (shard,) = (tmp_path / "embedding").iterdir()
    (shard.parent / f".{shard.name}.7.partial").write_bytes(shard.read_bytes()[:20])
    assert list(EncodingStore(tmp_path).load("embedding", ["a"])) == ["a"]


def test_a_damaged_shard_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    EncodingStore(tmp_path).save("embedding", ["a"], torch.ones(1, 2))
    (shard,) = (tmp_path / "embedding").iterdir()
    shard.write_bytes(shard.read_bytes()[:20])
    with caplog.at_level(logging.WARNING):
        assert EncodingStore(tmp_path).load("embedding", ["a"]) == {}
    assert f"damaged encodings {shard}" in caplog.text


def test_the_size_is_that_of_the_files(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path)
    store.save("embedding", ["a"], torch.zeros(1, 1000))
    (shard,) = (tmp_path / "embedding").iterdir()
    assert store.n_bytes() == shard.stat().st_size > 4000


def shard_of(store: EncodingStore, space: str, key: str) -> Path:
    """Keep one row of 1,000 zeros; return the file it lies in."""
    before = set(store.folder.rglob("*.safetensors"))
    store.save(space, [key], torch.zeros(1, 1000))
    (new,) = set(store.folder.rglob("*.safetensors")) - before
    return new


def set_age(path: Path, seconds: float) -> None:
    """Let a file have been used that long ago."""
    date = time.time() - seconds
    os.utime(path, (date, date))


def test_what_another_writer_keeps_is_found_without_opening_the_store_again(tmp_path: Path) -> None:
    reader, writer = EncodingStore(tmp_path), EncodingStore(tmp_path)
    assert reader.load("embedding", ["a"]) == {}
    writer.save("embedding", ["a"], torch.ones(1, 2))
    assert reader.load("embedding", ["a"])["a"].tolist() == [1, 1]


def test_what_another_process_removed_is_left_out(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path)
    shard_of(store, "embedding", "a").unlink()
    assert store.load("embedding", ["a"]) == {}
    store.save("embedding", ["a"], torch.ones(1, 2))
    assert store.load("embedding", ["a"])["a"].tolist() == [1, 1]


def test_a_shard_damaged_after_it_was_found_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = EncodingStore(tmp_path)
    shard = shard_of(store, "embedding", "a")
    shard.write_bytes(shard.read_bytes()[:-1])
    assert store.load("embedding", ["a"]) == {}
    assert f"damaged encodings {shard}" in caplog.text


def test_the_rows_used_longest_ago_go_first(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path)
    shards = {key: shard_of(store, f"space/{key}", key) for key in "abcd"}
    for age, shard in zip((400, 300, 200, 100), shards.values(), strict=True):
        set_age(shard, age)
    assert "a" in store.load("space/a", ["a"])  # a is the newest now
    size = shards["a"].stat().st_size
    full = EncodingStore(tmp_path, max_bytes=4 * size)
    assert full.evict() == 4 * size
    assert full.n_bytes() == 4 * size
    EncodingStore(tmp_path, max_bytes=int(3.5 * size)).save("other", ["e"], torch.zeros(1, 1000))
    left = {key for key in "abcd" if shards[key].exists()}
    assert left == {"a", "d"}  # with e three shards, 86 % of the bound
    assert store.load("space/b", ["b"]) == {}
    assert list(store.load("other", ["e"])) == ["e"]


def test_rows_larger_than_the_store_are_not_kept_and_remove_no_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = shard_of(EncodingStore(tmp_path), "embedding", "a")
    EncodingStore(tmp_path, max_bytes=5000).save("embedding", ["b"], torch.zeros(1, 2000))
    assert list(kept.parent.iterdir()) == [kept]
    assert "encodings are not kept: 0.0 MB at once are more than the store may hold" in caplog.text


def test_a_disk_that_takes_nothing_is_told_once_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("skycue.store.write_atomically", fail)
    store = EncodingStore(tmp_path)
    store.save("embedding", ["a"], torch.ones(1, 2))
    store.save("embedding", ["b"], torch.ones(1, 2))
    assert store.load("embedding", ["a", "b"]) == {}
    assert caplog.text.count("encodings are not kept: No space left on device") == 1


def test_fields_of_different_shapes_come_back_together(tmp_path: Path) -> None:
    fields = {"tokens": torch.rand(1, 3, 2), "coarse": torch.rand(1, 4, 5, 5).bfloat16()}
    EncodingStore(tmp_path).save_fields("regions", "a", fields)
    store = EncodingStore(tmp_path)
    kept = store.load_fields("regions", "a")
    assert kept is not None
    assert kept.keys() == fields.keys()
    assert all(torch.equal(kept[name], field) for name, field in fields.items())
    assert store.load_fields("regions", "b") is None


def test_windows_far_apart_from_top_to_bottom_lie_in_different_parts() -> None:
    key = WindowKey("ab", 128, 8100, 256, 256, (224, 224))
    assert (key.part, str(key)) == ("ab-0", "128,8100,256,256@224x224")
    assert key._replace(y=8192).part == "ab-1"
    assert key._replace(y=-100).part == "ab--1"


@pytest.mark.parametrize("looks_first", [True, False])
def test_what_goes_while_it_is_opened_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks_first: bool
) -> None:
    """A file is opened twice: safetensors reads its header and lets torch open it again."""
    store = EncodingStore(tmp_path)
    store.save("embedding", ["a"], torch.ones(1, 2))
    from_file = torch.UntypedStorage.from_file

    def remove_and_open(path: str, *args: object, **options: object) -> object:
        Path(path).unlink()
        return from_file(path, *args, **options)

    reader = EncodingStore(tmp_path) if looks_first else store
    with monkeypatch.context() as patch:
        patch.setattr(torch.UntypedStorage, "from_file", remove_and_open)
        assert reader.load("embedding", ["a"]) == {}
    assert not list(tmp_path.rglob("*.safetensors"))
    reader.save("embedding", ["a"], torch.full((1, 2), 3.0))
    assert reader.load("embedding", ["a"])["a"].tolist() == [3, 3]


def test_only_shards_and_what_killed_writers_left_are_removed(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path, max_bytes=5000)
    model = tmp_path / "embedding" / "model.safetensors"
    shard = shard_of(store, "embedding", "a")
    model.write_bytes(bytes(10_000))
    abandoned, current = (shard.parent / f".{shard.name}.{n}.partial" for n in (1, 2))
    for path, age in ((abandoned, 4000), (current, 10), (model, 9000), (shard, 500)):
        path.touch()
        set_age(path, age)
    store.save("embedding", ["b"], torch.zeros(1, 1000))
    names = {path.name for path in shard.parent.iterdir()}
    assert {model.name, current.name} < names
    assert not names & {abandoned.name, shard.name}


def test_the_keys_of_a_few_spaces_only_are_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skycue.store.MAX_INDEXES", 2)
    store = EncodingStore(tmp_path)
    for number in range(4):
        store.save(f"space{number}", ["a"], torch.full((1, 2), float(number)))
    assert len(store._indexes) == 2
    assert [store.load(f"space{n}", ["a"])["a"][0].item() for n in range(4)] == [0, 1, 2, 3]


def row_of(key: str) -> Tensor:
    """What the writers below keep under a key: another row would be a mixed-up one."""
    return torch.full((250,), float(key))


def write_and_read(folder: Path, seed: int, rounds: int, max_bytes: int) -> int:
    """Keep rows and look for those of others; return how many were found and right."""
    store = EncodingStore(folder, max_bytes=max_bytes)
    chance = random.Random(seed)
    found = 0
    for _ in range(rounds):
        keys = [str(number) for number in chance.sample(range(40), 4)]
        kept = store.load("embedding", keys)
        for key, row in kept.items():
            assert torch.equal(row, row_of(key))
        found += len(kept)
        missing = [key for key in keys if key not in kept]
        if missing:
            store.save("embedding", missing, torch.stack([row_of(key) for key in missing]))
    return found


BOUND = 20_000
"""Bytes: room for half of the forty rows of `row_of`, so that rows go while others read them."""


def test_threads_that_write_read_and_remove_never_see_a_wrong_row(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda seed: write_and_read(tmp_path, seed, 60, BOUND), range(4))
        assert all(count > 0 for count in found)
    assert 0 < EncodingStore(tmp_path).n_bytes() <= BOUND
    assert list(tmp_path.rglob("*.partial")) == []


def test_threads_may_share_one_store(tmp_path: Path) -> None:
    store = EncodingStore(tmp_path)

    def work(number: int) -> list[float]:
        store.save("embedding", [str(number)], torch.full((1, 2), float(number)))
        kept = store.load("embedding", [str(n) for n in range(40)])
        return [row[0].item() - float(key) for key, row in kept.items()]

    with ThreadPoolExecutor(8) as pool:
        assert {gap for gaps in pool.map(work, range(40)) for gap in gaps} == {0.0}
    assert len(store.load("embedding", [str(n) for n in range(40)])) == 40


@pytest.mark.slow
def test_processes_that_write_read_and_remove_never_see_a_wrong_row(tmp_path: Path) -> None:
    context = get_context("spawn")
    with ProcessPoolExecutor(3, context) as processes:
        runs = [processes.submit(write_and_read, tmp_path, n, 300, BOUND) for n in range(3)]
        assert all(run.result() > 0 for run in runs)
    assert 0 < EncodingStore(tmp_path).n_bytes() <= BOUND


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_a_store_that_others_use(tmp_path: Path) -> None:
    context = get_context("spawn")
    writer = context.Process(target=_write_until_killed, args=(tmp_path,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    (left,) = tmp_path.rglob("*.partial")
    assert len(EncodingStore(tmp_path).load("embedding", ["0", "1", "2"])) == 2
    assert write_and_read(tmp_path, 1, 60, BOUND) > 0
    set_age(left, 4000)
    EncodingStore(tmp_path).evict()
    assert not left.exists()


def _write_until_killed(folder: Path) -> None:
    kill_at("rename", 3, step=(os, "getpid"))
    write_and_keep = EncodingStore(folder).save
    for number in range(10):
        write_and_keep("embedding", [str(number)], row_of(str(number))[None])
