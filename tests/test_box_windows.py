"""The choice of windows around boxes on rasters."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skycue.box_windows import (
    LEAST_SIDE,
    WHOLE_SIDE,
    ShownWindow,
    ViewNeeds,
    group_boxes,
    window_of,
)
from skycue.boxes import Box, PlacedBox
from skycue.data.region_geometry import place_of
from skycue.geo.tiles import PixelWindow

NEEDS = ViewNeeds.of_windows((1.6, 5.0), 192)
LARGE = (30_000, 50_000)


@st.composite
def boxes_inside(draw: st.DrawFn, size: tuple[int, int] = LARGE) -> Box:
    """Draw a box inside a raster, of any width from a pixel to all of it."""
    spans = []
    for length in (size[1], size[0]):
        extent = draw(st.floats(1, length))
        start = draw(st.floats(0, length - extent))
        spans.append((start, start + extent))
    (x_min, x_max), (y_min, y_max) = spans
    return (x_min, y_min, x_max, y_max)


def test_mini_sees_windows_of_2048_pixels() -> None:
    # a box is at least 3/40 of its window's side and 120 of 192 pixels of the narrow view:
    # 120 * 40 / 3 = 1600, and the next power of two is taken
    assert ViewNeeds(5.0, 2048) == NEEDS


@given(boxes_inside((700, 2048)))
def test_a_small_raster_is_shown_whole_as_it_is(box: Box) -> None:
    assert window_of(box, (700, 2048), NEEDS) == ((0, 0, 2048, 700), (700, 2048))


def test_a_small_box_has_a_window_of_1024_pixels_around_it() -> None:
    shown = window_of((20_000, 10_000, 20_030, 10_020), LARGE, NEEDS)
    # middle (20015, 10010); windows begin at multiples of 256: 19456 and 9472
    assert shown == (PixelWindow(19_456, 9_472, 1024, 1024), (1024, 1024))
    assert shown.scale == 1
    assert shown.to_shown((20_000, 10_000, 20_030, 10_020)) == (544, 528, 574, 548)


def test_a_large_box_has_a_larger_window_that_is_shown_smaller() -> None:
    box = (20_000.0, 10_000.0, 21_000.0, 10_500.0)  # 5000 pixels of context: 3/4 of 8192
    shown = window_of(box, LARGE, NEEDS)
    assert shown == (PixelWindow(16_384, 6_144, 8192, 8192), (2048, 2048))
    assert shown.scale == 4
    assert shown.to_shown(box) == (904, 964, 1154, 1089)


@given(boxes_inside())
def test_a_window_lies_inside_and_holds_the_widest_view_of_its_box(box: Box) -> None:
    window, size = window_of(box, LARGE, NEEDS)
    assert window.cut(LARGE) == window
    assert max(size) <= NEEDS.read_side
    reach = NEEDS.context * max(box[2] - box[0], box[3] - box[1]) / 2
    for low, high, start, side, length in (
        (box[0], box[2], window.x, window.width, LARGE[1]),
        (box[1], box[3], window.y, window.height, LARGE[0]),
    ):
        middle = (low + high) / 2
        assert start <= max(middle - reach, 0) + 1e-6
        assert start + side >= min(middle + reach, length) - 1e-6


@given(boxes_inside())
def test_a_box_away_from_the_edges_lies_in_the_middle_of_its_window(box: Box) -> None:
    shown = window_of(box, LARGE, NEEDS)
    window = shown.window
    inner = 0 < window.x < LARGE[1] - window.width and 0 < window.y < LARGE[0] - window.height
    if inner:
        assert place_of(shown.to_shown(box), shown.size) == "in the middle"


@given(boxes_inside())
def test_a_box_is_shown_as_sharp_as_the_model_sees_or_as_it_is(box: Box) -> None:
    shown = window_of(box, LARGE, NEEDS)
    longer = max(box[2] - box[0], box[3] - box[1])
    assert shown.scale <= 1 or longer / shown.scale >= 120 - 1


def test_a_narrow_raster_is_cut_along_its_longer_side_only() -> None:
    shown = window_of((40, 9_000, 60, 9_020), (20_000, 100), NEEDS)
    assert shown == ((0, 8_448, 100, 1024), (1024, 100))


@pytest.mark.parametrize("box", [(0, 0, 9, 9), (49_990, 29_990, 50_000, 30_000)])
def test_windows_at_the_edges_are_moved_inside(box: Box) -> None:
    window, _ = window_of(box, LARGE, NEEDS)
    assert window.cut(LARGE) == window
    assert (window.width, window.height) == (LEAST_SIDE, LEAST_SIDE)


def test_the_whole_of_a_large_raster_as_a_box_is_seen_whole() -> None:
    shown = window_of((0, 0, 50_000, 30_000), LARGE, NEEDS)
    assert shown == ((0, 0, 50_000, 30_000), (1229, 2048))
    assert shown.scale == 50_000 / 2048


def test_near_boxes_share_a_window_and_the_order_of_boxes_changes_nothing() -> None:
    rng = random.Random(3)
    corners = [(rng.randrange(49_000), rng.randrange(2_000)) for _ in range(300)]
    boxes = [PlacedBox(str(n), (x, y, x + 20.0, y + 30.0)) for n, (x, y) in enumerate(corners)]
    groups = group_boxes(boxes, LARGE, NEEDS)
    assert 1 < len(groups) < 300
    assert sorted(int(b.id) for group in groups for b in group.boxes) == list(range(300))
    for shown, members in groups:
        assert {window_of(b.box, LARGE, NEEDS) for b in members} == {shown}
        assert [int(b.id) for b in members] == sorted(int(b.id) for b in members)
    rng.shuffle(boxes)
    again = group_boxes(boxes, LARGE, NEEDS)
    assert [group.shown for group in again] == [group.shown for group in groups]
    assert [set(group.boxes) for group in again] == [set(group.boxes) for group in groups]
    assert group_boxes([], LARGE, NEEDS) == []


def test_a_raster_of_the_largest_whole_side_has_one_group_and_a_wider_one_more() -> None:
    boxes = [PlacedBox("a", (0, 0, 20, 20)), PlacedBox("b", (2_000, 2_000, 2_020, 2_020))]
    (group,) = group_boxes(boxes, (WHOLE_SIDE, WHOLE_SIDE), NEEDS)
    assert group.shown == ShownWindow(PixelWindow.whole((2048, 2048)), (2048, 2048))
    assert len(group_boxes(boxes, (WHOLE_SIDE, WHOLE_SIDE + 1), NEEDS)) == 2
