"""Cutting captions to sentences, and telling which masks make a box."""

import numpy as np
import pytest

from skycue.data.importers.outlined_caption import (
    count_parts,
    prompt_box,
    sentence_around,
    trim_spans,
)
from skycue.data.rle import encode_mask

TEXT = "One ship sails. A St. Mary ship waits! Is there a pier? No"


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        ("ship", "One ship sails."),
        ("A St. Mary ship", "A St. Mary ship waits!"),
        ("pier", "Is there a pier?"),
        ("No", "No"),
        ("sails. A", "One ship sails. A St. Mary ship waits!"),
    ],
)
def test_the_sentences_that_hold_a_phrase(words: str, sentences: str) -> None:
    start = TEXT.index(words)
    mary = TEXT.index("A St. Mary ship")
    spans = [(mary, mary + len("A St. Mary ship"))]
    kept = sentence_around(TEXT, start, start + len(words), spans)
    assert TEXT[kept] == sentences


def test_spans_are_trimmed_behind_earlier_ones() -> None:
    assert trim_spans([(0, 5), (3, 8), (4, 6), (9, 10)]) == [(0, 5), (5, 8), (8, 8), (9, 10)]
    assert trim_spans([]) == []


def test_parts_touch_at_corners() -> None:
    mask = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=np.bool_)
    assert count_parts(mask) == 3


@pytest.mark.parametrize(("parts", "width"), [(5, 9), (6, 9)])
def test_more_than_five_parts_make_no_box(parts: int, width: int) -> None:
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[3, : 2 * parts : 2] = True
    box = prompt_box([encode_mask(mask)], (20, 20))
    assert box == ((0.0, 3.0, float(width), 4.0) if parts == 5 else None)


@pytest.mark.parametrize(("rows", "is_prompt"), [(12, True), (13, False)])
def test_a_box_of_more_than_three_fifths_is_no_prompt(rows: int, is_prompt: bool) -> None:
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[:rows] = True
    assert (prompt_box([encode_mask(mask)], (20, 20)) is not None) == is_prompt


def test_an_empty_mask_makes_no_box() -> None:
    assert prompt_box([encode_mask(np.zeros((4, 4), dtype=np.bool_))], (4, 4)) is None
