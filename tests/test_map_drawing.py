"""The quick look at a map of classes."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from PIL import Image

from skycue.geo.raster import RasterWindow
from skycue.map_drawing import ClassColour, class_colours, draw_class_map

NAMES = ["forest", "lake", "a $dear$ place"]
LABELS = np.array([[0, 0, 1], [0, -1, -1]], dtype=np.int16)
SIZE, STRIDE = (8, 12), 4
RED, WHITE = ClassColour(200, 0, 0), ClassColour(255, 255, 255)


def red(valid: NDArray[np.bool_] | None = None) -> RasterWindow:
    """Return a raster of `SIZE`, red all over."""
    pixels = np.broadcast_to(np.array(RED, dtype=np.uint8)[:, None, None], (3, *SIZE))
    return RasterWindow(pixels, np.ones(SIZE, np.bool_) if valid is None else valid, None)


def shares_of(png: bytes, colours: Sequence[ClassColour]) -> list[float]:
    """Return which share of a picture has each colour."""
    pixels: NDArray[np.uint8] = np.array(Image.open(io.BytesIO(png)).convert("RGB"))
    return [float((pixels == np.array(colour)).all(axis=-1).mean()) for colour in colours]


def test_cells_have_the_colours_of_their_classes() -> None:
    picture = draw_class_map(LABELS, NAMES, SIZE, STRIDE)
    forest, lake, place = shares_of(picture, class_colours(3))
    assert forest > 2.5 * lake > 0.1
    assert place == 0  # neither on the map nor in the legend
    own = [ClassColour(1, 2, 3), ClassColour(4, 5, 6), ClassColour(7, 8, 9)]
    picture = draw_class_map(LABELS, NAMES, SIZE, STRIDE, colours=own)
    assert_allclose(shares_of(picture, own), [forest, lake, 0], rtol=1e-3)


def test_the_raster_shines_through_and_is_whole_where_no_class_is() -> None:
    (kept,) = shares_of(draw_class_map(LABELS, NAMES, SIZE, STRIDE, backdrop=red()), [RED])
    assert 0.1 < kept < 0.35  # two of six cells, beside a legend


def test_cells_end_where_the_raster_ends_and_leave_out_what_it_does_not_hold() -> None:
    narrow = draw_class_map(LABELS, NAMES, (8, 9), STRIDE)  # a quarter of the last column
    forest, lake, _ = shares_of(narrow, class_colours(3))
    assert 9 < forest / lake < 15  # 48 pixels to 4, and two entries of a legend
    valid = np.zeros(SIZE, dtype=np.bool_)
    all_red = shares_of(draw_class_map(LABELS, NAMES, SIZE, STRIDE, backdrop=red(valid)), [RED])
    assert all_red == [0]
    valid[:, :4] = True  # the first column of cells, both of class 0
    (white,) = shares_of(draw_class_map(LABELS * 0, NAMES, SIZE, STRIDE, backdrop=red()), [WHITE])
    cut = draw_class_map(LABELS * 0, NAMES, SIZE, STRIDE, backdrop=red(valid))
    assert shares_of(cut, [WHITE])[0] > white + 0.3  # two thirds of what is drawn


def test_equal_maps_are_equal_files_and_large_ones_are_thinned() -> None:
    large = np.zeros((3000, 2), dtype=np.int16)
    size = (12_000, 8)
    once, again = (draw_class_map(large, NAMES, size, STRIDE) for _ in range(2))
    assert once == again
    empty = draw_class_map(np.full((2, 3), -1, dtype=np.int16), NAMES, SIZE, STRIDE)
    assert shares_of(empty, class_colours(3)) == [0, 0, 0]


@pytest.mark.parametrize("number", [1, 20, 21, 45])
def test_every_class_has_a_colour_of_its_own(number: int) -> None:
    assert len(set(class_colours(number))) == number
