"""Recall of phrases with the published quirks and without, look-alikes, and what captions claim."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from skycue.data.instances import Instance, InstanceImage
from skycue.data.region_captions import caption_region
from skycue.data.rle import Rle, encode_mask
from skycue.metrics.grounding import (
    GroundedTexts,
    glamm_recall,
    is_confused,
    look_alikes_of,
    mask_recall,
    named_class,
    relation_truths,
)
from skycue.metrics.masks import ImageMasks

SIZE = (4, 20)
EMPTY = encode_mask(np.zeros(SIZE, dtype=np.bool_))


def strip(start: int, end: int) -> Rle:
    mask = np.zeros(SIZE, dtype=np.bool_)
    mask[0, start:end] = True
    return encode_mask(mask)


def same_words(first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
    """Texts are alike if they are equal."""
    return np.array([[float(a == b) for b in second] for a in first])


def answer(predicted: dict[str, Rle], true: dict[str, Rle]) -> GroundedTexts:
    masks = ImageMasks(tuple(predicted.values()), (1.0,) * len(predicted), tuple(true.values()))
    return GroundedTexts(masks, tuple(predicted), tuple(true))


def test_a_phrase_is_found_by_its_mask_and_its_text() -> None:
    answers = [
        answer({"ship": strip(0, 4), "tank": strip(10, 14)}, {"ship": strip(0, 5)}),
        answer({"ship": strip(0, 1)}, {"ship": strip(0, 5), "car": strip(8, 9)}),  # IoU of 0.2
    ]
    assert glamm_recall(answers, same_words) == (1, 3)
    assert mask_recall(answers, same_words) == (1, 3)
    assert mask_recall(answers, same_words).value == pytest.approx(1 / 3)


def test_a_wrong_text_on_the_best_mask_ends_a_published_image_only() -> None:
    predicted = {"harbor": strip(0, 4), "tank": strip(10, 13)}
    answers = [answer(predicted, {"ship": strip(0, 4), "tank": strip(10, 14)})]
    assert glamm_recall(answers, same_words) == (0, 2)
    assert mask_recall(answers, same_words) == (1, 2)


def test_the_next_best_mask_is_tried_where_the_best_has_the_wrong_text() -> None:
    predicted = {"harbor": strip(0, 10), "ship": strip(0, 8)}
    answers = [answer(predicted, {"ship": strip(0, 10)})]
    assert glamm_recall(answers, same_words) == (0, 1)
    assert mask_recall(answers, same_words) == (1, 1)


def test_pairs_are_chosen_so_that_most_phrases_are_found() -> None:
    true = {"ship": strip(0, 10), "boat": strip(0, 6)}
    masks = ImageMasks((strip(0, 9), strip(0, 12)), (1.0, 1.0), tuple(true.values()))
    answers = [GroundedTexts(masks, ("a", "b"), tuple(true))]

    def any_words(first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        return np.ones((len(first), len(second)))

    assert glamm_recall(answers, any_words) == (2, 2)  # 0.9, then 6 / 12 = 0.5: just enough
    narrow = masks._replace(predicted=(strip(0, 9), strip(0, 14)))
    answers = [GroundedTexts(narrow, ("a", "b"), tuple(true))]
    # Greedily 0.9, and 6 / 14 is too little; the other way 10 / 14 and 6 / 9 are enough.
    assert glamm_recall(answers, any_words) == (1, 2)
    assert mask_recall(answers, any_words) == (2, 2)


def test_a_mask_without_a_phrase_loses_the_published_image_but_not_its_count() -> None:
    masks = ImageMasks((strip(0, 4), strip(6, 9)), (1.0, 1.0), (strip(0, 4),))
    answers = [GroundedTexts(masks, ("ship",), ("ship",))]
    assert glamm_recall(answers, same_words) == (0, 1)
    assert mask_recall(answers, same_words) == (1, 1)


def test_two_empty_masks_are_a_published_pair_and_no_corrected_one() -> None:
    answers = [answer({"ship": EMPTY}, {"ship": EMPTY})]
    assert glamm_recall(answers, same_words) == (1, 1)
    assert mask_recall(answers, same_words) == (0, 0)
    assert math.isnan(mask_recall(answers, same_words).value)


def test_an_answer_without_phrases_finds_nothing() -> None:
    answers = [answer({}, {"ship": strip(0, 4)}), answer({"ship": strip(0, 4)}, {})]
    assert glamm_recall(answers, same_words) == mask_recall(answers, same_words) == (0, 1)


def test_a_look_alike_is_of_the_same_class_and_within_three_widths() -> None:
    boxes = [
        (10.0, 10.0, 20.0, 14.0),  # centre (15, 12), longer side 10
        (40.0, 10.0, 50.0, 14.0),  # 30 away: just near
        (41.0, 10.0, 51.0, 14.0),  # 31 away
        (21.0, 10.0, 31.0, 14.0),  # near, another class
    ]
    assert look_alikes_of(boxes, ["ship", "ship", "ship", "tank"], 0) == [1]
    assert look_alikes_of(boxes, ["ship", "ship", "ship", "tank"], 3) == []


def test_a_mask_is_confused_where_a_look_alike_has_more_of_it() -> None:
    target, other = strip(0, 4), strip(6, 10)
    assert not is_confused(strip(0, 8), target, [other])
    assert is_confused(strip(3, 9), target, [other])
    assert not is_confused(EMPTY, target, [other])
    assert not is_confused(strip(0, 4), target, [])


def test_the_class_is_read_from_a_phrase() -> None:
    assert named_class("A relatively large storage tank") == "storage tank"
    assert named_class("an airplane") == "airplane"
    assert named_class("tank tank tank") is None
    assert named_class("") is None


def harbor() -> InstanceImage:
    """Three ships in a row with a tank above the middle one."""
    block = np.ones((10, 10), dtype=np.bool_)
    ships = tuple(Instance("ship", (x, 60), block) for x in (40, 60, 80))
    return InstanceImage("a.png", (100, 200), (*ships, Instance("storage tank", (60, 40), block)))


def test_what_the_rules_write_is_true() -> None:
    image = harbor()
    for index in range(4):
        truths = relation_truths(caption_region(image, index).text, image, index)
        assert truths
        assert all(truths)


def test_false_and_unread_sentences_are_counted_as_false() -> None:
    caption = "It is below a storage tank. It is above a storage tank. Ships ships it."
    assert relation_truths(caption, harbor(), 1) == [True, False, False]
