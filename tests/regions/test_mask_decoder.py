"""The context-aware mask decoder on a segmenter that is a dot product."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.segmenter import MaskFeatures, MaskOutput, Segmenter
from skycue.regions.alignment import RelationPairs
from skycue.regions.mask_decoder import ContextAwareMaskDecoder, MaskDecoderConfig, View

R, D, DR = 2, 8, 5
CONTEXTS = ["no_edges", "no_prompt_node", "full"]


class DotSegmenter(Segmenter):
    """Names a mask by the dot product of query and map; the box lowers what lies outside."""

    width = query_width = D
    input_size = 16

    def encode(self, pixels: Tensor) -> MaskFeatures:
        return MaskFeatures(pixels)

    def decode(
        self, features: MaskFeatures, queries: Tensor, boxes: Tensor | None = None
    ) -> MaskOutput:
        logits = torch.einsum("bkd,bdhw->bkhw", queries, features.fine[0])
        if boxes is not None:
            logits = logits + boxes.sum(dim=-1)[:, None, None, None]
        return MaskOutput(logits, queries.mean(dim=-1).sigmoid())


SEGMENTER = DotSegmenter()


def build(context: str, *, trained: bool = True) -> ContextAwareMaskDecoder:
    torch.manual_seed(2)
    config = MaskDecoderConfig.model_validate({"context": context, "heads": 2})
    decoder = ContextAwareMaskDecoder(D, D, DR, config)
    if trained and decoder.relations is not None:
        torch.nn.init.normal_(decoder.relations.out.weight)
    return decoder


def draw(k: int) -> tuple[list[View], Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    views = []
    for side in (4, 6):
        coarse = torch.randn(R, D, side, side, generator=generator)
        fine = torch.randn(R, D, 2 * side, 2 * side, generator=generator)
        boxes = torch.tensor([[0.2, 0.3, 0.7, 0.8], [0.4, 0.4, 0.6, 0.5]])
        views.append(View(MaskFeatures(coarse, (fine,)), boxes))
    queries = torch.randn(R, k, D, generator=generator)
    regions = torch.randn(R, DR, generator=generator)
    return views, queries, torch.ones(R, k, dtype=torch.bool), regions


def said(regions: list[int], first: list[int], second: list[int]) -> RelationPairs:
    """Say something of pairs of phrases."""
    n = len(regions)
    states = torch.randn(n, DR, generator=torch.Generator().manual_seed(4))
    numbers = torch.tensor([regions, first, second, [0] * n], dtype=torch.int64)
    return RelationPairs(numbers[0], numbers[1], numbers[2], states, numbers[3])


def test_a_gate_changes_only_the_phrase_from_which_something_is_said() -> None:
    views, queries, mask, regions = draw(3)
    full, gated = build("full"), build("gated")
    missing = gated.load_state_dict(full.state_dict(), strict=False)
    assert missing.missing_keys == ["agreement.edge.weight", "agreement.text.weight"]
    assert missing.unexpected_keys == []
    plain = full(SEGMENTER, views, queries, mask, regions)
    silent = gated(SEGMENTER, views, queries, mask, regions, said([], [], []))
    assert_close(silent.queries, plain.queries)
    told = gated(SEGMENTER, views, queries, mask, regions, said([1], [0], [2]))
    changed = (told.queries - plain.queries).abs().amax(-1) > 1e-4  # [R, K]
    assert changed.tolist() == [[False, False, False], [True, False, False]]
    told.queries.sum().backward()
    assert gated.agreement is not None
    assert all(weight.grad is not None for weight in gated.agreement.parameters())


def test_without_context_each_view_is_decoded_once() -> None:
    views, queries, mask, regions = draw(3)
    decoded = build("off")(SEGMENTER, views, queries, mask, regions)
    assert decoded.coarse is None
    assert decoded.edges is None
    assert torch.equal(decoded.queries, queries)
    for view, output in zip(views, decoded.masks, strict=True):
        alone = SEGMENTER.decode(view.features, queries, view.boxes)
        assert torch.equal(output.logits, alone.logits)
        assert torch.equal(output.iou, alone.iou)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("k", [0, 1, 2, 6])
def test_at_the_start_masks_are_those_without_context(context: str, k: int) -> None:
    views, queries, mask, regions = draw(k)
    plain = build("off")(SEGMENTER, views, queries, mask, regions)
    decoded = build(context, trained=False)(SEGMENTER, views, queries, mask, regions)
    for with_context, without in zip(decoded.masks, plain.masks, strict=True):
        assert torch.equal(with_context.logits, without.logits)
    assert decoded.coarse is not None
    assert torch.equal(decoded.coarse.logits, plain.masks[-1].logits)
    assert (decoded.edges is None) == (context == "no_edges")


@pytest.mark.parametrize("context", CONTEXTS)
def test_permuted_phrases_give_permuted_masks(context: str) -> None:
    views, queries, mask, regions = draw(4)
    order = torch.tensor([3, 1, 0, 2])
    decoder = build(context)
    plain = decoder(SEGMENTER, views, queries, mask, regions)
    permuted = decoder(SEGMENTER, views, queries[:, order], mask, regions)
    for before, after in zip(plain.masks, permuted.masks, strict=True):
        assert_close(after.logits, before.logits[:, order], rtol=0, atol=1e-4)
        assert (before.logits - before.logits[:, order]).abs().max() > 0.1
    assert (plain.queries - queries).abs().max() > 0.1


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_padding_of_phrases_changes_no_mask(context: str, k: int) -> None:
    views, queries, mask, regions = draw(k)
    decoder = build(context)
    plain = decoder(SEGMENTER, views, queries, mask, regions)
    longer = torch.cat([queries, torch.full((R, 3, D), 9.0)], dim=1)
    known = torch.cat([mask, torch.zeros(R, 3, dtype=torch.bool)], dim=1)
    padded = decoder(SEGMENTER, views, longer, known, regions)
    for before, after in zip(plain.masks, padded.masks, strict=True):
        assert_close(after.logits[:, :k], before.logits, rtol=0, atol=1e-4)


def test_context_comes_from_the_last_view() -> None:
    views, queries, mask, regions = draw(2)
    decoder = build("full")
    plain = decoder(SEGMENTER, views, queries, mask, regions).queries
    near, wide = views
    other = torch.randn_like(near.features.coarse)
    swapped = near._replace(features=near.features._replace(coarse=other))
    assert torch.equal(decoder(SEGMENTER, [swapped, wide], queries, mask, regions).queries, plain)
    other = torch.randn_like(wide.features.coarse)
    swapped = wide._replace(features=wide.features._replace(coarse=other))
    moved = decoder(SEGMENTER, [near, swapped], queries, mask, regions).queries
    assert (moved - plain).abs().max() > 1e-3


def test_without_a_box_the_whole_view_is_the_prompt() -> None:
    views, queries, mask, regions = draw(2)
    decoder = build("full")
    unboxed = [view._replace(boxes=None) for view in views]
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * R)
    found = decoder(_BoxBlind(), unboxed, queries, mask, regions)
    boxed = [view._replace(boxes=whole) for view in views]
    expected = decoder(_BoxBlind(), boxed, queries, mask, regions)
    assert_close(found.queries, expected.queries)


class _BoxBlind(DotSegmenter):
    def decode(
        self, features: MaskFeatures, queries: Tensor, boxes: Tensor | None = None
    ) -> MaskOutput:
        return super().decode(features, queries)


def test_the_loss_of_the_masks_reaches_the_first_pass() -> None:
    views, queries, mask, regions = draw(2)
    queries.requires_grad_()
    decoded = build("full")(SEGMENTER, views, queries, mask, regions)
    decoded.masks[0].logits[:, 0].sum().backward()
    assert queries.grad is not None
    assert queries.grad[:, 1].abs().sum() > 0  # phrase 1 is context of phrase 0
