"""Answers to boxes and the forms that they are kept in."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from skycue.answers import AnswerJson, AnswerPhrase, find_flags, find_strays
from skycue.data.rle import decode_mask
from tests.made_up_describer import CAPTION, answer_to, filled

SIZE = (40, 60)
BOX = (10.0, 5.0, 30.0, 25.5)
ANSWER = replace(answer_to(BOX, SIZE), image="a.tif")


def test_a_phrase_has_the_tight_box_of_its_mask() -> None:
    phrase = AnswerPhrase.of_mask(CAPTION, (0, 13), filled(SIZE, (3, 4, 9, 6)), 0.5)
    assert (phrase.text, phrase.box) == ("a bright tank", (3.0, 4.0, 9.0, 6.0))
    assert AnswerPhrase.of_mask(CAPTION, (0, 13), np.zeros(SIZE, np.bool_), 0.5).box is None
    assert AnswerPhrase.of_mask(CAPTION, (0, 13), None, 0.5).box is None


def test_json_is_one_line_that_holds_everything() -> None:
    line = ANSWER.to_json()
    assert "\n" not in line
    read = AnswerJson.model_validate_json(line)
    assert (read.image, read.size, read.box, read.caption) == ("a.tif", SIZE, BOX, CAPTION)
    assert (read.prompted, read.windows, read.model) == (0, (BOX,), "fake")
    assert read.flags == ("phrase 2 'a cloud' has no mask",)
    assert [phrase.text for phrase in read.phrases] == ["a bright tank", "a road", "a cloud"]
    assert [CAPTION[slice(*phrase.span)] for phrase in read.phrases] == [
        phrase.text for phrase in read.phrases
    ]
    for phrase, kept in zip(ANSWER.phrases, read.phrases, strict=True):
        assert (kept.mask is None) == (phrase.mask is None)
        if kept.mask is not None and phrase.mask is not None:
            np.testing.assert_array_equal(decode_mask(kept.mask), phrase.mask.full())


def test_pycocotools_reads_the_masks_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = replace(ANSWER.phrases[0], class_name="storage tank", class_score=0.8)
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(replace(ANSWER, phrases=(named, *ANSWER.phrases[1:])).to_coco()))
    coco = COCO(path)
    assert "index created" in capsys.readouterr().out
    assert coco.imgs[1] == {"id": 1, "file_name": "a.tif", "width": 60, "height": 40}
    annotations: list[dict[str, Any]] = coco.loadAnns(coco.getAnnIds())
    assert len(annotations) == 2  # the cloud has no mask
    for phrase, entry in zip(ANSWER.phrases, annotations, strict=False):
        assert phrase.mask is not None
        np.testing.assert_array_equal(coco.annToMask(entry), phrase.mask.full())
        assert entry["area"] == np.count_nonzero(coco.annToMask(entry))
        assert (entry["phrase"], entry["score"]) == (phrase.text, phrase.score)
    assert annotations[0]["bbox"] == [10.0, 5.0, 20.0, 21.0]
    categories = {entry["id"]: entry["name"] for entry in coco.loadCats(coco.getCatIds())}
    assert [categories[entry["category_id"]] for entry in annotations] == ["storage tank", "region"]


@pytest.mark.parametrize(
    ("caption", "is_cut", "flags"),
    [
        ("a tank", False, ()),
        (" ", False, ("the caption is empty",)),
        ("a tank", True, ("the caption was cut at its longest length",)),
        ("a tank tank tank", False, ("the caption is degenerate: it repeats 'tank'",)),
        ("a tank, Tank.", False, ()),
        ("to the left " * 4, False, ("the caption is degenerate: it repeats 'to the left'",)),
        ("to the left " * 3, False, ()),
    ],
)
def test_a_doubtful_caption_is_flagged(caption: str, is_cut: bool, flags: tuple[str, ...]) -> None:
    phrase = AnswerPhrase.of_mask("a tank", (0, 6), np.ones((2, 2), np.bool_), 0.9)
    assert find_flags(caption, [phrase], is_cut=is_cut) == flags


def test_a_doubtful_phrase_is_flagged() -> None:
    empty = AnswerPhrase.of_mask("a tank", (0, 6), np.zeros((2, 2), np.bool_), 0.2)
    none = AnswerPhrase.of_mask("a tank", (1, 2), None, 0.2)
    assert find_flags("a tank", [empty, none]) == (
        "phrase 0 'a tank' has a mask without area",
        "phrase 1 has no words",
        "phrase 1 ' ' has no mask",
    )
    assert find_flags("a tank", []) == ("the caption has no phrase",)


def test_a_mask_beside_the_box_is_flagged() -> None:
    tank = AnswerPhrase.of_mask("a tank", (0, 6), filled(SIZE, (10, 10, 20, 20)), 0.9)
    bare = AnswerPhrase.of_mask("a tank", (0, 6), None, 0.2)
    assert find_strays([tank], 0, (8.5, 8.5, 21.0, 21.0)) == ()
    assert find_strays([tank], 0, (10.0, 10.0, 20.0, 15.0)) == ()  # half of it
    assert find_strays([bare, tank], 1, (0.0, 0.0, 20.0, 14.0)) == (
        "phrase 1 'a tank' meets the box but lies mostly outside of it",
    )
    assert find_strays([tank], None, (40.0, 30.0, 50.0, 35.0)) == ("no mask meets the box",)
    assert find_strays([bare], None, (40.0, 30.0, 50.0, 35.0)) == ()
