"""The small segmenter of `mini`, on random weights."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.segmenter import MaskFeatures
from skycue.backbones.small_segmenter import (
    SmallSegmenter,
    SmallSegmenterConfig,
    box_maps,
    position_code,
)

CONFIG = SmallSegmenterConfig(input_size=64, width=16, fine_width=8, layers=2, heads=2)
GENERATOR = torch.Generator().manual_seed(5)
PIXELS = torch.rand(2, 3, 64, 64, generator=GENERATOR)
QUERIES = torch.randn(2, 3, 16, generator=GENERATOR)
BOXES = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 0.5]])


def build(*, prompted: bool = True, **changes: bool) -> SmallSegmenter:
    """Build a segmenter; `prompted` moves its box prompt away from zero."""
    torch.manual_seed(6)
    segmenter = SmallSegmenter(CONFIG.model_copy(update=changes))
    if prompted:
        for part in (segmenter.box_coarse, segmenter.box_fine):
            torch.nn.init.normal_(part.weight)
    return segmenter.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def seen() -> tuple[SmallSegmenter, MaskFeatures]:
    """A segmenter and what it saw."""
    segmenter = build()
    return segmenter, segmenter.encode(PIXELS)


def test_maps_have_strides_16_8_and_4_and_masks_stride_4(
    seen: tuple[SmallSegmenter, MaskFeatures],
) -> None:
    segmenter, features = seen
    assert features.coarse.shape == (2, 16, 4, 4)
    assert [tuple(level.shape) for level in features.fine] == [(2, 16, 8, 8), (2, 8, 16, 16)]
    output = segmenter.decode(features, QUERIES, BOXES)
    assert output.logits.shape == (2, 3, 16, 16)
    assert bool(((output.iou > 0) & (output.iou < 1)).all())


def test_queries_are_decoded_each_on_its_own(seen: tuple[SmallSegmenter, MaskFeatures]) -> None:
    segmenter, features = seen
    together = segmenter.decode(features, QUERIES, BOXES)
    for row in range(2):
        for k in range(3):
            index = torch.tensor([row])
            alone = segmenter.decode(features.rows(index), QUERIES[index, k : k + 1], BOXES[index])
            assert_close(alone.logits[0, 0], together.logits[row, k], rtol=1e-4, atol=1e-5)
            assert_close(alone.iou[0, 0], together.iou[row, k], rtol=1e-4, atol=1e-5)
    assert (together.logits[:, 0] - together.logits[:, 1]).abs().max() > 1e-3


def test_no_queries_give_no_masks(seen: tuple[SmallSegmenter, MaskFeatures]) -> None:
    segmenter, features = seen
    output = segmenter.decode(features, QUERIES[:, :0], BOXES)
    assert output.logits.shape == (2, 0, 16, 16)
    assert output.iou.shape == (2, 0)


def test_a_mask_is_the_dot_product_of_its_vector_with_the_fine_map() -> None:
    segmenter = build(box_prompt=False)
    features = segmenter.encode(PIXELS)
    coarse = features.coarse + segmenter.mix_coarse(features.coarse)
    fine = features.fine[-1] + segmenter.mix_fine(features.fine[-1])
    queries = QUERIES
    flat = coarse.flatten(2).transpose(1, 2)
    for query_round in segmenter.rounds:
        queries = query_round(queries, flat, position_code(4, 16, flat))
    vectors: Tensor = segmenter.mask_vector(queries)
    expected = torch.zeros(2, 3, 16, 16)
    for b, k, y, x in (
        (b, k, y, x) for b in (0, 1) for k in (0, 2) for y in (0, 9) for x in (3, 15)
    ):
        dot = sum(float(vectors[b, k, d]) * float(fine[b, d, y, x]) for d in range(8))
        expected[b, k, y, x] = dot / 8**0.5 + float(vectors[b, k, 8])
    found = segmenter.decode(features, QUERIES).logits
    assert_close(found[expected != 0], expected[expected != 0], rtol=1e-4, atol=1e-5)


def test_the_box_prompt_starts_without_effect_and_can_be_left_out() -> None:
    start = build(prompted=False)
    features = start.encode(PIXELS)
    without = start.decode(features, QUERIES)
    assert torch.equal(start.decode(features, QUERIES, BOXES).logits, without.logits)
    for segmenter, looks in ((build(), True), (build(box_prompt=False), False)):
        plain = segmenter.decode(features, QUERIES).logits
        boxed = segmenter.decode(features, QUERIES, BOXES).logits
        assert torch.equal(plain, boxed) != looks


def test_maps_of_a_box_as_counted_by_hand() -> None:
    box = torch.tensor([[0.25, 0.5, 0.75, 0.75]])  # centre (0.5, 0.625), half extents 0.25, 0.125
    inside, x, y, far_x, far_y = box_maps(box, 4)[0]  # centres at 1/8, 3/8, 5/8, 7/8
    assert_close(x, torch.tensor([-1.5, -0.5, 0.5, 1.5]).expand(4, 4))
    assert_close(y, torch.tensor([-4.0, -2.0, 0.0, 2.0])[:, None].expand(4, 4))
    assert_close(far_x, x.abs())
    assert_close(far_y, y.abs())
    expected = torch.zeros(4, 4)
    expected[2, 1:3] = 1
    assert torch.equal(inside, expected)


def test_distances_from_a_tiny_box_are_cut_and_finite() -> None:
    maps = box_maps(torch.tensor([[0.5, 0.5, 0.5, 0.5], [-3.0, 2.0, -2.0, 3.0]]), 8)
    assert bool(maps.isfinite().all())
    assert float(maps.max()) == 4.0
    assert float(maps[0, 0].sum()) == float(maps[1, 0].sum()) == 0.0


def test_every_cell_has_a_position_of_its_own() -> None:
    for width in (16, 10):
        code = position_code(6, width, PIXELS)
        assert code.shape == (36, width)
        assert float((torch.cdist(code, code) + torch.eye(36)).min()) > 0.05
    assert_close(position_code(3, 8, PIXELS)[0], torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 20}, "width\n.*multiple of 8"),
        ({"fine_width": 12}, "fine_width\n.*multiple of 8"),
        ({"width": 16, "heads": 6}, "heads 6 do not divide width 16"),
        ({"input_size": 100}, "multiple of 32"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SmallSegmenterConfig.model_validate(settings)
