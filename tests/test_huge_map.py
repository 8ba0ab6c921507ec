"""A map of a sparse raster of 200,000 x 200,000 pixels: bounded memory, and the right values."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import rasterio
from numpy.testing import assert_allclose
from rasterio.windows import Window

from skycue.geo.raster import Raster
from skycue.scene_map import write_map
from tests.conftest import build_tiny_clip
from tests.made_up_rasters import CRS, PLACE, fields, zero_shot

SIDE, BLOCK, N_BLOCKS = 200_000, 512, 500
WINDOW, STRIDE = 256, 128
MOST_BYTES = 2_000_000_000
SPARE = 2
"""Blocks from one filled block to the next at least, so that no window sees two."""
PEAK = "VmHWM:"
"""Line of /proc/self/status with the most memory that a process has had, in KiB."""


class Made(NamedTuple):
    """What a process said of the map that it made."""

    classified: int
    skipped: int
    peak_bytes: int


def write_sparse(path: Path, side: int, corners: list[tuple[int, int]]) -> None:
    """Write a raster whose blocks at some (row, column) are filled, each with its own fields."""
    form = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "sparse_ok": True}
    place = {"crs": CRS, "transform": PLACE, "nodata": 0, "dtype": "uint8", "count": 3}
    with rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, bigtiff="YES", **form, **place
    ) as dataset:
        for number, (row, column) in enumerate(corners):
            pixels = fields(13, 13, seed=number)[:, :BLOCK, :BLOCK]
            dataset.write(pixels, window=Window(column * BLOCK, row * BLOCK, BLOCK, BLOCK))


def make_map(path: Path, folder: Path) -> Made:
    """Make a map of a raster in this process."""
    classifier = zero_shot(build_tiny_clip())
    record = write_map(classifier, Raster.open(path), folder, window=WINDOW, stride=STRIDE)
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    peak = next(line for line in lines if line.startswith(PEAK)).split()[1]
    return Made(record.classified, record.skipped, int(peak) * 1024)


def draw_corners() -> list[tuple[int, int]]:
    """Draw where filled blocks lie, none beside another and none at the edge."""
    rng = np.random.default_rng(5)
    across = SIDE // BLOCK // SPARE - 1
    chosen = rng.choice(across * across, N_BLOCKS, replace=False)
    return [(1 + SPARE * int(n // across), 1 + SPARE * int(n % across)) for n in chosen]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
def test_a_huge_sparse_raster_has_the_map_of_its_blocks_in_little_memory(tmp_path: Path) -> None:
    corners = draw_corners()
    write_sparse(tmp_path / "huge.tif", SIDE, corners)
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        made = alone.submit(make_map, tmp_path / "huge.tif", tmp_path / "huge").result()
    assert made.peak_bytes < MOST_BYTES
    side_cells = -(-SIDE // STRIDE)
    assert made.classified + made.skipped == side_cells**2
    assert made.classified == N_BLOCKS * (BLOCK // STRIDE) ** 2

    few = corners[:9]
    near = [(1 + SPARE * (n // 3), 1 + SPARE * (n % 3)) for n in range(9)]
    write_sparse(tmp_path / "small.tif", (1 + SPARE * 3) * BLOCK, near)
    make_map(tmp_path / "small.tif", tmp_path / "small")
    with (
        rasterio.open(tmp_path / "huge" / "probabilities.tif") as huge,
        rasterio.open(tmp_path / "small" / "probabilities.tif") as small,
    ):
        for far, place in zip(few, near, strict=True):
            seen = [
                dataset.read(window=_cells_on(*block))
                for dataset, block in ((huge, far), (small, place))
            ]
            assert np.isfinite(seen[0]).all()
            assert_allclose(seen[0], seen[1], atol=1e-5)


def _cells_on(row: int, column: int) -> Window:
    """Return the cells that lie on a block."""
    per_block = BLOCK // STRIDE
    return Window(column * per_block, row * per_block, per_block, per_block)
