"""Windows that are cut out of images, and masks that are put back into them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from skycue.boxes import Frame
from skycue.windows import OUTSIDE, cut_window, paste_masks

SIZE = (30, 40)


def bilinear(values: NDArray[np.float32], x: float, y: float) -> float:
    """Interpolate a grid [h, w] at a place in cells, (0.5, 0.5) the centre of the first."""
    height, width = values.shape
    top, left = int(np.floor(y - 0.5)), int(np.floor(x - 0.5))
    total = 0.0
    for row in (top, top + 1):
        for column in (left, left + 1):
            share = (1 - abs(y - 0.5 - row)) * (1 - abs(x - 0.5 - column))
            inner = (min(max(row, 0), height - 1), min(max(column, 0), width - 1))
            total += share * float(values[inner])
    return total


def paste_by_loops(logits: list[Tensor], frames: list[Frame]) -> NDArray[np.bool_]:
    """Ask each pixel's centre: the first frame around it decides."""
    masks = np.zeros((len(logits[0]), *SIZE), dtype=np.bool_)
    for k, y, x in np.ndindex(masks.shape):
        for values, frame in zip(logits, frames, strict=True):
            right = (x + 0.5 - frame.x_min) / frame.width
            down = (y + 0.5 - frame.y_min) / frame.height
            if 0 <= right <= 1 and 0 <= down <= 1:
                grid = values[k].numpy()
                height, width = grid.shape
                masks[k, y, x] = bilinear(grid, right * width, down * height) > 0
                break
    return masks


@pytest.mark.parametrize(
    "frames",
    [
        [Frame.squashed(SIZE, 8)],
        [Frame.padded(SIZE, 8)],
        [Frame.around((10.2, 5.1, 17.4, 11.3), 1.6, 8), Frame.around((10, 5, 17, 11), 5.0, 8)],
        [Frame(-9.3, 12.4, 20.0, 31.0, (8, 8)), Frame(3.0, -2.0, 9.0, 7.5, (8, 8))],
    ],
)
def test_pasted_masks_are_those_of_a_loop_over_pixels(frames: list[Frame]) -> None:
    generator = torch.Generator().manual_seed(4)
    logits = [torch.randn(2, 6, 7, generator=generator) for _ in frames]
    pasted = paste_masks(logits, frames, SIZE)
    expected = paste_by_loops(logits, frames)
    assert np.count_nonzero(expected) > 50
    np.testing.assert_array_equal([mask.full() for mask in pasted], expected)


def test_a_frame_outside_of_the_image_and_no_phrases_leave_nothing() -> None:
    away = Frame(100.0, 0.0, 10.0, 10.0, (8, 8))
    (nothing,) = paste_masks([torch.ones(1, 4, 4)], [away], SIZE)
    assert (nothing.size, nothing.box, nothing.area) == (SIZE, None, 0)
    assert paste_masks([torch.ones(0, 4, 4)], [away], SIZE) == []


def test_a_window_of_the_image_s_own_pixels_is_a_copy_and_grey_outside() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    window = cut_window(pixels, Frame(-4.0, -2.0, 16.0, 12.0, (12, 16)))
    np.testing.assert_array_equal(window[2:, 4:], pixels[:10, :12])
    assert (window[:2] == OUTSIDE).all()
    assert (window[:, :4] == OUTSIDE).all()
    coloured = cut_window(pixels, Frame(-4.0, -2.0, 16.0, 12.0, (12, 16)), (9, 8, 7))
    np.testing.assert_array_equal(coloured[2:, 4:], window[2:, 4:])
    assert (coloured[:2] == (9, 8, 7)).all()


def test_a_shrunk_window_averages() -> None:
    pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
    pixels[:, ::2] = 200  # a stripe of one pixel in two
    window = cut_window(pixels, Frame(0.0, 0.0, 40.0, 30.0, (3, 4)))
    np.testing.assert_allclose(window.astype(float), 100.0, atol=3)
