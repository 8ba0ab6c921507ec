"""Masks of drawn objects: exact, visible pixels only, and never drawn without being listed."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from skycue.data.renderer.canvas import Point, rectangle
from skycue.data.renderer.instance_canvas import (
    MIN_PIXELS,
    MIN_VISIBLE,
    InstanceCanvas,
    majority,
)
from skycue.data.renderer.outlines import (
    Pose,
    area,
    area_inside,
    band,
    convex_hull,
    disc,
    distance_to,
    mirrored,
)

SIZE = 64
RED, BLUE = (255, 0, 0), (0, 0, 255)
SQUARE = [(10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0)]


def black_canvas(gsd_m: float = 1.0) -> InstanceCanvas:
    return InstanceCanvas(SIZE, gsd_m, np.random.default_rng(0))


def levels(canvas: InstanceCanvas) -> NDArray[np.uint8]:
    """Colours before dirt, [H, W, 3]."""
    return np.asarray(canvas._image.reduce(2))


def masks(canvas: InstanceCanvas) -> dict[str, NDArray[np.bool_]]:
    return {x.class_name: x.mask((SIZE, SIZE)) for x in canvas.instances()}


@pytest.mark.parametrize(
    "outline",
    [SQUARE, disc((31.3, 30.7), 17.2), rectangle((30.2, 33.9), 31.7, 9.3, 0.7)],
    ids=["square", "disc", "turned"],
)
def test_a_mask_holds_the_pixels_of_which_the_object_covers_most(outline: list[Point]) -> None:
    canvas = black_canvas()
    canvas.stamp(outline, "ship", RED)
    red = levels(canvas)[..., 0].astype(int)
    mask = masks(canvas)["ship"]
    assert (red[mask] >= 127).all()
    assert (red[~mask] <= 128).all()
    assert mask.sum() == pytest.approx(area(outline), rel=0.12)


def test_a_later_object_takes_the_pixels_of_an_earlier_one() -> None:
    canvas = black_canvas()
    canvas.stamp(SQUARE, "bridge", RED)
    canvas.stamp([(20.0, 0.0), (40.0, 0.0), (40.0, 40.0), (20.0, 40.0)], "vehicle", BLUE)
    found, colours = masks(canvas), levels(canvas)
    assert not (found["bridge"] & found["vehicle"]).any()
    assert (colours[found["bridge"]][:, 0] >= 127).all()
    assert colours[found["bridge"]][:, 0].mean() > 240
    assert (colours[found["vehicle"]][:, 2] >= 127).all()


def test_ground_is_laid_beneath_objects() -> None:
    canvas = black_canvas()
    canvas.stamp(SQUARE, "building", RED)
    before = levels(canvas)[masks(canvas)["building"]]
    everything = [(0.0, 0.0), (64.0, 0.0), (64.0, 64.0), (0.0, 64.0)]
    canvas.cover("grass", everything)
    canvas.lay(everything, BLUE, alpha=100)
    canvas.lay_line([(0.0, 20.0), (64.0, 20.0)], 5.0, BLUE)
    inside = masks(canvas)["building"]
    inside[[9, 10, 30]] = inside[:, [9, 10, 30]] = False  # pixels that the edge cuts are mixed
    assert (levels(canvas)[inside] == RED).all()
    assert len(before) == masks(canvas)["building"].sum()
    assert levels(canvas)[50, 50, 1] > 0


def test_a_tree_takes_pixels_but_never_most_of_an_object() -> None:
    canvas = black_canvas()
    canvas.stamp(SQUARE, "tennis court", RED)
    assert canvas.plant((12.0, 12.0), 6.0)
    seen = masks(canvas)["tennis court"]
    assert 200 < seen.sum() < 400
    assert not canvas.plant((20.0, 20.0), 15.0)
    for x in range(10, 32, 2):
        canvas.plant((float(x), 20.0), 5.0)
    assert masks(canvas)["tennis court"].sum() >= 0.95 * MIN_VISIBLE * area(SQUARE)


def test_an_object_of_which_little_would_be_seen_is_not_drawn() -> None:
    canvas = black_canvas()
    assert canvas.stamp([(-95.0, 10.0), (4.0, 10.0), (4.0, 14.0), (-95.0, 14.0)], "ship", RED) == 0
    assert canvas.stamp(disc((30.0, 30.0), 1.5), "vehicle", RED) == 0
    assert canvas.stamp(disc((300.0, 30.0), 20.0), "vehicle", RED) == 0
    assert canvas.instances() == ()
    assert levels(canvas).max() == 0


def test_a_large_object_at_the_border_is_cut() -> None:
    canvas = black_canvas()
    assert canvas.stamp([(-900.0, 10.0), (32.0, 10.0), (32.0, 50.0), (-900.0, 50.0)], "bridge", RED)
    (instance,) = canvas.instances()
    assert instance.box[0] == 0
    assert instance.area == pytest.approx(32 * 40, rel=0.05)
    assert instance.area > MIN_PIXELS


def test_what_is_claimed_keeps_its_colours() -> None:
    canvas = black_canvas()
    canvas.paint(SQUARE, BLUE)
    canvas.claim(SQUARE, "harbor")
    assert masks(canvas)["harbor"].sum() == pytest.approx(400, rel=0.1)
    assert (levels(canvas)[15:25, 15:25] == BLUE).all()


def test_a_place_is_free_until_an_object_stands_there() -> None:
    canvas = black_canvas()
    assert canvas.is_free(SQUARE)
    number = canvas.stamp(SQUARE, "bridge", RED)
    assert not canvas.is_free(SQUARE)
    assert canvas.is_free(SQUARE, on=number)
    assert canvas.is_free([(40.0, 40.0), (50.0, 50.0)])
    assert canvas.is_free([(-40.0, -40.0), (-30.0, -30.0)])


def test_majority_by_hand() -> None:
    blocks = {(1, 1, 1, 1): 1, (1, 2, 2, 2): 2, (1, 0, 0, 3): 0, (1, 2, 3, 3): 3, (1, 2, 2, 1): 1}
    for four, winner in blocks.items():
        ids = np.array(four, dtype=np.int16).reshape(2, 2)
        assert majority(ids).item() == winner, four


def test_the_area_inside_a_square() -> None:
    assert area_inside(SQUARE, 64) == (400, 400)
    assert area_inside(SQUARE, 20) == pytest.approx((100, 400))
    assert area_inside(SQUARE, 5) == (0, 400)
    triangle = [(-10.0, 0.0), (10.0, 0.0), (10.0, 20.0)]
    assert area_inside(triangle, 64) == pytest.approx((150, 200))


def test_the_hull_leaves_out_inner_points() -> None:
    points = [*SQUARE, (20.0, 20.0), (10.0, 20.0)]
    assert sorted(convex_hull(points)) == sorted(SQUARE)


def test_outlines_by_hand() -> None:
    assert area(band([(0, 0), (10, 0)], 4)) == pytest.approx(40)
    assert mirrored([(1.0, 0.0), (0.0, 2.0)]) == [(1.0, 0.0), (0.0, 2.0), (0.0, -2.0)]
    (point,) = Pose((5.0, 5.0), math.pi / 2, 10.0, 2.0).place([(0.5, 1.0)])
    assert point == pytest.approx((3.0, 10.0))


def test_nothing_is_built_on_a_road() -> None:
    canvas = black_canvas()
    canvas.keep_clear((0.0, 35.0), (64.0, 35.0), 6.0)
    assert canvas.has_room(SQUARE)
    lower = [(x, y + 5) for x, y in SQUARE]
    assert not canvas.has_room(lower)
    assert canvas.is_free(lower)
    assert not canvas.is_off_roads([(x, y + 15) for x, y in SQUARE])


def test_the_distance_from_a_line_by_hand() -> None:
    assert distance_to((3.0, 4.0), (0.0, 0.0), (10.0, 0.0)) == 4.0
    assert distance_to((-3.0, 4.0), (0.0, 0.0), (10.0, 0.0)) == 5.0
    assert distance_to((13.0, 4.0), (0.0, 0.0), (10.0, 0.0)) == 5.0
