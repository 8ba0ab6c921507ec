"""The benchmarks of maps compare what they should, at tiny size; nothing here is about time."""

import numpy as np
import pytest

from bench import embedding_store, tiling
from bench.networks import random_clip
from bench.timing import DifferentOutputsError, Options

ONCE = Options(threads=1, rounds=1)


@pytest.fixture(autouse=True)
def _windows_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read windows of 256 px in full, though the tiny backbone has an input of 32."""
    monkeypatch.setattr("skycue.scene_windows.LARGEST_ENLARGEMENT", 8)


def test_windows_of_a_raster_and_windows_in_memory_agree() -> None:
    result = tiling.measure_backbone("tiny", random_clip("tiny"), 384, ONCE)
    assert result.answer.endswith("% of its speed")
    assert result.detail.startswith("9 windows")
    assert "probabilities differ by" in result.detail


def test_windows_in_memory_that_are_not_those_of_the_file_are_not_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.tiling.preprocess", lambda pixels, size: pixels[:, :32, :32] / 255)
    with pytest.raises(DifferentOutputsError):
        tiling.measure_backbone("tiny", random_clip("tiny"), 384, ONCE)


def test_the_raster_shows_colours_that_change_slowly() -> None:
    pixels = tiling.smooth_colours(256).astype(int)
    assert np.abs(np.diff(pixels, axis=2)).mean() < 16
    assert pixels.std() > 30


def test_kept_encodings_and_fresh_ones_agree() -> None:
    result = embedding_store.measure_scenes("tiny", random_clip("tiny"), 384, ONCE)
    assert result.answer.endswith("x")
    assert "same probabilities" in result.detail
    result = embedding_store.measure_regions(96, ONCE)
    assert "same answer" in result.detail
