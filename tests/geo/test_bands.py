"""Which bands of a raster are shown."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from skycue.errors import BandError, ImageReadError
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from tests.geo.rasters import write_bands

FIVE = np.stack([np.full((16, 16), 10 * n, np.uint8) for n in range(1, 6)])


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Five bands: blue, green, red, near infrared by description; 5 is another green."""
    path = write_bands(tmp_path / "five.tif", FIVE, photometric="MINISBLACK")
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B02", "B03", "B04", "NIR", "b03 ")
        dataset.colorinterp = [
            ColorInterp.blue,
            ColorInterp.green,
            ColorInterp.red,
            ColorInterp.nir,
            ColorInterp.undefined,
        ]
    return path


def shown(path: Path, bands: list[int | str] | None = None) -> list[int]:
    read = Raster.open(path, bands=bands).read(PixelWindow(0, 0, 1, 1))
    return [int(value) for value in read.pixels[:, 0, 0]]


def test_the_bands_that_the_file_calls_red_green_and_blue_are_shown(five: Path) -> None:
    assert Raster.open(five).bands == (3, 2, 1)
    assert shown(five) == [30, 20, 10]


def test_bands_described_as_red_green_and_blue_are_shown_where_none_are_marked(
    tmp_path: Path,
) -> None:
    path = write_bands(tmp_path / "described.tif", FIVE, photometric="MINISBLACK")
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("Blue", "green ", "nir", "RED", None)
    assert shown(path) == [40, 20, 10]
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("blue", "green", "red", "red", None)
    assert shown(path) == [10, 20, 30], "which of two reds is meant is not known"


def test_bands_are_chosen_by_number_description_and_colour(five: Path) -> None:
    assert shown(five, [4, 3, 2]) == [40, 30, 20]
    assert shown(five, ["nir", "B04", "green"]) == [40, 30, 20]
    assert shown(five, ["4", " 1 ", 5]) == [40, 10, 50]
    assert shown(five, ["NIR"]) == [40, 40, 40]
    assert shown(five, [1, 1, 1]) == [10, 10, 10]


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([6], r"has no band 6: its bands are 1 to 5"),
        ([0], r"has no band 0: its bands are 1 to 5"),
        ([-1], r"has no band '-1'"),
        (["swir"], r"no band 'swir': its bands are 1 \(B02\), 2 \(B03\), 3 \(B04\), 4 \(NIR\), 5"),
        (["B03"], r"bands \[2, 5\] of .* are all named 'B03': give a number"),
        ([1, 2], "2 bands of .* are asked for; give 1 .grey. or 3"),
        ([], "0 bands of"),
    ],
)
def test_bands_that_are_not_there_are_refused(
    five: Path, bands: list[int | str], message: str
) -> None:
    with pytest.raises(BandError, match=message):
        Raster.open(five, bands=bands)


def test_two_bands_without_names_are_grey(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_bands(tmp_path / "two.tif", FIVE[:2], photometric="MINISBLACK")
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.undefined]
    assert shown(path) == [10, 10, 10]
    assert "has 2 bands and names no colours: of them 1 is shown. Choose others by --bands." in (
        caplog.text
    )


def test_a_palette_becomes_its_colours_and_is_never_averaged(tmp_path: Path) -> None:
    values = np.zeros((16, 16), np.uint8)
    values[:8, 8:], values[8:, 8:] = 2, 3
    image = Image.fromarray(values)
    image.putpalette(bytes([10, 20, 30, 110, 120, 130, 210, 220, 230, 8, 8, 8]))
    image.save(tmp_path / "palette.png", transparency=bytes([255, 255, 0, 0]))
    raster = Raster.open(tmp_path / "palette.png")
    read = raster.read(PixelWindow(0, 0, 16, 16))
    assert read.pixels[:, 0, 0].tolist() == [10, 20, 30]
    assert read.valid.tolist() == [[True] * 8 + [False] * 8] * 16  # clear colours
    opaque = Image.fromarray(np.tile(np.array([[0, 2]], np.uint8), (8, 4)))
    opaque.putpalette(image.getpalette() or [])
    opaque.save(tmp_path / "opaque.png")  # colour 1 lies in the middle of the others
    small = Raster.open(tmp_path / "opaque.png").read(PixelWindow(0, 0, 8, 8), (4, 4))
    assert set(small.pixels[0].ravel().tolist()) <= {10, 210}


def test_complex_numbers_are_refused_by_name(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "radar.tif", np.zeros((1, 16, 16), np.complex64))
    with pytest.raises(ImageReadError, match=r"values of complex64 in bands \[1\]; one type"):
        Raster.open(path)


def test_a_value_for_none_that_the_type_cannot_hold_counts_for_nothing(tmp_path: Path) -> None:
    path = write_bands(tmp_path / "a.tif", FIVE[:1])
    tagged = write_bands(tmp_path / "b.tif", FIVE[:1].astype(np.int16), nodata=-9999)
    assert Raster.open(tagged).read(PixelWindow(0, 0, 16, 16)).valid.all()
    assert Raster.open(path).is_plain_image
    assert not Raster.open(tagged).is_plain_image
