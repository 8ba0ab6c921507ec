"""Masks named by a scene classifier."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from skycue.data.images import read_pixels
from skycue.region_naming import crop_around, name_masks
from tests.made_up_describer import answer_to


class Brightness:
    """Names tiles by how bright they are."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def predict(self, images: Sequence[Path]) -> list[dict[str, float]]:
        rows = []
        for path in images:
            pixels = read_pixels(path)
            self.sizes.append(pixels.shape)
            share = float(pixels.mean()) / 255
            rows.append({"dark": 1 - share, "bright": share})
        return rows


@pytest.mark.parametrize(
    ("box", "crop"),
    [
        ((40.0, 40.0, 60.0, 50.0), (35, 30, 65, 60)),  # 1.5 * 20 = 30 around (50, 45)
        ((0.0, 0.0, 20.0, 10.0), (0, 0, 30, 30)),  # moved into the image
        ((195.0, 95.0, 200.0, 100.0), (192, 92, 200, 100)),  # a tile has 8 pixels at least
        ((0.0, 0.0, 200.0, 100.0), (0, 0, 200, 100)),  # no wider than the image
    ],
)
def test_the_crop_is_a_square_in_the_image(
    box: tuple[float, float, float, float], crop: tuple[int, int, int, int]
) -> None:
    assert crop_around(box, (100, 200)) == crop


def test_a_crop_of_a_long_image_is_no_longer_than_tiles_may_be() -> None:
    x_min, _, x_max, _ = crop_around((0.0, 0.0, 1000.0, 20.0), (20, 1000))
    assert (x_min, x_max) == (460, 540)  # 4 * 20 pixels in the middle


def test_each_mask_has_the_class_of_its_surroundings_beside_the_model_s_phrase() -> None:
    pixels = np.full((3, 60, 90), 51, np.uint8)
    pixels[:, :, 45:] = 204
    answers = [answer_to((x, 20.0, x + 8.0, 28.0), (60, 90)) for x in (10.0, 70.0)]
    namer = Brightness()
    left, right = name_masks(answers, pixels, namer)
    assert [(p.class_name, p.class_score) for p in left.phrases] == [
        ("dark", pytest.approx(0.8)),
        ("dark", pytest.approx(0.8)),
        (None, None),
    ]
    assert [p.class_name for p in right.phrases] == ["bright", "bright", None]
    assert [p.text for p in left.phrases] == ["a bright tank", "a road", "a cloud"]
    assert namer.sizes == [(12, 12, 3)] * 4


def test_nothing_to_name_asks_nobody() -> None:
    assert name_masks([], np.zeros((3, 9, 9), np.uint8), Brightness()) == []
