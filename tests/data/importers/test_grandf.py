"""GranD-f: small files in the three layouts of the published ones."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.data.importers.grandf import import_grandf, read_grandf
from skycue.data.rle import encode_mask
from skycue.errors import DatasetError, RecordError

CAPTION = "A man rides a horse. Two dogs run behind them."


def rle(x: int, y: int, side: int = 10) -> dict[str, object]:
    """A square in an image of 100 x 120 pixels, as COCO writes it."""
    mask = np.zeros((100, 120), dtype=np.bool_)
    mask[y : y + side, x : x + side] = True
    coded = encode_mask(mask)
    return {"size": list(coded.size), "counts": coded.counts}


def grounded(**changed: object) -> dict[str, object]:
    """An item of the human-annotated part; spans count from the caption without its quotes."""
    return {
        "file_name": "a.jpg",
        "caption": f'"{CAPTION}"',
        "groundings": {
            "Two dogs": {"token_positives": [21, 29], "rle_masks": [rle(0, 80), rle(5, 80)]},
            "a horse": {"token_positives": [12, 19], "rle_masks": [rle(40, 40, 30)]},
            "A man": {"token_positives": [0, 5], "rle_masks": [rle(45, 20, 20)]},
        },
        **changed,
    }


def write(tmp_path: Path, content: object) -> Path:
    """Write an annotation file."""
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_groundings_become_boxes_with_their_sentence_in_the_order_of_the_text(
    tmp_path: Path,
) -> None:
    man, horse, dogs = import_grandf(write(tmp_path, [grounded()]))
    assert man.caption == horse.caption == "A man rides a horse."
    assert dogs.caption == "Two dogs run behind them."
    assert [man.words(phrase) for phrase in man.phrases] == ["A man", "a horse"]
    assert (man.prompted, horse.prompted, dogs.prompted) == (0, 1, 0)
    assert man.box == (45.0, 20.0, 65.0, 40.0)
    assert dogs.size == (100, 120)


def test_several_masks_of_a_phrase_count_each_pixel_once(tmp_path: Path) -> None:
    dogs = list(import_grandf(write(tmp_path, [grounded()])))[2]
    assert len(dogs.phrases[0].masks) == 2
    assert np.count_nonzero(dogs.phrases[0].mask()) == 150  # 100 + 100 - 50 that both cover
    assert dogs.box == (0.0, 80.0, 15.0, 90.0)


def test_full_mode_keeps_the_whole_caption(tmp_path: Path) -> None:
    records = list(import_grandf(write(tmp_path, [grounded()]), mode="full"))
    assert {record.caption for record in records} == {CAPTION}
    assert [record.prompted for record in records] == [0, 1, 2]


def test_run_lengths_may_stand_as_numbers(tmp_path: Path) -> None:
    plain = {"size": [100, 120], "counts": [0, 300, 11700]}
    groundings = {"A man": {"token_positives": [0, 5], "rle_masks": [plain]}}
    (record,) = import_grandf(write(tmp_path, [grounded(groundings=groundings)]))
    assert record.box == (0.0, 0.0, 3.0, 100.0)


def test_overlapping_phrases_are_trimmed_and_covered_ones_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groundings = {
        "A man rides": {"token_positives": [0, 11], "rle_masks": [rle(0, 0)]},
        "rides a horse": {"token_positives": [6, 19], "rle_masks": [rle(20, 0)]},
        "rides": {"token_positives": [6, 11], "rle_masks": [rle(40, 0)]},
    }
    with caplog.at_level(logging.WARNING):
        (caption,) = read_grandf(write(tmp_path, [grounded(groundings=groundings)]))
    words = [caption.text[phrase.start : phrase.end] for phrase in caption.phrases]
    assert words == ["A man rides", "a horse"]
    assert "words 6 to 11 are another phrase's: left out" in caplog.text


def test_flickr_objects_of_one_span_are_one_phrase(tmp_path: Path) -> None:
    image = {"id": 3, "file_name": "b.jpg", "height": 100, "width": 120, "caption": CAPTION}
    spans = [[[21, 29]], [[0, 5], [12, 19]], [[21, 29]], [[12, 19]]]
    annotations: list[dict[str, object]] = [
        {"image_id": 3, "bbox": [0, 0, 9, 9], "tokens_positive": span, "sam_mask": rle(20 * n, 0)}
        for n, span in enumerate(spans)
    ]
    annotations[3]["ignore"] = True
    content = {"images": [image], "annotations": annotations}
    (caption,) = read_grandf(write(tmp_path, content))
    found = [(caption.text[p.start : p.end], len(p.masks)) for p in caption.phrases]
    assert found == [("A man", 1), ("Two dogs", 2)]


def test_referring_sentences_are_found_in_the_caption(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("RGB", (120, 100)).save(tmp_path / "c.jpg")
    square = [10.0, 10.0, 30.0, 10.0, 30.0, 30.0, 10.0, 30.0]
    refs = [
        {"sentence": "two Dogs", "segmentation": [square]},
        {"sentence": "a cat", "segmentation": [square]},
    ]
    item = {"17": {"img_file_name": "c.jpg", "caption": CAPTION, "refs": refs}}
    path = write(tmp_path, [item])
    with caplog.at_level(logging.WARNING):
        (record,) = import_grandf(path, tmp_path)
    assert record.words(record.phrases[0]) == "Two dogs"
    assert record.box == (10.0, 10.0, 30.0, 30.0)
    assert "'a cat' is not in the caption: left out" in caplog.text
    with pytest.raises(DatasetError, match=r"item 0 does not tell the size of c\.jpg"):
        list(import_grandf(path))


def grounding(span: list[int], *masks: dict[str, object]) -> dict[str, object]:
    """The groundings of an item with one phrase."""
    return {"groundings": {"x": {"token_positives": span, "rle_masks": list(masks)}}}


OTHER_SIZE: dict[str, object] = {"size": [10, 12], "counts": [120]}


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (grounding([0, 50], rle(0, 0)), RecordError, "words 0 to 50 are no part of a caption"),
        (grounding([0, 5]), DatasetError, r"item 0: groundings\.x\.rle_masks: List should have"),
        (grounding([0, 5], rle(0, 0), OTHER_SIZE), RecordError, r"'A man' has a mask of \(10, 12"),
        (grounding([0, 5], {**OTHER_SIZE, "counts": [4]}), DatasetError, "do not fill 10 x 12"),
        (grounding([0, 5], {**OTHER_SIZE, "counts": "4"}), DatasetError, "do not fill 10 x 12"),
        ({"groundings": {}}, DatasetError, "groundings: none"),
        ({"file_name": None}, DatasetError, "item 0: file_name: Input should be a valid string"),
    ],
)
def test_what_is_wrong_is_told_with_the_item(
    changed: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        list(import_grandf(write(tmp_path, [grounded(**changed)])))


@pytest.mark.parametrize("content", [[], {}, [1], [{"a": 1, "b": 2}], "text"])
def test_other_layouts_are_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no layout of GranD-f|neither 'groundings' nor"):
        read_grandf(write(tmp_path, content))
