"""Pictures: readable PNG files whose pixels show what was asked for."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from skycue.drawing import (
    ShotPoint,
    Tile,
    draw_accuracy_against_shots,
    draw_confusion,
    draw_contact_sheet,
)

RED = np.zeros((3, 20, 20), dtype=np.uint8)
RED[0] = 255
CONFUSION = np.array([[5, 1], [0, 4]])


def pixels_of(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)  # [H, W, 3]


def test_contact_sheet_shows_the_tile_itself() -> None:
    sheet = pixels_of(draw_contact_sheet([Tile(RED, "harbor", 0.9)]))
    is_red = (sheet[..., 0] > 250) & (sheet[..., 1] < 5) & (sheet[..., 2] < 5)
    assert is_red.mean() > 0.3


def test_right_and_wrong_tiles_have_headings_of_other_colours() -> None:
    right = pixels_of(draw_contact_sheet([Tile(RED, "harbor", 0.9, "harbor")]))
    wrong = pixels_of(draw_contact_sheet([Tile(RED, "harbor", 0.9, "forest")]))
    assert (right[..., 1] - right[..., 0]).max() > 50  # some green
    assert (wrong[..., 1] - wrong[..., 0]).max() < 50  # none


def test_contact_sheet_grows_by_rows_and_stops_at_its_limit() -> None:
    tiles = [Tile(RED, "harbor", 0.5)] * 9
    few = pixels_of(draw_contact_sheet(tiles[:3], columns=3))
    all_of_them = pixels_of(draw_contact_sheet(tiles, columns=3))
    limited = pixels_of(draw_contact_sheet(tiles, columns=3, max_tiles=3))
    assert all_of_them.shape[0] > 2 * few.shape[0]
    assert limited.shape == few.shape


def test_diagonal_of_a_good_classifier_is_dark() -> None:
    good = pixels_of(draw_confusion(np.diag([9, 9, 9]), ["a", "b", "c"]))
    bad = pixels_of(draw_confusion(np.full((3, 3), 3), ["a", "b", "c"]))
    dark_blue = np.array([8, 48, 107])  # the end of matplotlib's "Blues"
    assert (np.abs(good - dark_blue).sum(-1) < 10).any()
    assert not (np.abs(bad - dark_blue).sum(-1) < 10).any()


def test_pictures_of_equal_input_are_equal_bytes() -> None:
    assert draw_confusion(CONFUSION, ["a", "b"]) == draw_confusion(CONFUSION, ["a", "b"])


def test_accuracy_against_shots_draws_levels_lines_and_missing_deviations() -> None:
    line = [ShotPoint(16, 80.0, 1.0), ShotPoint(1, 50.0, 2.0)]
    plain = draw_accuracy_against_shots({"CoOp": line}, "ucm")
    with_level = draw_accuracy_against_shots(
        {"CoOp": line, "zero-shot": [ShotPoint(0, 40.0, math.nan)]}, "ucm"
    )
    assert plain != with_level
    assert pixels_of(with_level).min() < 100
