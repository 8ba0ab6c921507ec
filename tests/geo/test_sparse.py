"""Blocks that a sparse GeoTIFF does not hold, and a raster far larger than memory."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window

from skycue.geo.cells import CellGrid
from skycue.geo.raster import Raster
from skycue.geo.stretch import find_stretch
from skycue.geo.tiles import PixelWindow
from tests.geo.rasters import write_bands

Options = dict[str, str | float | bool]

PLACE = Affine(0.5, 0.0, 300000.0, 0.0, -0.5, 5750000.0)


def write_sparse(
    path: Path,
    side: int,
    block: int,
    places: list[tuple[int, int]],
    pixels: NDArray[np.generic],
    **options: str | float | bool,
) -> Path:
    """Write blocks [M, N, block, block] at places (column, row) of blocks, and nothing else."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=pixels.shape[1],
        dtype=pixels.dtype,
        tiled=True,
        blockxsize=block,
        blockysize=block,
        sparse_ok=True,
        crs="EPSG:32631",
        transform=PLACE,
        **options,
    ) as dataset:
        for (column, row), values in zip(places, pixels, strict=True):
            dataset.write(values, window=Window(column * block, row * block, block, block))
    return path


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
def test_windows_that_meet_no_block_are_known_to_be_empty(
    tmp_path: Path, interleave: str, bigtiff: str
) -> None:
    places = [(1, 0), (5, 7), (7, 7)]
    pixels = np.full((3, 3, 16, 16), 9, np.uint16)
    options: Options = {
        "interleave": interleave,
        "bigtiff": bigtiff,
        "compress": "deflate",
        "nodata": 0,
    }
    path = write_sparse(tmp_path / "a.tif", 128, 16, places, pixels, **options)
    raster = Raster.open(path)
    assert raster.filled_blocks().tolist() == [1, 7 * 8 + 5, 7 * 8 + 7]
    assert raster.is_empty(PixelWindow(0, 0, 16, 128))
    assert not raster.is_empty(PixelWindow(0, 0, 17, 1))
    assert raster.is_empty(PixelWindow(-50, -50, 50, 50))
    for window, stride in ((16, 16), (24, 7), (5, 5), (200, 100)):
        for place in CellGrid(raster.size, window, stride):
            assert raster.read(place).valid.any() != raster.is_empty(place)


def test_a_missing_block_without_nodata_is_black_and_valid(tmp_path: Path) -> None:
    pixels = np.full((1, 3, 16, 16), 9, np.uint8)
    raster = Raster.open(write_sparse(tmp_path / "a.tif", 64, 16, [(0, 0)], pixels))
    assert not raster.is_empty(PixelWindow(32, 32, 16, 16))
    assert len(raster.filled_blocks()) == 16
    assert raster.read(PixelWindow(32, 32, 16, 16)).valid.all()


def test_a_missing_block_of_alpha_is_empty(tmp_path: Path) -> None:
    pixels = np.full((1, 4, 16, 16), 255, np.uint8)
    path = write_sparse(
        tmp_path / "a.tif", 64, 16, [(3, 3)], pixels, photometric="RGB", alpha="YES"
    )
    raster = Raster.open(path)
    assert raster.is_empty(PixelWindow(0, 0, 48, 64))
    assert not raster.read(PixelWindow(0, 0, 48, 64)).valid.any()
    assert raster.read(PixelWindow(48, 48, 16, 16)).valid.all()


def test_formats_without_an_index_are_never_known_to_be_empty(tmp_path: Path) -> None:
    bands = np.zeros((1, 16, 16), np.uint8)
    raster = Raster.open(write_bands(tmp_path / "a.img", bands, driver="HFA", nodata=0))
    assert not raster.is_empty(PixelWindow(0, 0, 16, 16))
    assert not raster.read(PixelWindow(0, 0, 16, 16)).valid.any()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="`resource` is not on Windows")
def test_a_raster_of_forty_gigapixels_reads_as_a_small_one_of_the_same_blocks(
    tmp_path: Path,
) -> None:
    side, block, count = 200_000, 256, 500
    columns = -(-side // block)
    generator = np.random.default_rng(4)
    chosen = np.sort(generator.choice((columns - 1) ** 2, count, replace=False))
    places = [(int(n % (columns - 1)), int(n // (columns - 1))) for n in chosen]
    pixels = generator.gamma(2.0, 300.0, (count, 3, block, block)).astype(np.uint16)  # some 0
    options: Options = {"nodata": 0, "compress": "deflate", "photometric": "RGB"}
    huge = Raster.open(
        write_sparse(tmp_path / "huge.tif", side, block, places, pixels, bigtiff="YES", **options)
    )
    row = 25  # blocks in a row of the small raster
    packed = [(n % row, n // row) for n in range(count)]
    small = Raster.open(
        write_sparse(tmp_path / "small.tif", row * block, block, packed, pixels, **options)
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert find_stretch(huge) == find_stretch(small)  # 500 of 1,000 blocks: all are sampled
    assert huge.stretch == small.stretch
    for (x, y), (u, v) in zip(places, packed, strict=True):
        one = huge.read(PixelWindow(x * block, y * block, block, block))
        other = small.read(PixelWindow(u * block, v * block, block, block))
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.valid, other.valid)
        assert one.georeference is not None
        assert one.georeference.transform[2] == 300000.0 + 0.5 * x * block

    grid = CellGrid(huge.size, 256, 256)
    filled = [n for n in range(len(grid)) if not huge.is_empty(grid.cell(n))]
    assert filled == sorted(y * grid.columns + x for x, y in places)

    quick_look = huge.read(PixelWindow.whole(huge.size), (500, 500))  # 400 pixels in one
    cells = {
        (r, c)
        for x, y in places
        for r in range(y * block // 400, ((y + 1) * block - 1) // 400 + 1)
        for c in range(x * block // 400, ((x + 1) * block - 1) // 400 + 1)
    }
    assert set(map(tuple, np.argwhere(quick_look.valid).tolist())) == cells
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mb < 700  # of 2 GB, most belongs to the networks
