"""GeoPixelD: small files in the layout of the published ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.data.importers.geopixeld import (
    class_of_phrase,
    import_geopixeld,
    parse_tagged,
    read_geopixeld,
)
from skycue.data.rle import encode_mask
from skycue.errors import DatasetError, GroundedTextError, RecordError

DESCRIPTION = (
    "The scene shows a harbor. <p> A large ship-1 </p> [SEG] is moored at "
    "<p> the pier-2 </p> [SEG] . In the upper left, <p>many small vehicles</p>[SEG] are parked."
)
PLAIN = (
    "The scene shows a harbor. A large ship-1 is moored at the pier-2. In the upper left, many "
    "small vehicles are parked."
)


def square(x: int, y: int, side: int = 10) -> list[list[int]]:
    """The corners of a square."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


POLYGONS = [
    [square(100, 200, 40)],
    [square(300, 300), square(310, 300)],  # two polygons that touch: one part
    [square(20 * n, 20) for n in range(6)],  # six parts: no prompt
]


def tile(**changed: object) -> dict[str, object]:
    """The file of one tile."""
    return {
        "id": 7,
        "img": "P0001_0_800_0_800.png",
        "gcg_description": DESCRIPTION,
        "polygons": POLYGONS,
        **changed,
    }


def write(path: Path, content: object) -> Path:
    """Write a JSON file."""
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_tags_become_spans_of_plain_text() -> None:
    text, spans = parse_tagged(DESCRIPTION)
    assert text == PLAIN
    words = ["A large ship-1", "the pier-2", "many small vehicles"]
    assert [text[start:end] for start, end in spans] == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<p> ship </p> is", "tag <p> does not belong"),
        ("a ship [SEG]", r"tag \[SEG\] does not belong"),
        ("<p> a <p> ship </p> [SEG]", "tag <p> does not belong"),
        ("ship </p> [SEG]", "tag </p> does not belong"),
        ("<p> </p> [SEG]", "phrase 1 is empty"),
    ],
)
def test_broken_tags_are_refused(text: str, message: str) -> None:
    with pytest.raises(GroundedTextError, match=message):
        parse_tagged(text)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("tennis court-1", "tennis court"),
        ("The Large ship -12", "large ship"),
        ("an F-16", "f-16"),
        ("two bridges", "two bridges"),
    ],
)
def test_running_indices_and_articles_are_no_part_of_a_class(words: str, name: str) -> None:
    assert class_of_phrase(words) == name


def test_a_phrase_becomes_a_box_with_the_sentence_that_holds_it(tmp_path: Path) -> None:
    write(tmp_path / "tile.json", tile())
    ship, pier = import_geopixeld(tmp_path)
    assert ship.image == "P0001_0_800_0_800.png"
    assert ship.size == (800, 800)
    assert ship.box == (100.0, 200.0, 140.0, 240.0)
    assert ship.caption == "A large ship-1 is moored at the pier-2."
    assert [ship.words(phrase) for phrase in ship.phrases] == ["A large ship-1", "the pier-2"]
    assert [phrase.class_name for phrase in ship.phrases] == ["large ship", "pier"]
    assert (ship.prompted, pier.prompted) == (0, 1)
    assert pier.box == (300.0, 300.0, 320.0, 310.0)
    assert len(pier.phrases[1].masks) == 2
    assert np.count_nonzero(ship.phrases[0].mask()) == 1600


def test_full_mode_keeps_the_whole_description_with_what_is_no_prompt(tmp_path: Path) -> None:
    records = list(import_geopixeld(write(tmp_path / "tile.json", tile()), mode="full"))
    assert len(records) == 2
    for record in records:
        assert record.caption == PLAIN
        assert len(record.phrases) == 3
        assert len(record.phrases[2].masks) == 6


def test_a_box_of_most_of_the_tile_is_no_prompt(tmp_path: Path) -> None:
    polygons = [[square(0, 0, 625)], *POLYGONS[1:]]  # 0.61 of 800 x 800
    (record,) = import_geopixeld(write(tmp_path / "tile.json", tile(polygons=polygons)))
    assert record.prompted == 1
    assert len(record.phrases) == 2


def test_the_key_polygon_is_read_too(tmp_path: Path) -> None:
    content = tile(polygon=POLYGONS)
    del content["polygons"]
    path = write(tmp_path / "tile.json", content)
    assert len(list(import_geopixeld(path))) == 2


def test_the_training_list_points_to_files_or_holds_run_lengths(tmp_path: Path) -> None:
    write(tmp_path / "p.json", {"polygons": POLYGONS})
    talk = [{"from": "human", "value": "<image> Describe."}, {"from": "bot", "value": DESCRIPTION}]
    mask = np.zeros((600, 700), dtype=np.bool_)
    mask[5:9, 10:30] = True
    rle = json.loads(encode_mask(mask).model_dump_json())
    runs = {"size": [600, 700], "counts": [600 * 10 + 5, 4, 600 * 690 - 9]}
    items = [
        {"id": 1, "conversations": talk, "image": "a.png", "polygons": "p.json"},
        {"id": 2, "conversations": talk, "image": "b.png", "segmentation": [rle, runs, rle]},
    ]
    first, second = read_geopixeld(write(tmp_path / "train.json", items))
    assert first.text == second.text == PLAIN
    assert (first.size, second.size) == ((800, 800), (600, 700))
    assert [len(phrase.masks) for phrase in first.phrases] == [1, 2, 6]
    assert second.phrases[0].masks == (encode_mask(mask),)


def test_sizes_come_from_the_images_where_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "P0001_0_800_0_800.png")
    (caption,) = read_geopixeld(write(tmp_path / "tile.json", tile()), tmp_path)
    assert caption.size == (480, 640)


def test_polygons_without_area_leave_an_empty_mask(tmp_path: Path) -> None:
    polygons = [[[[1, 1], [2, 2]]], *POLYGONS[1:]]
    (record,) = import_geopixeld(write(tmp_path / "tile.json", tile(polygons=polygons)))
    assert not record.phrases[0].mask().any()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"polygons": POLYGONS[:2]}, RecordError, r"has 3 \[SEG\] and 2 masks"),
        ({"gcg_description": "a [SEG]"}, GroundedTextError, r"tile\.json: tag \[SEG\]"),
        ({"img": None}, DatasetError, "img: Input should be a valid string"),
        ({"polygons": [[square(790, 0, 40)]]}, DatasetError, r"polygons\.0 reaches outside"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(
    changed: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "tile.json", tile(**changed))
    with pytest.raises(error, match=message):
        list(import_geopixeld(path))


def test_items_without_outlines_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no tile's file"):
        list(import_geopixeld(tmp_path))
    talk = [{"from": "bot", "value": DESCRIPTION}]
    path = write(tmp_path / "train.json", [{"conversations": talk, "image": "a.png"}])
    with pytest.raises(DatasetError, match="item 0 has neither 'polygons'"):
        list(import_geopixeld(path))
