"""What cells of a window hold: averages of pixels, and shares that an object covers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from skycue.boxes import Frame
from skycue.data.instances import Instance
from skycue.windows import OUTSIDE, cut_window, mask_on

H, W = 20, 30
PIXELS = np.random.default_rng(1).integers(0, 256, (H, W, 3)).astype(np.uint8)
RIGHT_BLOB = np.array([[0, 1, 1], [1, 1, 1]], dtype=np.bool_)


def triangle(n_cells: int, factor: int) -> NDArray[np.float64]:
    """Weights of a cell's average: falling from its middle to `factor` pixels to each side."""
    weights = np.zeros((n_cells, n_cells * factor))
    for cell in range(n_cells):
        for pixel in range(n_cells * factor):
            away = abs(pixel + 0.5 - (cell + 0.5) * factor) / factor
            weights[cell, pixel] = max(1 - away, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def common_lengths(low: float, extent: float, n_cells: int, n_pixels: int) -> NDArray[np.float64]:
    """Share of each cell of [low, low + extent] that lies on each pixel."""
    step = extent / n_cells
    shares = np.zeros((n_cells, n_pixels))
    for cell in range(n_cells):
        start = low + cell * step
        for pixel in range(n_pixels):
            shares[cell, pixel] = max(min(start + step, pixel + 1) - max(start, pixel), 0) / step
    return shares


def coverage(instance: Instance, frame: Frame, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the share of each cell that lies on pixels of the object."""
    rows = common_lengths(frame.y_min, frame.height, size[0], H)
    columns = common_lengths(frame.x_min, frame.width, size[1], W)
    shares: NDArray[np.float64] = rows @ instance.mask((H, W)).astype(np.float64) @ columns.T
    return shares


def coverage_around(instance: Instance, frame: Frame, cells: int) -> NDArray[np.float64]:
    """Return the shares of each cell and of those up to two cells away, [25, cells, cells]."""
    step = frame.width / cells
    side = (cells + 4) * step
    wider = Frame(frame.x_min - 2 * step, frame.y_min - 2 * step, side, side, frame.size)
    shares = coverage(instance, wider, (cells + 4, cells + 4))
    return np.stack([shares[i : i + cells, j : j + cells] for i in range(5) for j in range(5)])


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 5), (-4, -2), (22, 14), (-4, 16), (100, -50)])
def test_a_frame_on_whole_pixels_shows_them_and_grey_outside(x: int, y: int) -> None:
    shown = cut_window(PIXELS, Frame(float(x), float(y), 12.0, 8.0, (8, 12)))
    for i in range(8):
        for j in range(12):
            inside = 0 <= y + i < H and 0 <= x + j < W
            wanted = PIXELS[y + i, x + j] if inside else np.full(3, OUTSIDE)
            assert shown[i, j].tolist() == wanted.tolist()


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_what_shrinks_is_averaged(factor: int) -> None:
    size = (H // factor, W // factor)
    shown = cut_window(PIXELS, Frame(0.0, 0.0, float(W), float(H), size))
    rows, columns = triangle(size[0], factor), triangle(size[1], factor)
    wanted = np.einsum("iy,jx,yxc->ijc", rows, columns, PIXELS.astype(float))
    # Bytes are rounded after the rows and again after the columns.
    np.testing.assert_allclose(shown, wanted, atol=1.5)


def test_a_ramp_is_read_at_the_middles_of_cells() -> None:
    ramp = np.broadcast_to(np.arange(W, dtype=np.uint8)[None, :, None] * 8, (H, W, 3))
    frame = Frame(4.5, 3.0, 10.0, 10.0, (10, 20))
    shown = cut_window(np.ascontiguousarray(ramp), frame).astype(float)
    middles = frame.x_min + (np.arange(20) + 0.5) / 2
    for row in shown[:, :, 0]:
        np.testing.assert_allclose(row, middles * 8 - 4, atol=1)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        (Frame(0.0, 0.0, float(W), float(H), (1, 1)), (H, W)),
        (Frame(4.0, 2.0, 12.0, 10.0, (1, 1)), (10, 12)),
        (Frame(9.0, 3.0, 4.0, 4.0, (1, 1)), (4, 4)),
    ],
)
def test_a_mask_on_cells_of_one_pixel_is_the_mask(frame: Frame, size: tuple[int, int]) -> None:
    instance = Instance("ship", (8, 4), RIGHT_BLOB)
    shown = mask_on(instance, frame, size)
    np.testing.assert_array_equal(shown, 255 * coverage(instance, frame, size))


@pytest.mark.parametrize("cells", [12, 32])
@pytest.mark.parametrize("seed", range(4))
def test_cells_hold_the_share_that_an_object_covers(seed: int, cells: int) -> None:
    rng = np.random.default_rng(seed)
    crop = np.zeros((12, 16), dtype=np.bool_)
    crop[2:, 3:] = crop[:9, :10] = True
    x, y = int(rng.integers(0, 14)), int(rng.integers(0, 8))
    instance = Instance("ship", (x, y), crop)
    left, top, side = rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(20, 34)
    frame = Frame(left, top, side, side, (64, 64))
    shown = mask_on(instance, frame, (cells, cells)) / 255
    shares = coverage_around(instance, frame, cells)
    # An outline moves to where cells end, by half a cell at most, and the average reaches one
    # cell further; elsewhere shares are right.
    assert (shown >= shares.min(axis=0) - 1 / 255).all()
    assert (shown <= shares.max(axis=0) + 1 / 255).all()
    assert np.abs(shown - shares[12]).mean() < 0.5 / cells


def test_the_size_of_the_frame_s_input_does_not_matter_to_masks() -> None:
    instance = Instance("ship", (8, 4), RIGHT_BLOB)
    small, large = (Frame(2.0, 1.0, 16.0, 16.0, (size, size)) for size in (8, 96))
    np.testing.assert_array_equal(
        mask_on(instance, small, (24, 24)), mask_on(instance, large, (24, 24))
    )


def test_an_object_outside_of_the_frame_or_below_half_a_cell_covers_nothing() -> None:
    instance = Instance("ship", (8, 4), RIGHT_BLOB)
    assert not mask_on(instance, Frame(11.0, 0.0, 8.0, 8.0, (8, 8)), (8, 8)).any()
    assert not mask_on(instance, Frame(0.0, 0.0, 60.0, 60.0, (8, 8)), (8, 8)).any()
