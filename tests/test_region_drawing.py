"""Pictures of described regions."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skycue.data.mask_crops import MaskCrop
from skycue.region_drawing import DrawnPhrase, draw_region, phrase_colour

CAPTION = "a white ship for $5_000 beside two cranes, in the harbor."
GREY = np.full((3, 80, 160), 128, np.uint8)
BOX = (100.0, 20.0, 140.0, 60.0)


def mask(x_min: int, y_min: int, x_max: int, y_max: int) -> MaskCrop:
    filled = np.zeros((80, 160), dtype=np.bool_)
    filled[y_min:y_max, x_min:x_max] = True
    return MaskCrop.of(filled)


PHRASES = (
    DrawnPhrase((0, 12), mask(10, 10, 60, 60), "0.97"),
    DrawnPhrase((31, 41), None),
)


def picture(content: bytes) -> NDArray[np.int64]:
    """Decode a PNG, [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.int64)


def rgb(colour: str) -> NDArray[np.int64]:
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)])


def test_a_mask_is_tinted_in_the_colour_of_its_phrase_and_the_rest_is_not() -> None:
    drawn = picture(draw_region(GREY, BOX, CAPTION, PHRASES))
    scale = drawn.shape[1] / 160
    inside = drawn[int(35 * scale), int(35 * scale)]
    np.testing.assert_allclose(inside, 0.55 * 128 + 0.45 * rgb(phrase_colour(0)), atol=1)
    np.testing.assert_allclose(drawn[int(70 * scale), int(80 * scale)], 128, atol=1)


def test_the_caption_below_shows_each_phrase_in_its_colour() -> None:
    drawn = picture(draw_region(GREY, BOX, CAPTION, PHRASES))
    text = drawn[int(80 * drawn.shape[1] / 160) + 2 :]
    for number in (0, 1):
        gap = np.abs(text - rgb(phrase_colour(number))).sum(axis=2)
        assert (gap < 12).sum() > 50
    third = np.abs(text - rgb(phrase_colour(2))).sum(axis=2)
    assert (third < 12).sum() == 0


def test_the_box_is_dashed_black_and_white() -> None:
    drawn = picture(draw_region(GREY, BOX, "", ()))
    scale = drawn.shape[1] / 160
    rows = slice(int(20 * scale) - 3, int(20 * scale) + 3)
    edge = drawn[rows, int(102 * scale) : int(138 * scale)].sum(axis=2)
    assert edge.min() < 150
    assert edge.max() > 600


def test_equal_input_gives_equal_bytes() -> None:
    first = draw_region(GREY, BOX, CAPTION, PHRASES)
    assert first == draw_region(GREY, BOX, CAPTION, PHRASES)


def test_a_long_caption_is_broken_into_more_lines() -> None:
    short = picture(draw_region(GREY, BOX, "a ship", ()))
    long = picture(draw_region(GREY, BOX, "a ship beside " * 30, ()))
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0] + 100


def test_a_large_image_is_thinned_out_and_keeps_its_places() -> None:
    large = np.full((3, 3000, 100), 128, np.uint8)
    whole = np.zeros((3000, 100), dtype=np.bool_)
    whole[1500:] = True
    drawn = picture(
        draw_region(large, (0, 0, 100, 3000), "half", [DrawnPhrase((0, 4), MaskCrop.of(whole))])
    )
    middle = drawn.shape[1] // 2
    np.testing.assert_allclose(drawn[200, middle], 128, atol=1)
    np.testing.assert_allclose(
        drawn[600, middle], 0.55 * 128 + 0.45 * rgb(phrase_colour(0)), atol=1
    )
