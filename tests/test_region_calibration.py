"""Scores that are fitted to how often masks are right."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from skycue.answers import Answer, AnswerPhrase
from skycue.boxes import Box
from skycue.region_calibration import LEAST_MASKS, calibrate, fit_calibration, outlines_of
from skycue.region_describer import RegionDescriber
from skycue.region_images import RegionImages
from skycue.region_network import Calibration
from skycue.region_samples import Item, TrainImage
from tests.made_up_regions import HARBOR, PORT


def chance(curve: Calibration, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how often masks of a score are right."""
    logits = np.log(score / (1 - score))
    shares: NDArray[np.float64] = 1 / (1 + np.exp(-(curve.scale * logits + curve.bias)))
    return shares


@pytest.mark.parametrize("curve", [Calibration(scale=0.6, bias=1.2), Calibration(scale=2, bias=-1)])
def test_the_curve_that_made_the_data_is_found(curve: Calibration) -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(0.02, 0.98, 20000)
    right = rng.uniform(size=20000) < chance(curve, scores)
    fitted = fit_calibration(scores.tolist(), right.tolist())
    assert fitted.scale == pytest.approx(curve.scale, abs=0.08)
    assert fitted.bias == pytest.approx(curve.bias, abs=0.08)
    for low, high in ((0.1, 0.2), (0.4, 0.6), (0.8, 0.9)):  # as often right as it says
        some = (scores > low) & (scores < high)
        assert chance(fitted, scores[some]).mean() == pytest.approx(right[some].mean(), abs=0.03)


def test_scores_that_are_right_already_stay() -> None:
    rng = np.random.default_rng(2)
    scores = rng.uniform(0.02, 0.98, 20000)
    fitted = fit_calibration(scores.tolist(), (rng.uniform(size=20000) < scores).tolist())
    assert fitted.scale == pytest.approx(1.0, abs=0.05)
    assert fitted.bias == pytest.approx(0.0, abs=0.05)


def test_sure_scores_are_no_infinite_logits() -> None:
    fitted = fit_calibration([0.0, 1.0] * 20, [False, True] * 19 + [True, False])
    assert fitted.scale > 0
    assert np.isfinite(fitted.bias)


@pytest.mark.parametrize(
    "right", [[], [True, False] * (LEAST_MASKS // 2 - 1), [True] * 50, [False] * 50]
)
def test_too_little_to_fit_leaves_scores_raw(right: list[bool]) -> None:
    assert fit_calibration([0.5] * len(right), right) == Calibration()


class ScoringDescriber:
    """Answers each box with two phrases: a good mask, and one off by 8 of 10 pixels."""

    def __init__(self) -> None:
        self.good = [0.9, 0.8, 0.7, 0.6]

    def encode(self, pixels: NDArray[np.uint8]) -> "ScoringDescriber":
        assert pixels.shape == (3, 100, 200)
        return self

    def describe_all(self, boxes: Sequence[Box]) -> list[Answer]:
        return [self._answer(number, box) for number, box in enumerate(boxes)]

    def _answer(self, number: int, box: Box) -> Answer:
        masks = []
        for shift in (0, 8):
            x_min, y_min, x_max, y_max = (round(side) for side in box)
            mask = np.zeros((100, 200), dtype=np.bool_)
            mask[y_min + shift : y_max + shift, x_min:x_max] = True
            masks.append(mask)
        score = self.good[number % len(self.good)]
        phrases = [
            AnswerPhrase.of_mask("a ship", (0, 6), masks[0], score),
            AnswerPhrase.of_mask("a ship", (0, 6), masks[1], 1 - score),
            AnswerPhrase.of_mask("a ship", (0, 6), None, 0.99),  # no mask, so it tells nothing
        ]
        return Answer("", (100, 200), box, "a ship", tuple(phrases), 0, (), "made up", ())


def held_out(repeats: int) -> RegionImages:
    """Two outlined images without content, their objects as boxes, many times."""
    images = [
        TrainImage(outlines.image, np.zeros((100, 200, 3), dtype=np.uint8), outlines)
        for outlines in (HARBOR, PORT)
    ]
    items = [
        Item(number, instance)
        for number, image in enumerate(images)
        for instance in range(len(image.outlines.instances))
        for _ in range(repeats)
    ]
    return RegionImages(images, items, [])


def test_masks_are_right_where_they_overlap_the_outline_that_they_are_paired_with() -> None:
    describer = cast("RegionDescriber", ScoringDescriber())
    few = calibrate(describer, held_out(1))  # 6 boxes with 2 masks each
    assert few == Calibration()
    fitted = calibrate(describer, held_out(4))
    # good masks score above 0.5 and the others below: the curve tells them apart
    assert float(chance(fitted, np.array([0.6]))[0]) > 0.9
    assert float(chance(fitted, np.array([0.4]))[0]) < 0.1


def test_outlines_of_a_box_are_those_of_the_phrases_of_its_caption() -> None:
    images = held_out(1).images
    outlines = outlines_of(images[1], Item(1, 1))  # the ship at (150, 80), 14 pixels wide
    expected = PORT.instances[1].mask(PORT.size)
    assert any(np.array_equal(outline, expected) for outline in outlines)
    assert all(outline.shape == (100, 200) and outline.any() for outline in outlines)
