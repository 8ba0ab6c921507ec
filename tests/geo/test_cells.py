"""Cells of a map and their windows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skycue.errors import GeoError
from skycue.geo.cells import CellGrid
from skycue.geo.georeference import GeoReference
from skycue.geo.tiles import PixelWindow


def test_a_window_has_its_cell_in_the_middle_and_is_shifted_inside_at_the_edges() -> None:
    grid = CellGrid((1000, 600), 256, 128)
    assert (grid.rows, grid.columns, len(grid)) == (8, 5, 40)
    row = [grid[column].x for column in range(5)]
    assert row == [0, 64, 192, 320, 344]  # 344 = 600 - 256; the cell from 512 on lies in it
    assert grid[-1] == PixelWindow(344, 744, 256, 256)
    assert grid[6] == PixelWindow(64, 64, 256, 256)
    assert list(grid)[5:7] == grid[5:7]
    assert len(CellGrid((200_000, 200_000), 256, 128)) == 1563**2  # made when asked for


def test_cells_lie_side_by_side_and_are_cut_to_the_raster() -> None:
    grid = CellGrid((300, 600), 256, 128)
    assert grid.cell(0) == PixelWindow(0, 0, 128, 128)
    assert grid.cell(4) == PixelWindow(512, 0, 88, 128)
    assert grid.cell(-1) == PixelWindow(512, 256, 88, 44)
    covered = np.zeros((300, 600), dtype=np.int64)
    for number in range(len(grid)):
        x, y, width, height = grid.cell(number)
        covered[y : y + height, x : x + width] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("size", [(1000, 600), (257, 256), (130, 4000), (1, 1)])
@pytest.mark.parametrize(("window", "stride"), [(256, 128), (256, 256), (100, 33), (7, 1)])
def test_every_cell_lies_in_its_window_and_no_pixel_is_left_out(
    size: tuple[int, int], window: int, stride: int
) -> None:
    grid = CellGrid(size, window, stride)
    assert grid.rows * stride >= size[0] > (grid.rows - 1) * stride
    assert grid.columns * stride >= size[1] > (grid.columns - 1) * stride
    for n in {0, grid.columns - 1, len(grid) // 2, len(grid) - 1}:
        row, column = divmod(n, grid.columns)
        found = grid[n]
        for start, cell, length in (
            (found.x, column * stride, size[1]),
            (found.y, row * stride, size[0]),
        ):
            if length >= window:
                assert 0 <= start <= length - window
            assert start <= cell
            assert start + window >= min(cell + stride, length)


def test_a_raster_smaller_than_a_window_lies_in_its_middle() -> None:
    grid = CellGrid((100, 300), 256, 128)
    assert [window.y for window in grid] == [-78] * 3
    assert [window.x for window in grid] == [0, 44, 44]


def test_cells_lie_on_the_map_as_the_pixels_below_them() -> None:
    place = GeoReference("EPSG:32631", (0.4, 0.3, 100.0, 0.3, -0.4, 900.0))
    cells = CellGrid((1000, 600), 256, 128).georeference(place)
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 8.0]])
    assert_allclose(cells.to_map(corners), place.to_map(corners * 128))


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (8, 0), (8, 9)])
def test_cells_that_leave_gaps_are_refused(window: int, stride: int) -> None:
    with pytest.raises(GeoError, match="stride"):
        CellGrid((100, 100), window, stride)


def test_a_cell_that_is_not_there_is_no_cell() -> None:
    with pytest.raises(IndexError, match="cell 4 of 4"):
        CellGrid((10, 10), 8, 5)[4]
