"""The benchmarks of the region wing compare what they should, at tiny size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import generation_cache, many_phrases, region_boxes, sam_boxes
from bench.__main__ import SCRIPTS
from bench.peak_memory import peaks, run_alone
from bench.timing import DifferentOutputsError, Options
from skycue.answers import Answer, AnswerPhrase
from skycue.data.mask_crops import MaskCrop

ONCE = Options(threads=1, rounds=1)
MEBIBYTE = 2**20
SMALL = (
    "model.segmenter.input_size=64",
    "model.language.hidden_size=32",
    "model.language.layers=1",
    "model.language.intermediate_size=32",
    "model.reasoner.max_tokens=12",
)


def hold(mebibytes: int) -> int:
    """Take memory and touch it."""
    return len(b"x" * (mebibytes * MEBIBYTE))


def answer() -> Answer:
    """A caption with one phrase that owns half of an image of 20 x 20 pixels."""
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[:10] = True
    phrase = AnswerPhrase.of_mask("a ship", (0, 6), mask, 0.5)
    box = (0.0, 0.0, 20.0, 10.0)
    return Answer("", (20, 20), box, "a ship", (phrase,), 0, (), "m", ())


@pytest.mark.parametrize(
    "script", ["region_boxes", "generation_cache", "many_phrases", "sam_boxes"]
)
def test_the_page_asks_the_questions_of_regions(script: str) -> None:
    assert script in SCRIPTS


def test_with_and_without_the_cache_the_same_tokens_come_and_no_answer_ends_early() -> None:
    (result,) = generation_cache.measure(ONCE, size="tiny", n_tokens=8)
    assert result.target == "at least 5x"
    write = generation_cache.writer("tiny", 10, 8)
    (ids,) = write(True).ids
    assert ids == write(False).ids[0]
    assert len(ids) == 8


def test_all_phrases_at_once_and_one_by_one_have_the_same_masks() -> None:
    result = many_phrases.measure(ONCE, network="tiny SAM")
    assert "outputs differ by" in result.detail
    logits, overlaps = many_phrases.decoder("tiny SAM", "one by one")()
    assert logits.shape == (16, 32, 32)
    assert overlaps.shape == (16,)


def test_our_sam_and_that_of_transformers_give_the_same_masks_of_boxes() -> None:
    [result] = sam_boxes.measure(ONCE, size="tiny", n_boxes=2)
    assert "outputs differ by" in result.detail
    ways = sam_boxes.Sides("tiny", 2)
    (logits, own), (_, other) = ways.ours(), ways.reference()
    assert own.shape == (2, 64, 64)
    assert np.array_equal(own, other)
    assert (logits[0] - logits[1]).abs().max() > 0.1  # the boxes do matter


def test_answers_are_alike_where_captions_masks_and_scores_are() -> None:
    one = answer()
    near = replace(one, phrases=(replace(one.phrases[0], score=0.50001),))
    assert region_boxes.compare([near], [one]) == pytest.approx(1e-5)


@pytest.mark.parametrize("what", ["caption", "mask", "score"])
def test_answers_that_differ_are_not_timed(what: str) -> None:
    one = answer()
    (phrase,) = one.phrases
    assert phrase.mask is not None
    other = {
        "caption": replace(one, caption="a boat"),
        "mask": replace(one, phrases=(replace(phrase, mask=MaskCrop.of(~phrase.mask.full())),)),
        "score": replace(one, phrases=(replace(phrase, score=0.6),)),
    }[what]
    with pytest.raises(DifferentOutputsError, match="box 0"):
        region_boxes.compare([other], [one])


def test_peaks_name_ours_first() -> None:
    result = peaks("all", {"ours": 1.5e9, "theirs": 2e9})
    assert (result.answer, result.detail) == ("1.50 GB", "ours: 1.50 GB; theirs: 2.00 GB")


@pytest.mark.slow
def test_the_peak_is_that_of_the_new_process_alone() -> None:
    kept = torch.ones(600 * MEBIBYTE, dtype=torch.uint8)
    (total, large), (_, small) = (run_alone(hold, size, options=ONCE) for size in (300, 1))
    assert total == 300 * MEBIBYTE
    assert 250 * MEBIBYTE < large - small < 350 * MEBIBYTE
    del kept


@pytest.mark.slow
def test_boxes_in_a_batch_are_answered_as_alone(tmp_path: Path) -> None:
    case = region_boxes.prepare(tmp_path, 256, SMALL)
    assert len(case.boxes) == 10
    further, batch, memory = region_boxes.measure_further(case, 256, ONCE)
    assert further.answer.endswith(" ms")
    assert "0.0 masks" not in further.detail  # there are masks to compare
    assert "same captions" in batch.detail
    assert memory.answer.endswith(" GB")
    times = region_boxes.first_box(case.model, case.image, case.boxes[0], "wall")
    assert min(times) > 0
