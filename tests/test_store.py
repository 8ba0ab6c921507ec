"""Encodings kept on disk."""

import logging
from pathlib import Path

import pytest
import torch

from skycue.store import EncodingStore


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
