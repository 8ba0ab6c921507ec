"""What a small segmenter learns without language, against plain loops."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skycue.backbones.segmenter import MaskFeatures
from skycue.backbones.small_segmenter import SmallSegmenter, SmallSegmenterConfig
from skycue.region_pretraining import MaskPretraining, _inside
from tests.tiny_regions import CLASSES, samples_of

ITEMS = ((0, 0), (0, 2), (1, 1))
SEGMENTER = SmallSegmenterConfig(input_size=32, width=16, fine_width=8, layers=1, heads=2)


@cache
def build() -> MaskPretraining:
    torch.manual_seed(3)
    return MaskPretraining(SmallSegmenter(SEGMENTER), len(CLASSES))


def terms_of(items: tuple[tuple[int, int], ...]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = build()(samples_of(*items))
    return found


def test_the_terms_are_those_of_loops_over_samples_and_windows() -> None:
    samples, pretraining = samples_of(*ITEMS), build()
    bce = dice = iou = 0.0
    for sample in samples:
        for view, out in enumerate(pretraining.masks([sample])):
            logits = F.interpolate(out.logits, size=(16, 16), mode="bilinear")[0, 0].double()
            wanted = sample.masks[0, view].double() / 255
            shares = logits.sigmoid()
            bce -= (wanted * shares.log() + (1 - wanted) * (1 - shares).log()).mean().item()
            common = (shares * wanted).sum().item()
            dice += 1 - (2 * common + 1) / ((shares.sum() + wanted.sum()).item() + 1)
            found = (logits > 0).double()
            union = torch.maximum(found, wanted).sum().clamp(min=1)
            iou += (out.iou[0, 0].item() - ((found * wanted).sum() / union).item()) ** 2
    windows = 2 * len(samples)
    terms = terms_of(ITEMS)
    assert terms["bce"].item() == pytest.approx(2 * bce / windows, rel=1e-4)
    assert terms["dice"].item() == pytest.approx(0.5 * dice / windows, rel=1e-4)
    assert terms["iou"].item() == pytest.approx(0.5 * iou / windows, rel=1e-4)


def test_cells_and_boxes_are_named() -> None:
    samples, pretraining = samples_of(*ITEMS), build()
    cells = boxes = 0.0
    with torch.no_grad():
        for sample in samples:
            features = pretraining.segmenter.encode(sample.pixels.float() / 255)
            named = pretraining.name_cells(features.fine[-1]).log_softmax(1)  # [V, classes, 8, 8]
            for view in range(2):
                for i in range(8):
                    for j in range(8):
                        label = int(sample.classes[view, 2 * i, 2 * j])
                        cells -= named[view, label, i, j].item() / 64
                inside = _inside(features, sample.boxes)[view]
                boxes -= pretraining.name_box(inside).log_softmax(-1)[sample.target].item()
    terms = terms_of(ITEMS)
    assert terms["cells"].item() == pytest.approx(0.5 * cells / 6, rel=1e-4)
    assert terms["class"].item() == pytest.approx(0.2 * boxes / 6, rel=1e-4)


def test_the_mean_inside_a_box_weighs_cells_by_their_share() -> None:
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    features = MaskFeatures(coarse, ())
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert _inside(features, boxes).item() == pytest.approx(2.5)
    assert _inside(features, torch.tensor([[0.5, 0.0, 1.0, 0.5]])).item() == pytest.approx(2.0)
    # A quarter of the upper left cell and half of the upper right one, of each height alike.
    box = torch.tensor([[0.375, 0.0, 0.75, 0.25]])
    assert _inside(features, box).item() == pytest.approx((0.25 * 1 + 0.5 * 2) / 0.75)
    # What lies outside of the window is not looked at.
    outside = torch.tensor([[-3.0, -3.0, 0.5, 0.5]])
    assert _inside(features, outside).item() == pytest.approx(1.0)


def test_masks_come_view_by_view() -> None:
    one, two = samples_of((0, 0)), samples_of((0, 0), (1, 1))
    alone, together = build().masks(one), build().masks(two)
    assert len(together) == 2
    for single, both in zip(alone, together, strict=True):
        assert both.logits.shape == (2, 1, 8, 8)
        torch.testing.assert_close(both.logits[:1], single.logits, rtol=1e-4, atol=1e-5)


def test_the_prompted_phrase_is_learned_wherever_it_stands() -> None:
    (sample,) = samples_of((0, 0))
    last = len(sample.masks) - 1
    caption = sample.caption._replace(phrases=sample.caption.phrases[::-1], prompted=last)
    turned = sample._replace(masks=sample.masks.flip(0), caption=caption)
    terms, wanted = build()([turned]), build()([sample])
    assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in wanted.items()}


def test_the_query_and_both_layers_learn() -> None:
    pretraining = build()
    pretraining.zero_grad()
    torch.autograd.backward(torch.stack(list(terms_of(ITEMS).values())).sum())
    for parameter in (
        pretraining.query,
        pretraining.name_cells.weight,
        pretraining.name_box.weight,
    ):
        assert parameter.grad is not None
        assert parameter.grad.any()


def test_a_segmenter_that_finds_objects_learns_their_centres_on_every_window() -> None:
    torch.manual_seed(3)
    config = SEGMENTER.model_copy(update={"finds_objects": True})
    pretraining = MaskPretraining(SmallSegmenter(config), len(CLASSES))
    finder, samples = pretraining.segmenter.finder, samples_of(*ITEMS)
    assert finder is not None
    with torch.no_grad():
        terms = pretraining(samples)
        features = pretraining.segmenter.encode(
            torch.cat([s.pixels for s in samples]).float() / 255
        )
        windows = [sample.objects[view] for sample in samples for view in range(2)]
        wanted = 0.2 * finder.loss(features, windows).item()
    assert set(terms) == {*terms_of(ITEMS), "centres"}
    assert terms["centres"].item() == pytest.approx(wanted, rel=1e-4)
