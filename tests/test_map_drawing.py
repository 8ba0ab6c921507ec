"""The quick look at a map of classes."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from skycue.map_drawing import ClassColour, class_colours, draw_class_map

NAMES = ["forest", "lake", "a $dear$ place"]
LABELS = np.array([[0, 0, 1], [0, -1, -1]], dtype=np.int16)


def shares_of(png: bytes, colours: list[ClassColour]) -> list[float]:
    """Return which share of a picture has each colour."""
    pixels: NDArray[np.uint8] = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    return [float((pixels == np.array(colour)).all(axis=-1).mean()) for colour in colours]


def test_cells_have_the_colours_of_their_classes() -> None:
    forest, lake, place = shares_of(draw_class_map(LABELS, NAMES), class_colours(3))
    assert forest > 2.5 * lake > 0.1
    assert place == 0  # neither on the map nor in the legend


def test_the_raster_shines_through_and_is_whole_where_no_class_is() -> None:
    red = np.zeros((3, 8, 12), dtype=np.uint8)
    red[0] = 200
    (kept,) = shares_of(draw_class_map(LABELS, NAMES, red), [ClassColour(200, 0, 0)])
    assert 0.1 < kept < 0.35  # two of six cells, beside a legend


def test_equal_maps_are_equal_files_and_large_ones_are_thinned() -> None:
    large = np.zeros((3000, 2), dtype=np.int16)
    assert draw_class_map(large, NAMES) == draw_class_map(large, NAMES)
    empty = draw_class_map(np.full((2, 2), -1, dtype=np.int16), NAMES)
    assert shares_of(empty, class_colours(3)) == [0, 0, 0]


@pytest.mark.parametrize("number", [1, 20, 21, 45])
def test_every_class_has_a_colour_of_its_own(number: int) -> None:
    assert len(set(class_colours(number))) == number
