"""From values to levels, and the sample that finds how."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rasterio.enums import Resampling

from skycue.errors import BandError
from skycue.geo import stretch as stretch_module
from skycue.geo.raster import Raster
from skycue.geo.stretch import Stretch, find_stretch
from skycue.geo.tiles import PixelWindow
from tests.geo.rasters import write_bands


def test_levels_by_hand() -> None:
    stretch = Stretch(low=(100.0,), high=(355.0,))
    values = np.array([[[0, 100, 101, 227, 355, 60000]]], dtype=np.uint16)
    assert stretch.to_levels(values).tolist() == [[[0, 0, 1, 127, 255, 255]]]
    real = np.array([[[np.nan, -np.inf, np.inf, 100.5]]], dtype=np.float32)
    assert stretch.to_levels(real).tolist() == [[[0, 0, 255, 1]]]
    eight_bits = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_array_equal(Stretch.identity(1).to_levels(eight_bits), eight_bits)
    assert Stretch.identity(1, bits=4).to_levels(np.array([[[0, 5, 15]]], np.uint8)).tolist() == [
        [[0, 85, 255]]
    ]


@given(
    st.sampled_from([np.int16, np.uint16, np.int32, np.float32, np.float64]),
    st.floats(-3e4, 3e4),
    st.floats(0.5, 3e4),
)
def test_levels_are_those_of_the_formula(dtype: type[np.number], low: float, width: float) -> None:
    values = np.linspace(max(-3e4, 0 if dtype == np.uint16 else -3e4), 3e4, 999).astype(dtype)
    levels = Stretch(low=(low,), high=(low + width,)).to_levels(values[None, None])[0, 0]
    exact = np.clip((values.astype(np.float64) - low) / width, 0, 1) * 255
    assert np.abs(levels - exact).max() <= 0.51  # rounded
    assert (np.diff(levels.astype(int)) >= 0).all()


def test_a_stretch_survives_json_and_refuses_nonsense() -> None:
    stretch = Stretch(low=(0.1, -5.0, 3e-7), high=(0.3, 1e9, 1.0))
    assert Stretch.model_validate_json(stretch.model_dump_json()) == stretch
    for low, high in [((1.0,), (1.0,)), ((2.0,), (1.0,)), ((1.0,), (2.0, 3.0))]:
        with pytest.raises(ValidationError):
            Stretch(low=low, high=high)
    with pytest.raises(ValidationError):
        Stretch(low=(float("nan"),), high=(1.0,))


def noise(bands: int, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    generator = np.random.default_rng(1)
    return generator.gamma(2.0, 300.0, (bands, side, side)).astype(np.uint16) + 1


def test_percentiles_are_those_of_all_valid_pixels_where_all_are_sampled(tmp_path: Path) -> None:
    values = noise(3, 48)
    values[:, :10] = 0
    raster = Raster.open(write_bands(tmp_path / "a.tif", values, nodata=0, photometric="RGB"))
    expected = np.percentile(values[:, 10:].reshape(3, -1), [2, 98], axis=1)
    assert raster.stretch == Stretch(low=tuple(expected[0]), high=tuple(expected[1]))


def test_a_sample_of_few_blocks_is_near_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = noise(1, 512)  # 1,024 blocks
    path = write_bands(tmp_path / "a.tif", values)
    read: list[PixelWindow] = []

    class Watched(Raster):
        def read_values(self, window, size=None):  # type: ignore[no-untyped-def]
            read.append(window)
            return super().read_values(window, size)

    monkeypatch.setattr(stretch_module, "MAX_BLOCKS", 100)
    first, again = find_stretch(Watched(path)), find_stretch(Watched(path))
    other = find_stretch(Watched(path), seed=1)
    assert first == again != other
    assert len(read) == 300  # no full pass
    assert len(set(read[:100])) == 100
    assert read[:100] == sorted(read[:100], key=lambda window: (window.y, window.x))
    expected = np.percentile(values, [2, 98])
    assert first.low[0] == pytest.approx(expected[0], rel=0.1)
    assert first.high[0] == pytest.approx(expected[1], rel=0.1)


def test_the_lattice_of_a_block_sees_all_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.tile(np.arange(16, dtype=np.uint16), (1, 16, 1))
    monkeypatch.setattr(stretch_module, "VALUES_OF_BLOCK", 64)  # of 256
    found = Raster.open(write_bands(tmp_path / "a.tif", values)).stretch
    assert (found.low[0], found.high[0]) == pytest.approx((0.0, 15.0), abs=0.5)


def test_an_overview_is_read_instead_of_blocks(tmp_path: Path) -> None:
    values = np.full((1, 256, 256), 1000, np.uint16)
    values[0, 1::2, 1::2] = 9000  # nearest overviews keep the others
    path = write_bands(tmp_path / "a.tif", values)
    assert Raster.open(path).stretch.high == (9000.0,)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2], Resampling.nearest)
    assert Raster.open(path).stretch == Stretch(low=(1000.0,), high=(1001.0,))


def test_rasters_of_nothing_or_of_one_value_have_a_stretch(tmp_path: Path) -> None:
    empty = write_bands(tmp_path / "a.tif", np.zeros((1, 32, 32), np.uint16), nodata=0)
    assert Raster.open(empty).stretch == Stretch(low=(0.0,), high=(1.0,))
    one = write_bands(tmp_path / "b.tif", np.full((1, 32, 32), 7.5, np.float32))
    assert Raster.open(one).stretch == Stretch(low=(7.5,), high=(8.5,))


def test_a_given_stretch_counts_and_fits_the_bands(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "a.tif", noise(3, 32), photometric="RGB")
    given_one = Stretch(low=(0.0, 1.0, 2.0), high=(9.0, 9.0, 9.0))
    assert Raster.open(path, stretch=given_one).stretch == given_one
    with pytest.raises(BandError, match="a stretch of 3 bands is given for 1 shown bands"):
        Raster.open(path, bands=[2], stretch=given_one)


def test_eight_bits_are_stretched_only_when_asked_for(tmp_path: Path) -> None:
    values = np.clip(noise(1, 64) // 20, 0, 90).astype(np.uint8)
    path = write_bands(tmp_path / "a.tif", values)
    assert Raster.open(path).stretch == Stretch.identity(1)
    asked = Raster.open(path, stretch=find_stretch(Raster.open(path)))
    whole = PixelWindow.whole(asked.size)
    assert Raster.open(path).read(whole).pixels.max() == values.max()
    assert asked.read(whole).pixels.max() == 255
