"""Boxes all over a sparse raster of 200,000 x 200,000 pixels: bounded memory, the right answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from skycue.boxes import Box, PlacedBox
from skycue.geo.raster import Raster
from skycue.raster_describer import describe_boxes
from skycue.region_describer import RegionDescriber
from tests.huge_raster import (
    MOST_BYTES,
    SIDE,
    Block,
    alone,
    packed,
    packed_side,
    scattered,
    write_sparse,
)
from tests.tiny_clvnet import shared_network

N_BLOCKS = 100


class Said(NamedTuple):
    """What was said of a box, but for where it lies."""

    caption: str
    phrases: list[str]
    scores: list[float]
    mask_pixels: list[int]
    outlines: list[Box | None]
    """Bounds of the masks, from the upper left pixel of the block."""
    window: tuple[int, int, int, int]
    """Of what was shown, likewise."""


def describe(path: Path, blocks: Sequence[Block]) -> list[Said]:
    """Describe a box in each block, every one of another width."""
    boxes = []
    for number, block in enumerate(blocks):
        x, y = block.corner
        boxes.append(PlacedBox(f"{number}", (x + 200, y + 230, x + 240 + number, y + 280)))
    describer = RegionDescriber(shared_network(), name="tiny")
    answers = describe_boxes(describer, Raster.open(path), boxes)
    said = []
    for block, answer in zip(blocks, answers, strict=True):
        x, y = block.corner
        bounds = [feature.outline and feature.outline.bounds for feature in answer.to_features()]
        window = answer.shown.window
        said.append(
            Said(
                answer.answer.caption,
                [phrase.text for phrase in answer.answer.phrases],
                [phrase.score for phrase in answer.answer.phrases],
                [int(p.mask.pixels.sum()) for p in answer.answer.phrases if p.mask is not None],
                [b and (b[0] - x, b[1] - y, b[2] - x, b[3] - y) for b in bounds],
                (window.x - x, window.y - y, window.width, window.height),
            )
        )
    return said


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_boxes_on_a_huge_raster_have_the_answers_of_a_small_one_in_little_memory(
    tmp_path: Path,
) -> None:
    far, near = scattered(N_BLOCKS), packed(N_BLOCKS)
    write_sparse(tmp_path / "huge.tif", SIDE, far)
    write_sparse(tmp_path / "small.tif", packed_side(N_BLOCKS), near)
    on_huge, peak = alone(describe, tmp_path / "huge.tif", far)
    assert peak < MOST_BYTES
    on_small = describe(tmp_path / "small.tif", near)
    assert len({said.caption for said in on_huge}) > 1
    assert any(said.mask_pixels for said in on_huge)
    for there, here in zip(on_huge, on_small, strict=True):
        assert there.window == here.window
        assert (there.caption, there.phrases) == (here.caption, here.phrases)
        assert there.scores == pytest.approx(here.scores, abs=1e-5)
        assert there.mask_pixels == here.mask_pixels
        assert there.outlines == here.outlines
