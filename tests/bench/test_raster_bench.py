"""The benchmark of boxes on rasters."""

import numpy as np
import pytest
from shapely import MultiPolygon, box

from bench import raster_boxes
from bench.raster_boxes import Target, Tile, boxes_of, quality_of, scattered
from bench.timing import Options
from skycue.answers import Answer, AnswerPhrase

ONCE = Options(threads=1, rounds=1)
SHIP = Target((2, 3, 6, 7), MultiPolygon([box(2, 3, 6, 7)]), "ship")
TILE = Tile(np.zeros((3, 9, 9), np.uint8), (100, 200), [SHIP, SHIP])


def answer(words: str) -> Answer:
    """Name what is in the box."""
    phrase = AnswerPhrase.of_mask(words, (0, len(words)), None, 0.5)
    return Answer("", (9, 9), SHIP.box, words, (phrase,), 0, (), "m", ())


def test_objects_are_boxes_of_the_raster() -> None:
    found = boxes_of([TILE, TILE._replace(corner=(0, 0))])
    assert [placed.id for placed in found] == ["0/0", "0/1", "1/0", "1/1"]
    assert [found[0].box, found[2].box] == [(102, 203, 106, 207), (2, 3, 6, 7)]


def test_quality_counts_names_and_overlaps_where_the_objects_lie() -> None:
    half = MultiPolygon([box(102, 203, 104, 207)])
    found = [(answer("A ship"), half), (answer("A vehicle"), None)]
    assert quality_of(found, [TILE]) == (0.5, 0.25)  # (8 of 16 pixels, and none) / 2


def test_blocks_are_scattered_without_meeting() -> None:
    corners = scattered(50, 8192)
    assert len(set(corners)) == 50
    assert all(x % 512 == y % 512 == 0 and max(x, y) + 512 <= 8192 for x, y in corners)


@pytest.mark.slow
def test_on_a_small_raster_answers_are_those_of_its_image() -> None:
    quality, rate, memory = raster_boxes.measure(ONCE, rows=1, sparse_side=4096)
    overlap = quality.detail.split("P-IoU ")[1:]
    assert overlap[0].split(";")[0] == overlap[1]
    assert "in 1 windows" in rate.question
    assert memory.met
