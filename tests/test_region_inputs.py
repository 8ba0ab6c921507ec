"""Images, boxes, points and whole images as users give them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import skycue
from skycue.errors import BoxError, ImageReadError
from skycue.geo.raster import read_raster
from skycue.region_inputs import box_around_point, boxes_of, parse_numbers, read_region_image

TANKS = Path(skycue.__file__).parent / "examples" / "spacenet" / "regions" / "rotterdam_tanks.tif"
PIXELS = np.random.default_rng(1).integers(0, 256, (20, 40, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF"])
def test_an_image_without_a_place_has_pixels_only(tmp_path: Path, name: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name)
    image = read_region_image(tmp_path / name)
    assert image.georeference is None
    np.testing.assert_array_equal(image.pixels, PIXELS.transpose(2, 0, 1))


def test_a_geotiff_keeps_its_place() -> None:
    image, raster = read_region_image(TANKS), read_raster(TANKS)
    np.testing.assert_array_equal(image.pixels, raster.pixels)
    assert image.georeference == raster.georeference
    assert image.georeference is not None


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_without_a_place_are_stretched(tmp_path: Path, name: str) -> None:
    values = PIXELS[..., 0].astype(np.uint16) * 100
    Image.fromarray(values).save(tmp_path / name)
    image = read_region_image(tmp_path / name)
    low, high = np.percentile(values, [2, 98])
    expected = np.clip((values - low) / (high - low), 0, 1) * 255
    assert np.abs(image.pixels - expected).max() <= 0.51
    assert image.georeference is None


def test_transparent_pixels_are_black_and_opaque_ones_as_they_are(tmp_path: Path) -> None:
    alpha = np.full((20, 40, 1), 255, np.uint8)
    alpha[:, 30:] = 0
    Image.fromarray(np.concatenate([PIXELS, alpha], axis=2)).save(tmp_path / "a.png")
    image = read_region_image(tmp_path / "a.png")
    expected = np.where(alpha > 0, PIXELS, 0).transpose(2, 0, 1)
    np.testing.assert_array_equal(image.pixels, expected)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match=r"gone\.tif: no such file"):
        read_region_image(tmp_path / "gone.tif")


def test_the_box_around_a_point_is_a_tenth_of_the_shorter_side_and_cut_to_the_image() -> None:
    assert box_around_point((200.0, 50.0), (100, 400)) == (195.0, 45.0, 205.0, 55.0)
    assert box_around_point((0.0, 98.0), (100, 400)) == (0.0, 93.0, 5.0, 100.0)


def test_boxes_come_before_points_and_the_whole_image_last() -> None:
    found = boxes_of((100, 400), [(1.0, 2.0, 3.0, 500.0)], [(200.0, 50.0)], whole=True)
    assert found == [
        (1.0, 2.0, 3.0, 100.0),
        (195.0, 45.0, 205.0, 55.0),
        (0.0, 0.0, 400.0, 100.0),
    ]
    assert boxes_of((100, 400), []) == []


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ((400.0, 5.0), r"point 1 \[400, 5\] lies outside the image of 400 x 100 pixels"),
        ((5.0, -0.1), "lies outside the image"),
        ((float("nan"), 5.0), "holds a number that is not finite"),
    ],
)
def test_a_point_that_cannot_be_used_is_refused(point: tuple[float, float], message: str) -> None:
    with pytest.raises(BoxError, match=message):
        boxes_of((100, 400), [], [point])


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((400.0, 0.0, 410.0, 10.0), r"box 2 \[400, 0, 410, 10\] lies outside the image"),
        ((30.0, 10.0, 20.0, 40.0), "has no area: x_max must exceed x_min"),
        ((30.0, 10.0, 40.0, 10.0), "has no area: y_max must exceed y_min"),
        ((float("nan"), 0.0, 1.0, 1.0), "holds a number that is not finite"),
    ],
)
def test_a_box_that_cannot_be_used_is_refused_by_its_number(
    box: tuple[float, ...], message: str
) -> None:
    with pytest.raises(BoxError, match=message):
        boxes_of((100, 400), [(0.0, 0.0, 5.0, 5.0), box])


def test_numbers_are_read_and_other_text_is_refused() -> None:
    assert parse_numbers("10, 2.5,3e1,-4", "box 1", "X0,Y0,X1,Y1") == (10.0, 2.5, 30.0, -4.0)
    with pytest.raises(BoxError, match="box 1 '1,2,3' has 3 numbers; give X0,Y0,X1,Y1 in pixels"):
        parse_numbers("1,2,3", "box 1", "X0,Y0,X1,Y1")
    with pytest.raises(BoxError, match="point 2 'a,1' is not X,Y: could not convert"):
        parse_numbers("a,1", "point 2", "X,Y")
