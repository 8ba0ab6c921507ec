"""Reading of georeferenced rasters."""

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

import skycue
from skycue.errors import GeoError, ImageReadError
from skycue.geo.georeference import GeoReference
from skycue.geo.raster import has_georeference, read_raster

PLACE = Affine(0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0)
RGB = np.random.default_rng(3).integers(0, 256, (3, 20, 30)).astype(np.uint8)


def write(
    path: Path,
    bands: NDArray[np.generic],
    *,
    crs: str | None = "EPSG:32631",
    transform: Affine = PLACE,
    **options: str | int,
) -> Path:
    """Write bands [N, H, W] as a GeoTIFF."""
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=height,
        width=width,
        dtype=bands.dtype,
        crs=crs,
        transform=transform,
        **options,
    ) as dataset:
        dataset.write(bands)
    return path


@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
def test_pixels_and_place_are_those_of_the_file(
    tmp_path: Path, bigtiff: str, endianness: str
) -> None:
    form = {"bigtiff": bigtiff, "endianness": endianness}
    path = write(tmp_path / "a.tif", RGB, photometric="RGB", nodata=7, **form)
    assert has_georeference(path)
    image = read_raster(path)
    np.testing.assert_array_equal(image.pixels, RGB)
    assert image.georeference == GeoReference(
        "EPSG:32631", (0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0), 7.0
    )


def test_pixels_reach_the_map_and_come_back() -> None:
    place = GeoReference("EPSG:32631", (0.4, 0.3, 100.0, 0.3, -0.4, 900.0))
    pixels = np.array([[0.0, 0.0], [10.0, 20.0]])
    # 0.4 * 10 + 0.3 * 20 + 100 and 0.3 * 10 - 0.4 * 20 + 900
    np.testing.assert_allclose(place.to_map(pixels), [[100.0, 900.0], [110.0, 895.0]])
    np.testing.assert_allclose(place.to_pixels(place.to_map(pixels)), pixels, atol=1e-9)


def test_grey_palette_and_opaque_alpha_become_rgb(tmp_path: Path) -> None:
    grey = read_raster(write(tmp_path / "grey.tif", RGB[:1])).pixels
    np.testing.assert_array_equal(grey, np.repeat(RGB[:1], 3, axis=0))
    opaque = np.concatenate([RGB, np.full((1, 20, 30), 255, np.uint8)])
    with_alpha = write(tmp_path / "alpha.tif", opaque, photometric="RGB", alpha="YES")
    np.testing.assert_array_equal(read_raster(with_alpha).pixels, RGB)
    path = tmp_path / "palette.tif"
    write(path, np.full((1, 20, 30), 2, np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {2: (10, 20, 30, 255)})
    np.testing.assert_array_equal(read_raster(path).pixels[:, 5, 6], [10, 20, 30])


def test_sixteen_bits_many_bands_few_bits_and_clear_pixels_are_read_by_rule(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wide = read_raster(write(tmp_path / "wide.tif", RGB.astype(np.uint16) * 100)).pixels
    low, high = np.percentile(RGB[1].astype(float) * 100, [2, 98])
    expected = np.clip((RGB[1] * 100.0 - low) / (high - low) * 255 + 0.5, 0, 255)
    np.testing.assert_array_equal(wide[1], np.floor(expected))
    four = write(tmp_path / "four.tif", np.concatenate([RGB, RGB[:1]]), photometric="MINISBLACK")
    with rasterio.open(four, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * 3
    np.testing.assert_array_equal(read_raster(four).pixels, RGB)
    assert "has 4 bands and names no colours: of them 1, 2, 3 are shown" in caplog.text
    alpha = np.full((1, 20, 30), 255, np.uint8)
    alpha[0, :, 15:] = 0
    path = write(
        tmp_path / "clear.tif", np.concatenate([RGB, alpha]), photometric="RGB", alpha="YES"
    )
    np.testing.assert_array_equal(read_raster(path).pixels, np.where(alpha > 0, RGB, 0))
    bits = write(tmp_path / "bits.tif", RGB[:1] // 128, nbits=1)
    np.testing.assert_array_equal(read_raster(bits).pixels[2], (RGB[0] // 128) * 255)


def test_a_cut_off_file_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "cut.tif", RGB)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ImageReadError, match="damaged or cut off") as caught:
        read_raster(path)
    assert "\n" not in str(caught.value)


def test_a_degenerate_geotransform_is_refused(tmp_path: Path) -> None:
    flat = write(tmp_path / "flat.tif", RGB, transform=Affine(0.5, 0.5, 0.0, 0.5, 0.5, 0.0))
    with pytest.raises(GeoError, match="maps its pixels onto a line or a point"):
        read_raster(flat)


def test_only_a_crs_with_a_geotransform_is_a_georeference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = tmp_path / "plain.tif"
    Image.fromarray(RGB.transpose(1, 2, 0)).save(plain)
    assert not has_georeference(plain)
    assert not has_georeference(tmp_path / "missing.tif")
    (tmp_path / "text.tif").write_text("II no TIFF at all", encoding="ascii")
    assert not has_georeference(tmp_path / "text.tif")
    (tmp_path / "empty.tif").touch()
    assert not has_georeference(tmp_path / "empty.tif")
    no_crs = write(tmp_path / "no_crs.tif", RGB, crs=None)
    assert not has_georeference(no_crs) or read_raster(no_crs).georeference is None
    with pytest.warns(NotGeoreferencedWarning):
        no_place = write(tmp_path / "no_place.tif", RGB, transform=Affine.identity())
    assert not has_georeference(no_place)
    assert re.search("has no geotransform", caplog.text)


def test_only_this_part_imports_rasterio() -> None:
    package = Path(skycue.__file__).parent
    found = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import|from) rasterio", path.read_text("utf-8"), re.MULTILINE)
    }
    assert found == {"geo"}
