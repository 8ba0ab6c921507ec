"""Pictures of comparisons: bars where methods cannot be told apart, equal bytes for equal input."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from skycue.comparison_drawing import (
    CostPoint,
    draw_critical_difference,
    draw_score_against_cost,
    label_heights,
)

BLUE, GREEN = np.array([31, 119, 180]), np.array([44, 160, 44])
"""Of matplotlib's cycle: C0 and C2."""
RANKS = {"coop": 1.2, "bimors": 2.0, "zero-shot": 2.8}
POINTS = [CostPoint("coop", 1.0, 80.0, 1.0), CostPoint("bimors", 100.0, 85.0, math.nan)]


def red_pixels(png: bytes) -> int:
    pixels = np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)  # [H, W, 3]
    return int((np.abs(pixels - np.array([214, 39, 40])).sum(-1) < 30).sum())  # matplotlib's C3


def test_bars_join_only_what_is_not_told_apart() -> None:
    assert red_pixels(draw_critical_difference(RANKS, 0.5)) == 0
    some = red_pixels(draw_critical_difference(RANKS, 1.0))
    assert red_pixels(draw_critical_difference(RANKS, 2.0)) > 0
    assert some > 0


def test_pictures_of_equal_input_are_equal_bytes() -> None:
    assert draw_critical_difference(RANKS, 1) == draw_critical_difference(RANKS, 1)
    panels = {"seconds": POINTS}
    assert draw_score_against_cost(panels, "H") == draw_score_against_cost(panels, "H")


def test_each_kind_of_cost_has_its_panel() -> None:
    one = Image.open(io.BytesIO(draw_score_against_cost({"seconds": POINTS}, "H")))
    two = Image.open(io.BytesIO(draw_score_against_cost({"s": POINTS, "ms": POINTS}, "H")))
    assert two.width == 2 * one.width
    assert two.height == one.height


def test_a_method_has_one_colour_in_all_panels() -> None:
    alone = [CostPoint("bimors", 100.0, 85.0, 3.0)]
    seen = []
    for extra in ([], [CostPoint(name, 100.0, 85.0, 3.0) for name in ("a", "b", "c")]):
        # With "a", "b", "c" known "bimors" is third of the names, matplotlib's C2, in both panels.
        png = draw_score_against_cost({"s": alone, "ms": [*alone, *extra]}, "H")
        pixels = np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        left = pixels[:, : pixels.shape[1] // 2]
        seen.append([int((np.abs(left - c).sum(-1) < 30).sum()) for c in (BLUE, GREEN)])
    (blue, no_green), (no_blue, green) = seen
    assert (no_green, no_blue) == (0, 0)
    assert min(blue, green) > 0


def test_the_eleventh_method_looks_unlike_the_first() -> None:
    many = [CostPoint(f"m{n:02}", 10.0, 50.0 + n, math.nan) for n in range(11)]
    pictures = []
    for place in (0, 10):
        # The same point under the same name; the others, out of sight behind it, give its number.
        shown = many[place]._replace(name="x", score=80.0)
        others = [point._replace(name="a" + point.name, score=80.0) for point in many[:place]]
        pictures.append(draw_score_against_cost({"s": [shown], "ms": [*others, shown]}, "H"))
    left = [np.array(Image.open(io.BytesIO(png)).convert("RGB")) for png in pictures]
    half = left[0].shape[1] // 2
    assert not np.array_equal(left[0][:, :half], left[1][:, :half])


def test_names_move_up_until_none_lies_on_another() -> None:
    alone = [(0.0, 10.0), (200.0, 10.0)]
    assert label_heights(alone) == [10.0, 10.0]  # far from left to right
    crowd = [(0.0, 12.0), (5.0, 10.0), (9.0, 10.0), (3.0, 60.0)]
    heights = label_heights(crowd)
    assert heights == [27.0, 10.0, 18.5, 60.0]
    assert all(height >= at for height, (_, at) in zip(heights, crowd, strict=True))
