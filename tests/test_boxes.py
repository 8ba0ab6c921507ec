"""Boxes of users, and the frames that networks see them in."""

from typing import cast

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from skycue.boxes import (
    Box,
    Frame,
    box_iou,
    check_box,
    jitter_box,
    xywh_to_xyxy,
    xyxy_to_xywh,
)
from skycue.errors import BoxError

SIZE = (100, 400)
NAN = float("nan")


def test_a_box_inside_stays_and_one_across_the_edge_is_cut() -> None:
    assert check_box((1.5, 2.0, 30.25, 99.0), SIZE) == (1.5, 2.0, 30.25, 99.0)
    assert check_box((-5.0, -1.0, 500.0, 101.0), SIZE) == (0.0, 0.0, 400.0, 100.0)
    assert check_box((399.5, 0.0, 400.0, 0.5), SIZE) == (399.5, 0.0, 400.0, 0.5)


def test_whole_numbers_become_floats() -> None:
    for box in ([10, 20, 30, 500], cast("list[int]", list(np.array([10, 20, 30, 500])))):
        found = check_box(box, SIZE)
        assert found == (10.0, 20.0, 30.0, 100.0)
        assert [type(value) for value in found] == [float] * 4


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((1.0, 2.0, 3.0), r"box 3 \[1, 2, 3\] has 3 numbers, not 4\. Boxes are x_min"),
        ((1.0, NAN, 3.0, 4.0), r"box 3 \[1, nan, 3, 4\] holds a number that is not finite"),
        ((1.0, 2.0, float("inf"), 4.0), r"\[1, 2, inf, 4\] holds a number that is not finite"),
        ((30.0, 2.0, 20.0, 4.0), r"\[30, 2, 20, 4\] has no area: x_max must exceed x_min"),
        ((30.0, 2.0, 40.0, 2.0), r"\[30, 2, 40, 2\] has no area: y_max must exceed y_min"),
        ((400.0, 2.0, 410.0, 4.0), r"lies outside the image of 400 x 100 pixels"),
        ((5.0, -9.0, 10.0, 0.0), r"lies outside the image of 400 x 100 pixels"),
    ],
)
def test_a_wrong_box_is_refused_in_one_line(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(BoxError, match=message) as caught:
        check_box(box, SIZE, "box 3")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("Boxes are x_min, y_min, x_max, y_max in pixels.")


def test_coco_boxes_go_there_and_back() -> None:
    assert xywh_to_xyxy((3.0, 4.0, 10.0, 20.0)) == (3.0, 4.0, 13.0, 24.0)
    assert xyxy_to_xywh((3.0, 4.0, 13.0, 24.0)) == (3.0, 4.0, 10.0, 20.0)


def test_overlap_of_boxes_as_counted_by_hand() -> None:
    first = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    second = torch.tensor(
        [[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 3.0], [2.0, 0.0, 4.0, 2.0], [0.0, 0.0, 8.0, 1.0]]
    )
    expected = torch.tensor([[1.0, 1 / 7, 0.0, 2 / 10], [0.0, 0.0, 0.0, 0.0]])
    assert_close(box_iou(first, second), expected)
    assert box_iou(first[:0], second).shape == (0, 4)


def test_a_jittered_box_moves_each_side_by_at_most_its_share() -> None:
    box: Box = (100.0, 50.0, 140.0, 130.0)
    generator = torch.Generator().manual_seed(1)
    moved = torch.tensor([jitter_box(box, 0.1, generator) for _ in range(500)])
    away = (moved - torch.tensor(box)).abs()
    bounds = torch.tensor([4.0, 8.0, 4.0, 8.0])
    assert bool((away <= bounds).all())
    assert bool((away.amax(dim=0) > 0.95 * bounds).all())
    assert len({tuple(row) for row in moved.tolist()}) == 500


def test_a_jittered_box_overlaps_as_much_as_is_asked() -> None:
    box: Box = (10.0, 10.0, 30.0, 20.0)
    generator = torch.Generator().manual_seed(2)
    free = torch.tensor([jitter_box(box, 0.3, generator) for _ in range(100)])
    bound = torch.tensor([jitter_box(box, 0.3, generator, min_iou=0.7) for _ in range(100)])
    start = torch.tensor([box])
    assert float(box_iou(free, start).min()) < 0.6
    assert float(box_iou(bound, start).min()) >= 0.7 - 1e-5
    assert jitter_box(box, 0.3, generator, min_iou=1.1) == box  # no draw can reach that


def test_jitter_is_seeded() -> None:
    draws = [
        jitter_box((0.0, 0.0, 9.0, 9.0), 0.2, torch.Generator().manual_seed(seed))
        for seed in (5, 5, 6)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


FRAMES = (
    Frame.squashed((100, 400), 64),
    Frame.padded((100, 400), 64),
    Frame.padded((300, 200), 64),
    Frame.around((10.0, 20.0, 30.0, 60.0), 1.6, 64),
    Frame(-3.5, 7.25, 11.0, 20.0, (8, 16)),
)


@pytest.mark.parametrize("frame", FRAMES)
def test_boxes_into_a_frame_and_back_are_the_same(frame: Frame) -> None:
    boxes = torch.rand(20, 4, generator=torch.Generator().manual_seed(3)) * 400 - 50
    assert_close(frame.from_unit(frame.to_unit(boxes)), boxes, rtol=0, atol=1e-3)
    edges = frame.to_unit(torch.tensor([frame.box]))
    assert_close(edges, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))


def test_shares_of_a_squashed_and_of_a_padded_image_as_counted_by_hand() -> None:
    box = torch.tensor([[100.0, 50.0, 200.0, 100.0]])
    squashed, padded = Frame.squashed(SIZE, 64), Frame.padded(SIZE, 64)
    assert_close(squashed.to_unit(box), torch.tensor([[0.25, 0.5, 0.5, 1.0]]))
    assert_close(padded.to_unit(box), torch.tensor([[0.25, 0.125, 0.5, 0.25]]))
    assert squashed.size == padded.size == (64, 64)


def test_a_window_is_a_square_around_the_box() -> None:
    frame = Frame.around((10.0, 20.0, 30.0, 60.0), 1.5, 64)
    assert frame == Frame(-10.0, 10.0, 60.0, 60.0, (64, 64))
    inside = frame.to_unit(torch.tensor([[10.0, 20.0, 30.0, 60.0]]))
    assert_close(inside, torch.tensor([[1 / 3, 1 / 6, 2 / 3, 5 / 6]]))


def test_a_window_grows_until_it_covers_the_image_and_no_further() -> None:
    box, size = (10.0, 20.0, 90.0, 60.0), (120, 200)
    small = Frame.around(box, 1.6, 64, size)
    assert small == Frame.around(box, 1.6, 64)
    capped = Frame.around(box, 50.0, 64, size)
    assert capped.width == capped.height == 2 * (200 - 50)  # the right edge is the farthest
    x_min, y_min, x_max, y_max = capped.box
    assert x_min <= 0
    assert y_min <= 0
    assert x_max >= 200
    assert y_max >= 120
    assert ((x_min + x_max) / 2, (y_min + y_max) / 2) == (50.0, 40.0)
