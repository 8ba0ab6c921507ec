"""Gaps, containment, middles and breadths of outlines, against loops over pixels and by hand."""

import math

import numpy as np
import pytest

from skycue.data.instances import Instance, Mask, instance_of
from skycue.data.mask_geometry import breadth_of, gap_between, middle_of, share_within
from skycue.data.rle import polygons_to_mask

SIZE = (60, 80)


def slanted(x: float, y: float, length: float, breadth: float, degrees: float) -> Instance:
    """A rectangle around (x, y), its length at an angle to the x axis."""
    along = math.radians(degrees)
    cos, sin = math.cos(along), math.sin(along)
    corners = [(length / 2, breadth / 2), (-length / 2, breadth / 2)]
    corners += [(-a, -b) for a, b in corners]
    flat = [c for a, b in corners for c in (x + a * cos - b * sin, y + a * sin + b * cos)]
    return of(polygons_to_mask([flat], SIZE))


def of(mask: Mask) -> Instance:
    """A mask that is not empty."""
    found = instance_of("ship", mask)
    assert found is not None
    return found


def pixels(instance: Instance) -> list[tuple[int, int]]:
    """The (x, y) of every pixel."""
    y, x = np.nonzero(instance.mask(SIZE))
    return list(zip(x.tolist(), y.tolist(), strict=True))


def slow_gap(first: Instance, second: Instance) -> float:
    """The least distance between two unit squares, one of each."""
    return min(
        math.hypot(max(abs(x - u) - 1, 0), max(abs(y - v) - 1, 0))
        for x, y in pixels(first)
        for u, v in pixels(second)
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_gap_of_slanted_objects_is_that_of_their_nearest_pixels(seed: int) -> None:
    chance = np.random.default_rng(seed)
    lows, highs = (15, 15, 8, 2, 0), (65, 45, 24, 7, 180)
    first, second = (
        slanted(x, y, length, breadth, degrees)
        for x, y, length, breadth, degrees in chance.uniform(lows, highs, (2, 5)).tolist()
    )
    assert gap_between(first, second) == pytest.approx(slow_gap(first, second), abs=1e-12)
    assert gap_between(second, first) == gap_between(first, second)


def test_parallel_slanted_objects_have_a_gap_where_their_boxes_overlap() -> None:
    first, second = slanted(30, 30, 40, 4, 45), slanted(45, 20, 40, 4, 45)
    assert first.box[2] > second.box[0]
    assert first.box[1] < second.box[3]
    # the middles are (15 + 10) / sqrt(2) apart across the length, of which 4 is breadth
    assert gap_between(first, second) == pytest.approx(25 / math.sqrt(2) - 4, abs=1.5)


def test_objects_that_share_a_pixel_an_edge_or_a_corner_have_no_gap() -> None:
    square = Instance("ship", (10, 10), np.ones((4, 4), dtype=np.bool_))
    for corner in ((11, 11), (14, 10), (14, 14), (13, 12)):
        assert gap_between(square, square._replace(corner=corner)) == 0
    assert gap_between(square, square._replace(corner=(17, 18))) == 5  # 3 and 4
    assert gap_between(square, square._replace(crop=np.ones((1, 1), dtype=np.bool_))) == 0


def ring() -> Instance:
    """A frame of 12 x 10 pixels, two pixels broad."""
    crop = np.ones((10, 12), dtype=np.bool_)
    crop[2:-2, 2:-2] = False
    return Instance("track", (20, 20), crop)


def test_a_ring_holds_what_lies_in_its_hole_and_an_open_one_does_not() -> None:
    field = Instance("field", (23, 23), np.ones((3, 5), dtype=np.bool_))
    assert share_within(field, ring()) == 1
    opened = ring()
    opened.crop[4, :2] = False
    assert share_within(field, opened) == 0
    outside = field._replace(corner=(40, 40))
    assert share_within(outside, ring()) == 0
    assert share_within(field._replace(corner=(29, 23)), ring()) == pytest.approx(3 / 5)


@pytest.mark.parametrize("seed", range(8))
def test_the_share_within_is_that_of_the_pixels(seed: int) -> None:
    chance = np.random.default_rng(seed)
    x, y = chance.uniform((30, 20), (50, 40)).tolist()
    inner = slanted(x, y, 14, 6, chance.uniform(0, 180))
    outer = slanted(40, 30, 40, 22, chance.uniform(0, 180))
    common = set(pixels(inner)) & set(pixels(outer))
    assert share_within(inner, outer) == pytest.approx(len(common) / len(pixels(inner)))


def test_the_middle_of_a_corner_piece_is_that_of_its_area() -> None:
    crop = np.array([[True, False, False], [True, True, True]])
    assert middle_of(Instance("ship", (10, 20), crop)) == (10 + 5 / 4, 20 + 5 / 4)


def test_the_breadth_of_an_upright_rectangle_is_its_shorter_side() -> None:
    for height, width in ((3, 9), (9, 3), (1, 1), (1, 5)):
        upright = Instance("ship", (4, 5), np.ones((height, width), dtype=np.bool_))
        assert breadth_of(upright) == pytest.approx(min(height, width))


@pytest.mark.parametrize("degrees", [0, 30, 45, 80])
def test_the_breadth_of_a_rectangle_does_not_change_as_it_turns(degrees: float) -> None:
    assert breadth_of(slanted(40, 30, 36, 8, degrees)) == pytest.approx(8, abs=0.7)
