"""Files that boxes are described on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.data.images import read_pixels
from skycue.errors import BandError
from skycue.files import sha256_of
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.region_inputs import JpegImage, box_around_point, open_described


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.tif", "a.bmp", "a.webp"])
def test_a_small_image_has_the_pixels_that_scene_images_have(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(7)
    squares = np.kron(rng.integers(0, 255, (8, 10, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    Image.fromarray(squares).save(tmp_path / name)
    image = open_described(tmp_path / name)
    assert (image.size, image.georeference) == ((64, 80), None)
    read = image.read(PixelWindow.whole(image.size))
    assert read.valid.all()
    np.testing.assert_array_equal(read.pixels.transpose(1, 2, 0), read_pixels(tmp_path / name))


def test_a_window_of_a_jpeg_is_cut_and_averaged(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    y, x = np.mgrid[:64, :96]
    Image.fromarray(np.stack([x, y, x + y], axis=2).astype(np.uint8)).save(path, quality=95)
    image = open_described(path)
    assert isinstance(image, JpegImage)
    window = PixelWindow(16, 8, 32, 40)
    part = read_pixels(path)[8:48, 16:48]
    read = image.read(window)
    np.testing.assert_array_equal(read.pixels.transpose(1, 2, 0), part)
    means = part.reshape(20, 2, 16, 2, 3).mean(axis=(1, 3))
    half = image.read(window, (20, 16)).pixels.transpose(1, 2, 0)
    np.testing.assert_allclose(half, means, atol=2)
    assert image.content_key() == image.sha256() == sha256_of(path)


def test_chosen_bands_are_read_by_gdal(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.full((40, 40, 3), (200, 100, 50), np.uint8)).save(path)
    swapped = open_described(path, [3, 2, 1])
    assert isinstance(swapped, Raster)
    red, _, blue = swapped.read(PixelWindow(0, 0, 4, 4)).pixels[:, 0, 0].tolist()
    assert red < 60 < 190 < blue
    with pytest.raises(BandError):
        open_described(path, ["nir"])


def test_the_box_around_a_point_stays_small_on_a_large_raster() -> None:
    assert box_around_point((50, 40), (200, 100)) == (45, 35, 55, 45)
    # a tenth of 1024, the side of the smallest window, and of the shorter side where that is less
    found = box_around_point((5000, 5000), (30_000, 50_000))
    assert found == pytest.approx((4948.8, 4948.8, 5051.2, 5051.2))
    assert box_around_point((50, 9000), (30_000, 100)) == (45, 8995, 55, 9005)
