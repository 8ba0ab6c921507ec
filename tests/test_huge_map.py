"""A map of a sparse raster of 200,000 x 200,000 pixels: bounded memory, and the right values."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_allclose
from rasterio.windows import Window

from skycue.geo.raster import Raster
from skycue.scene_map import write_map
from tests.conftest import build_tiny_clip
from tests.huge_raster import (
    BLOCK,
    MOST_BYTES,
    SIDE,
    Block,
    alone,
    packed,
    packed_side,
    scattered,
    write_sparse,
)
from tests.made_up_rasters import zero_shot

N_BLOCKS = 500
WINDOW, STRIDE = 256, 128


def make_map(path: Path, folder: Path) -> tuple[int, int]:
    """Make a map of a raster; return how many cells were classified, and how many skipped."""
    classifier = zero_shot(build_tiny_clip())
    record = write_map(classifier, Raster.open(path), folder, window=WINDOW, stride=STRIDE)
    return record.classified, record.skipped


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_a_huge_sparse_raster_has_the_map_of_its_blocks_in_little_memory(tmp_path: Path) -> None:
    far = scattered(N_BLOCKS)
    write_sparse(tmp_path / "huge.tif", SIDE, far)
    (classified, skipped), peak = alone(make_map, tmp_path / "huge.tif", tmp_path / "huge")
    assert peak < MOST_BYTES
    side_cells = -(-SIDE // STRIDE)
    assert classified + skipped == side_cells**2
    assert classified == N_BLOCKS * (BLOCK // STRIDE) ** 2

    near = packed(N_BLOCKS)
    write_sparse(tmp_path / "small.tif", packed_side(N_BLOCKS), near)
    make_map(tmp_path / "small.tif", tmp_path / "small")
    with (
        rasterio.open(tmp_path / "huge" / "probabilities.tif") as huge,
        rasterio.open(tmp_path / "small" / "probabilities.tif") as small,
    ):
        for there, here in zip(far, near, strict=True):
            seen = huge.read(window=_cells_on(there))
            assert np.isfinite(seen).all()
            assert_allclose(seen, small.read(window=_cells_on(here)), atol=1e-5)


def _cells_on(block: Block) -> Window:
    """Return the cells that lie on a block."""
    per_block = BLOCK // STRIDE
    x, y = (corner // STRIDE for corner in block.corner)
    return Window(x, y, per_block, per_block)
