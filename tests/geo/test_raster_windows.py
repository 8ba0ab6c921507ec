"""Windows of rasters against the pixels that were written."""

import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine

from skycue.errors import ImageReadError
from skycue.geo import raster_files
from skycue.geo.cells import CellGrid
from skycue.geo.raster import Raster
from skycue.geo.raster_values import PIECE_SIDE
from skycue.geo.tiles import PixelWindow
from tests.geo.rasters import area_means, write_bands

SIZE = (60, 80)
RGB = np.random.default_rng(3).integers(0, 256, (3, *SIZE)).astype(np.uint8)
CLEAR = np.zeros(SIZE, dtype=np.bool_)
CLEAR[10:25, 15:40] = True
"""Where alpha, masks and nodata of the rasters below say that there is nothing."""


@pytest.fixture(scope="module")
def rgb(tmp_path_factory: pytest.TempPathFactory) -> Raster:
    return Raster.open(
        write_bands(tmp_path_factory.mktemp("rgb") / "a.tif", RGB, photometric="RGB")
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Raster:
    """Real numbers with nodata."""
    values = RGB[:1].astype(np.float32) + 1.0
    values[0, CLEAR] = -9999.0
    path = tmp_path_factory.mktemp("real") / "a.tif"
    return Raster.open(write_bands(path, values, nodata=-9999.0))


windows = st.builds(
    PixelWindow, st.integers(-90, 90), st.integers(-70, 70), st.integers(1, 99), st.integers(1, 99)
)


@settings(max_examples=100, deadline=None)
@given(window=windows)
def test_a_window_shows_its_pixels_and_nothing_outside(rgb: Raster, window: PixelWindow) -> None:
    read = rgb.read(window)
    padded = np.pad(RGB, ((0, 0), (100, 200), (100, 200)))
    inside = np.pad(np.ones(SIZE, np.bool_), ((100, 200), (100, 200)))
    rows = slice(window.y + 100, window.y + 100 + window.height)
    columns = slice(window.x + 100, window.x + 100 + window.width)
    np.testing.assert_array_equal(read.pixels, padded[:, rows, columns])
    np.testing.assert_array_equal(read.valid, inside[rows, columns])
    assert rgb.is_empty(window) == (not read.valid.any())


@settings(max_examples=100, deadline=None)
@example(window=PixelWindow(-1, 0, 9, 9), shrink=(5, 3))
@given(
    window=st.builds(
        PixelWindow,
        st.integers(-90, 90),
        st.integers(-70, 70),
        st.integers(9, 99),
        st.integers(9, 99),
    ),
    shrink=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_a_smaller_window_is_the_mean_of_what_holds_a_value(
    real: Raster, window: PixelWindow, shrink: tuple[int, int]
) -> None:
    values, held = real.read_values(window, shrink)
    written, ok = real.read_values(PixelWindow.whole(SIZE))
    given = (written[0].astype(np.float64), ok[0], window, shrink)
    expected, found = area_means(*given)
    # of two rows and two columns GDAL may weigh the pixels alike, whatever the cell has of each
    four = np.ones(shrink, np.bool_)
    for start, length, limit, axis in ((*window[::2], SIZE[1], 1), (*window[1::2], SIZE[0], 0)):
        edges = np.clip(start + length / shrink[axis] * np.arange(shrink[axis] + 1), 0, limit)
        pixels = np.ceil(edges[1:] - 1e-9) - np.floor(edges[:-1] + 1e-9)
        four &= np.expand_dims(pixels == 2, 1 - axis)
    np.testing.assert_array_equal(held[0], found)
    near = np.isclose(values[0], area_means(*given, alike=True)[0], rtol=1e-4, atol=0)
    by_area = found & ~(four & near)
    np.testing.assert_allclose(values[0][by_area], expected[by_area], rtol=1e-4)


@pytest.mark.parametrize("way", ["nodata", "alpha", "mask"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_holds_nothing_is_black_and_not_valid(
    tmp_path: Path, way: str, dtype: type[np.uint8] | type[np.uint16]
) -> None:
    bands = np.maximum(RGB, 1).astype(dtype)
    path = tmp_path / "a.tif"
    if way == "nodata":
        write_bands(path, np.where(CLEAR, 0, bands).astype(dtype), photometric="RGB", nodata=0)
    elif way == "alpha":
        alpha = np.where(CLEAR, 0, np.iinfo(dtype).max).astype(dtype)
        write_bands(path, np.concatenate([bands, alpha[None]]), photometric="RGB", alpha="YES")
    else:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            write_bands(path, bands, photometric="RGB")
            with rasterio.open(path, "r+") as dataset:
                dataset.write_mask(~CLEAR)
    raster = Raster.open(path)
    assert raster.bands == (1, 2, 3)
    read = raster.read(PixelWindow.whole(SIZE))
    np.testing.assert_array_equal(read.valid, ~CLEAR)
    assert (read.pixels[:, CLEAR] == 0).all()
    if dtype == np.uint8:
        np.testing.assert_array_equal(read.pixels[:, ~CLEAR], np.maximum(RGB, 1)[:, ~CLEAR])
    else:  # percentiles of what is valid alone
        low, high = np.percentile(np.maximum(RGB, 1)[1, ~CLEAR], [2, 98])
        assert (raster.stretch.low[1], raster.stretch.high[1]) == (low, high)


def test_a_pixel_of_nodata_in_one_band_only_is_valid(tmp_path: Path) -> None:
    bands = np.full((3, 16, 16), 9, np.uint8)
    bands[0, 3, 3], bands[:, 5, 5] = 0, 0
    read = Raster.open(write_bands(tmp_path / "a.tif", bands, nodata=0)).read(
        PixelWindow(0, 0, 16, 16)
    )
    assert np.argwhere(~read.valid).tolist() == [[5, 5]]
    assert read.pixels[:, 3, 3].tolist() == [0, 9, 9]


def test_what_is_no_number_is_not_valid_and_spoils_a_mean_unless_it_is_nodata(
    tmp_path: Path,
) -> None:
    values = np.full((1, 16, 16), 5.0, np.float32)
    values[0, 2, 3], values[0, 8, 9] = np.nan, np.inf
    window = PixelWindow(0, 0, 16, 16)
    raster = Raster.open(write_bands(tmp_path / "a.tif", values))
    assert np.argwhere(~raster.read(window).valid).tolist() == [[2, 3], [8, 9]]
    assert np.argwhere(~raster.read(window, (8, 8)).valid).tolist() == [[1, 1], [4, 4]]
    assert raster.stretch.low == (5.0,)
    declared = Raster.open(write_bands(tmp_path / "b.tif", values, nodata=np.nan))
    assert np.argwhere(~declared.read(window).valid).tolist() == [[2, 3], [8, 9]]
    assert np.argwhere(~declared.read(window, (8, 8)).valid).tolist() == [[4, 4]]


def test_overviews_are_read_where_a_window_shrinks(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "a.tif", np.full((1, 256, 256), 10, np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([4], Resampling.average)
    assert Raster.open(path).overview_sizes == [(64, 64)]
    # one in a file beside, of another value, so that it can be told from the pixels
    beside = write_bands(tmp_path / "b.tif", np.full((1, 256, 256), 10, np.uint8))
    write_bands(tmp_path / "b.tif.ovr", np.full((1, 64, 64), 200, np.uint8), crs=None)
    raster = Raster.open(beside)
    whole = PixelWindow.whole(raster.size)
    assert raster.overview_sizes == [(64, 64)]
    assert (raster.read(whole, (64, 64)).pixels == 200).all()
    assert (raster.read(whole, (250, 250)).pixels == 10).all()
    assert (raster.read(whole).pixels == 10).all()


@pytest.mark.parametrize(
    "place",
    [
        Affine(0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0),
        Affine(0.5, 0.0, 593000.0, 0.0, 0.5, 5750000.0),  # south-up
        Affine(0.4, 0.3, 593000.0, 0.3, -0.4, 5750000.0),  # rotated
    ],
)
@given(window=windows, size=st.tuples(st.integers(1, 50), st.integers(1, 50)))
@settings(max_examples=30, deadline=None)
def test_a_window_knows_where_it_lies(
    tmp_path_factory: pytest.TempPathFactory,
    place: Affine,
    window: PixelWindow,
    size: tuple[int, int],
) -> None:
    path = tmp_path_factory.getbasetemp() / f"place{hash(place)}.tif"
    if not path.exists():
        write_bands(path, RGB, transform=place)
    read = Raster.open(path).read(window, size)
    assert read.georeference is not None
    ends = np.array([[0.0, 0.0], [size[1], size[0]], [size[1], 0.0]])
    x, y, width, height = window
    expected = [place @ (x, y), place @ (x + width, y + height), place @ (x + width, y)]
    np.testing.assert_allclose(read.georeference.to_map(ends), expected, rtol=0, atol=1e-6)


def test_a_piece_wider_than_memory_allows_is_joined_without_a_seam(tmp_path: Path) -> None:
    width = 3 * PIECE_SIDE + 100
    values = np.tile(np.arange(width, dtype=np.uint16), (2, 1))[None]
    path = write_bands(tmp_path / "wide.tif", values, nodata=65535)
    raster = Raster.open(path)
    whole, held = raster.read_values(PixelWindow.whole(raster.size))
    np.testing.assert_array_equal(whole, values)
    assert held.all()
    shrunk, _ = raster.read_values(PixelWindow.whole(raster.size), (1, width // 7))
    expected, _ = area_means(values[0].astype(float), held[0], (0, 0, width, 2), (1, width // 7))
    np.testing.assert_allclose(shrunk[0], expected, atol=0.51)


def _sum_of(raster: Raster, window: PixelWindow) -> int:
    return int(raster.read(window).pixels.sum(dtype=np.int64))


def test_threads_and_processes_share_a_raster(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "a.tif", RGB.astype(np.uint16) * 7, photometric="RGB")
    raster = Raster.open(path)
    grid = list(CellGrid(raster.size, 16, 8))
    alone = [_sum_of(raster, window) for window in grid]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda window: _sum_of(raster, window), grid * 5)) == alone * 5
    # Not by fork: of threads that have just ended, PROJ may still hold a lock, which a forked child
    # would wait for without end.
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        jobs = [(raster, window) for window in grid[:20]]
        assert processes.starmap(_sum_of, jobs) == alone[:20]
    copy = pickle.loads(pickle.dumps(raster))
    assert copy.stretch == raster.stretch
    assert _sum_of(copy, grid[3]) == alone[3]


def _exit_by_handle(raster: Raster, inherited: object) -> None:
    raise SystemExit(3 if raster._values.dataset() is inherited else 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_a_forked_child_opens_a_dataset_of_its_own(rgb: Raster) -> None:
    child = multiprocessing.get_context("fork").Process(
        target=_exit_by_handle, args=(rgb, rgb._values.dataset()), daemon=True
    )
    child.start()
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_a_child_reads_although_a_thread_of_its_parent_was_opening_a_file(rgb: Raster) -> None:
    with raster_files._OPENING:
        child = multiprocessing.get_context("fork").Process(
            target=_sum_of, args=(rgb, PixelWindow(0, 0, 9, 9)), daemon=True
        )
        child.start()
        child.join(60)
        stuck = child.is_alive()
        child.kill()
    assert not stuck
    child.join()
    assert child.exitcode == 0


def test_more_pixels_than_the_window_has_lie_between_its_own(tmp_path: Path) -> None:
    values = np.arange(16, dtype=np.float32)[None, None].repeat(16, axis=1) * 10
    raster = Raster.open(write_bands(tmp_path / "a.tif", values))
    read, held = raster.read_values(PixelWindow(4, 4, 8, 8), (16, 16))
    assert held.all()
    # half a pixel is 5: centres lie a quarter of a pixel left and right of those of the raster
    np.testing.assert_allclose(read[0, 5], 40.0 - 2.5 + 5.0 * np.arange(16))


def test_a_thread_opens_a_dataset_of_its_own(rgb: Raster) -> None:
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(rgb._values.dataset()))
    thread.start()
    thread.join()
    assert seen[0] is not rgb._values.dataset()
    assert rgb._values.dataset() is rgb._values.dataset()


def test_the_hash_follows_the_file_and_the_key_what_is_shown(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "a.tif", RGB, photometric="RGB")
    raster = Raster.open(path)
    first = raster.sha256()
    assert raster.sha256() == first
    assert Raster.open(path, bands=[3, 2, 1]).sha256() == first
    assert Raster.open(path, bands=[3, 2, 1]).content_key() != raster.content_key()
    assert Raster.open(path).content_key() == raster.content_key()
    write_bands(path, RGB + 1, photometric="RGB", compress="deflate")
    assert raster.sha256() != first
    path.unlink()
    with pytest.raises(ImageReadError, match="has gone since it was opened"):
        raster.sha256()


def test_ground_sampling_distance_is_metres_whatever_the_crs(tmp_path: Path, rgb: Raster) -> None:
    assert rgb.gsd_m() == pytest.approx(0.5, rel=1e-3)  # UTM scales by up to 0.04 %
    degrees = Affine(1e-5, 0.0, 4.0, 0.0, -1e-5, 60.0)
    north = Raster.open(write_bands(tmp_path / "d.tif", RGB, crs="EPSG:4326", transform=degrees))
    # a degree of latitude at 60 N is 111.41 km long, one of longitude 55.80 km
    assert north.gsd_m() == pytest.approx((1.1141 * 0.5580) ** 0.5, rel=1e-3)
    feet = Affine(1.0, 0.0, 6e5, 0.0, -1.0, 2e5)
    american = write_bands(tmp_path / "f.tif", RGB, crs="EPSG:2263", transform=feet)
    assert Raster.open(american).gsd_m() == pytest.approx(0.3048, rel=1e-3)
    plain = write_bands(tmp_path / "p.tif", RGB, crs=None)
    assert Raster.open(plain).gsd_m() is None
    turned = Affine.rotation(30) @ Affine.scale(2.0, -2.0)
    placed = Affine.translation(593000.0, 5750000.0) @ turned
    rotated = write_bands(tmp_path / "r.tif", RGB, transform=placed)
    assert Raster.open(rotated).gsd_m() == pytest.approx(2.0, rel=1e-3)


def _values_of(path: Path) -> NDArray[np.uint8]:
    raster = Raster.open(path)
    return raster.read(PixelWindow.whole(raster.size)).pixels


@pytest.mark.parametrize(
    ("driver", "suffix", "options"),
    [
        ("PNG", ".png", {}),
        ("JP2OpenJPEG", ".jp2", {"QUALITY": "100", "REVERSIBLE": "YES"}),
        ("HFA", ".img", {}),
        ("ENVI", ".dat", {}),
        ("BMP", ".bmp", {}),
        ("WEBP", ".webp", {"LOSSLESS": True}),
        ("NITF", ".ntf", {"ICORDS": "D"}),
    ],
)
def test_other_formats_are_read_by_their_first_bytes(
    tmp_path: Path, driver: str, suffix: str, options: dict[str, str | bool]
) -> None:
    degrees = Affine(1e-5, 0.0, 4.0, 0.0, -1e-5, 52.0)
    path = tmp_path / f"a{suffix}"
    write_bands(path, RGB, driver=driver, crs="EPSG:4326", transform=degrees, **options)
    np.testing.assert_array_equal(_values_of(path), RGB)
    if driver != "ENVI":  # without a signature, ENVI is told by the header beside
        renamed = path.rename(tmp_path / "a.bin")
        np.testing.assert_array_equal(_values_of(renamed), RGB)
