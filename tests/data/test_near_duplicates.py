"""Copies are found however turned, scaled or re-encoded; other places are not."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from skycue.data.near_duplicates import (
    HASH_BITS,
    embedding_pairs,
    hash_grey,
    hash_pairs,
    orientations,
    overlap_peaks,
    read_grey,
)

Pixels = NDArray[np.uint8]


def draw_place(seed: int, side: int = 128) -> Pixels:
    """Return a made-up place: blobs of colour with fine noise, [side, side, 3]."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (17, 17, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float64)
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


PLACES = [draw_place(seed) for seed in range(12)]


def save_all(folder: Path, images: list[Pixels], suffix: str = ".png") -> list[Path]:
    """Write images under their numbers."""
    folder.mkdir()
    paths = [folder / f"{number:02}{suffix}" for number in range(len(images))]
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels).save(path, quality=60)
    return paths


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_turned_scaled_and_reencoded_copy_is_found_and_nothing_else(
    tmp_path: Path, turns: int, flipped: bool
) -> None:
    turned = [np.rot90(place[:, ::-1] if flipped else place, turns) for place in PLACES[:5]]
    small = [np.array(Image.fromarray(image).resize((90, 90))) for image in turned]
    first = hash_grey(read_grey(save_all(tmp_path / "a", PLACES)))
    second = hash_grey(read_grey(save_all(tmp_path / "b", small, ".jpg")))
    pairs = hash_pairs(first, second)
    assert sorted((pair.first, pair.second) for pair in pairs) == [(n, n) for n in range(5)]
    assert max(pair.score for pair in pairs) < 40


def test_the_orientations_of_a_hash_are_the_hashes_of_the_orientations() -> None:
    grey = np.random.default_rng(2).uniform(0, 255, (3, 64, 64)).astype(np.float32)
    turned = {
        hash_grey(np.ascontiguousarray(view)).tobytes()
        for turns in range(4)
        for view in (np.rot90(grey, turns, (1, 2)), np.rot90(grey, turns, (1, 2))[:, :, ::-1])
    }
    assert {
        np.ascontiguousarray(view).tobytes() for view in orientations(hash_grey(grey))
    } == turned


def test_distance_counts_differing_bits_in_the_best_orientation() -> None:
    rng = np.random.default_rng(4)
    first = rng.choice(np.array([-1, 1], np.float32), (3, 16, 16))
    first[:, 0, 0] = 0
    second = first[[2]].copy()
    second[0, 3, 4] *= -1
    second[0, 9, 1] *= -1
    (pair,) = hash_pairs(first, second)
    assert pair == (2, 0, 2.0)
    by_hand = min(
        int((view[0] != first[0]).sum())
        for view in orientations(second)  # the mean never differs
    )
    (other,) = [p for p in hash_pairs(first, second, max_bits=HASH_BITS) if p.first == 0]
    assert other.score == by_hand


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.random.default_rng(5).uniform(0, 255, (23, 64, 64)).astype(np.float32)
    hashes = hash_grey(grey)
    whole = hash_pairs(hashes, hashes, max_bits=110)
    monkeypatch.setattr("skycue.data.near_duplicates._BLOCK", 5)
    assert hash_pairs(hashes, hashes, max_bits=110) == whole
    assert len(whole) >= 23


def test_embeddings_that_point_the_same_way_are_paired_best_first() -> None:
    first = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    second = np.array([[0, 1], [0.8, 0.6]], np.float32)
    pairs = embedding_pairs(first, second, min_cosine=0.8)
    assert [(pair.first, pair.second) for pair in pairs] == [(1, 0), (2, 1), (0, 1), (2, 0)]
    np.testing.assert_allclose([pair.score for pair in pairs], [1, 0.96, 0.8, 0.8], rtol=1e-6)


def test_shifted_and_turned_crops_of_a_place_overlap_and_other_places_do_not() -> None:
    ground = np.stack([draw_place(seed, side=96).mean(axis=2) for seed in range(6)])
    ground = ground.astype(np.float32)
    first, second = ground[:, :64, :64], np.rot90(ground[:, 5:69, 8:72], 1, (1, 2))
    assert overlap_peaks(first, second).min() > 0.3
    assert overlap_peaks(first, np.roll(second, 1, axis=0)).max() < 0.25
    assert overlap_peaks(first, first).min() > 0.8


@pytest.mark.parametrize("empty", ["first", "second"])
def test_an_empty_set_has_no_pairs(empty: str) -> None:
    none, some = np.zeros((0, 16, 16), np.float32), np.ones((2, 16, 16), np.float32)
    assert hash_pairs(*((none, some) if empty == "first" else (some, none))) == []
