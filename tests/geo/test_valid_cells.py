"""How much of each cell of a raster holds a value."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from skycue.geo.cells import CellGrid
from skycue.geo.raster import Raster
from skycue.geo.valid_cells import cell_pixels, holds_value, valid_shares
from tests.made_up_rasters import write_tiff

SIZE = (50, 70)


def speckled(tmp_path: Path) -> tuple[Raster, NDArray[np.bool_]]:
    """Return a raster of which some pixels hold nothing, and which do."""
    rng = np.random.default_rng(3)
    valid = rng.random(SIZE) > 0.4
    valid[:20, 33:] = False
    pixels = np.where(valid, rng.integers(1, 255, (3, *SIZE)), 0).astype(np.uint8)
    return Raster.open(write_tiff(tmp_path / "speckled.tif", pixels, nodata=0)), valid


@pytest.mark.parametrize("stride", [1, 7, 16, 33, 64, 100])
@pytest.mark.parametrize("side", [13, 32, 2048])
def test_shares_are_those_of_a_loop_over_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int, side: int
) -> None:
    monkeypatch.setattr("skycue.geo.valid_cells.SIDE", side)
    raster, valid = speckled(tmp_path)
    grid = CellGrid(SIZE, 100, stride)
    cells = [grid.cell(n) for n in range(len(grid))]
    parts = [valid[c.y : c.y + c.height, c.x : c.x + c.width] for c in cells]
    shape = (grid.rows, grid.columns)
    assert_allclose(valid_shares(raster, grid), np.reshape([p.mean() for p in parts], shape))
    assert cell_pixels(grid).tolist() == np.reshape([p.size for p in parts], shape).tolist()
    middle = range(grid.rows // 3, -(-2 * grid.rows // 3))
    some = valid_shares(raster, grid, middle)
    assert_allclose(some, valid_shares(raster, grid)[middle.start : middle.stop])
    assert holds_value(raster, cells[:40]) == [bool(part.any()) for part in parts[:40]]


def test_a_raster_that_declares_no_gaps_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Raster.open(write_tiff(tmp_path / "full.tif", np.zeros((3, *SIZE), np.uint8)))
    monkeypatch.setattr(Raster, "read", None)
    grid = CellGrid(SIZE, 30, 30)
    assert (valid_shares(full, grid) == np.ones((2, 3))).all()
    assert holds_value(full, [grid.cell(0)]) == [True]


def test_a_raster_without_any_value_has_none_in_its_cells(tmp_path: Path) -> None:
    empty = write_tiff(tmp_path / "empty.tif", np.zeros((3, *SIZE), np.uint8), nodata=0)
    grid = CellGrid(SIZE, 30, 30)
    assert (valid_shares(Raster.open(empty), grid) == np.zeros((2, 3))).all()
