"""Windows and the grids that cover rasters with them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skycue.errors import GeoError
from skycue.geo.spans import spans_of
from skycue.geo.tiles import PixelWindow, grid_of


def test_a_grid_by_hand_has_windows_that_reach_outside() -> None:
    # columns 0, 6 and 12 are needed for 20 pixels: 12 + 10 reaches 22
    grid = grid_of((10, 20), window=10, stride=6)
    assert (grid.rows, grid.columns) == (1, 3)
    assert list(grid) == [
        PixelWindow(0, 0, 10, 10),
        PixelWindow(6, 0, 10, 10),
        PixelWindow(12, 0, 10, 10),
    ]
    assert grid[-1] == grid[2]
    assert grid[1:] == [grid[1], grid[2]]
    assert len(grid_of((200_000, 200_000), 256, 128)) == 1562**2  # made when asked for
    with pytest.raises(IndexError, match="window 3 of 3"):
        grid[3]


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    window=st.integers(1, 40),
    share=st.floats(0.05, 1.0),
)
def test_a_grid_covers_every_pixel_with_as_few_windows_as_do(
    size: tuple[int, int], window: int, share: float
) -> None:
    stride = max(1, int(window * share))
    grid = grid_of(size, window, stride)
    covered = np.zeros(size, dtype=np.int64)
    for x, y, width, height in grid:
        covered[y : y + height, x : x + width] += 1
    assert covered.min() >= 1
    for count, length in ((grid.rows, size[0]), (grid.columns, size[1])):
        assert count == 1 or (count - 2) * stride + window < length


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        (0, 1, "at least 1 pixel"),
        (8, 0, "at least 1 pixel"),
        (8, 9, "a stride of 9 pixels leaves gaps between windows of 8"),
    ],
)
def test_a_grid_that_covers_nothing_or_leaves_gaps_is_refused(
    window: int, stride: int, message: str
) -> None:
    with pytest.raises(GeoError, match=message):
        grid_of((10, 10), window, stride)


def test_a_window_is_cut_to_its_raster() -> None:
    assert PixelWindow(-3, 5, 10, 10).cut((8, 20)) == PixelWindow(0, 5, 7, 3)
    assert PixelWindow(20, 0, 5, 5).cut((8, 20)) is None
    assert PixelWindow(-5, 0, 5, 5).cut((8, 20)) is None
    assert PixelWindow.whole((8, 20)).cut((8, 20)) == PixelWindow(0, 0, 20, 8)


@given(
    start=st.integers(-50, 120),
    length=st.integers(1, 100),
    cells=st.integers(1, 100),
    limit=st.integers(1, 100),
    longest=st.integers(1, 50),
)
def test_spans_show_each_cell_inside_once_and_at_its_place(
    start: int, length: int, cells: int, limit: int, longest: int
) -> None:
    spans = spans_of(start, length, cells, limit, longest)
    step = length / cells
    shown = [cell for span in spans for cell in range(span.first, span.first + span.number)]
    assert shown == sorted(set(shown))
    for cell in range(cells):
        low, high = max(start + cell * step, 0), min(start + (cell + 1) * step, limit)
        assert (cell in shown) == (high - low > step * 1e-3) or abs(high - low) < step * 2e-3
    for span in spans:
        first, last = start + span.first * step, start + (span.first + span.number) * step
        assert span.start == pytest.approx(max(first, 0.0), abs=step * 2e-3)
        assert span.stop == pytest.approx(min(last, limit), abs=step * 2e-3)
        assert 0 <= span.start < span.stop <= limit
        assert span.number == 1 or span.stop - span.start <= longest + 1e-9
        whole = first >= -1e-9 and last <= limit + 1e-9
        assert whole or span.number == 1  # a cell that an edge cuts stands alone
