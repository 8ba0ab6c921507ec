"""What image files are read, and how the others are refused."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from skycue.data.images import check_image, read_image, read_pixels
from skycue.errors import ImageReadError

RGB = np.random.default_rng(3).integers(0, 256, (12, 20, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def test_an_rgb_image_is_read_channel_first_with_its_own_values(tmp_path: Path) -> None:
    path = tmp_path / "tile.png"
    Image.fromarray(RGB).save(path)
    image = read_image(path)
    assert image.dtype == torch.uint8
    assert torch.equal(image, torch.from_numpy(RGB).permute(2, 0, 1))


@pytest.mark.parametrize("name", ["tile.tif", "tile.bmp", "tile.png"])
def test_lossless_formats_give_the_same_pixels(tmp_path: Path, name: str) -> None:
    Image.fromarray(RGB).save(tmp_path / name)
    np.testing.assert_array_equal(read_pixels(tmp_path / name), RGB)


def test_greyscale_becomes_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_pixels(tmp_path / "grey.png"), np.stack([GREY] * 3, 2))


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(tmp_path / "palette.png")
    assert read_pixels(tmp_path / "palette.png")[4, 4].tolist() == [10, 200, 30]


def test_opaque_alpha_is_dropped_and_a_transparent_pixel_refused(tmp_path: Path) -> None:
    alpha = np.full((12, 20, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(tmp_path / "opaque.png")
    alpha[5, 5] = 254
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(read_pixels(tmp_path / "opaque.png"), RGB)
    with pytest.raises(ImageReadError, match="transparent pixels; opaque images are allowed"):
        read_pixels(tmp_path / "clear.png")


def png_of_rgb(side: int, bits: int) -> bytes:
    """Return a PNG that claims any size and depth, which Pillow itself would not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + bytes(range(48))) * 8
    header = struct.pack(">IIBBBBB", side, side, bits, 2, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_refused(folder: Path, kind: str) -> Path:
    """Write a file that must be refused, and return its path."""
    path = folder / f"{kind}.png"
    if kind == "cmyk":
        path = path.with_suffix(".jpg")
        Image.fromarray(RGB).convert("CMYK").save(path)
    elif kind == "grey16":
        Image.fromarray(GREY.astype(np.uint16) * 256).save(path)
    elif kind == "rgb16":
        path.write_bytes(png_of_rgb(side=8, bits=16))
    elif kind == "float":
        path = path.with_suffix(".tif")
        Image.fromarray(GREY.astype(np.float32)).save(path)
    elif kind == "bits":
        Image.fromarray(GREY > 128).save(path)
    elif kind == "small":
        Image.new("RGB", (7, 30)).save(path)
    elif kind == "long":
        Image.new("RGB", (33, 8)).save(path)
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "gif":
        Image.fromarray(GREY).save(path.with_suffix(".gif"))
        path.with_suffix(".gif").rename(path)
    elif kind == "pages":
        path = path.with_suffix(".tif")
        page = Image.fromarray(RGB)
        page.save(path, save_all=True, append_images=[page])
    return path


REFUSALS = {
    "cmyk": "colour mode CMYK",
    "grey16": "16 bits a channel",
    "rgb16": "16 bits a channel",
    "float": "32 bits a channel",
    "bits": "colour mode 1",
    "small": "30 x 7 pixels; each side needs at least 8",
    "long": "8 x 33 pixels; a side is over 4 times the other",
    "empty": "empty file",
    "text": "not an image",
    "gif": "not an image",
    "pages": "2 frames or pages",
    "absent": "no such file",
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_is_not_8_bit_rgb_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = write_refused(tmp_path, kind)
    with pytest.raises(ImageReadError, match=REFUSALS[kind]) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert REFUSALS[kind] in str(check_image(path).problem)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_a_file_that_was_cut_off_is_found_without_decoding_all(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    assert check_image(path).problem is None
    path.write_bytes(path.read_bytes()[:-400])
    assert "damaged or cut off" in str(check_image(path).problem)
    with pytest.raises(ImageReadError, match="damaged or cut off"):
        read_image(path)


def test_a_raster_beyond_the_pixel_limit_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(RGB).save(tmp_path / "tile.png")
    monkeypatch.setattr("skycue.data.images.MAX_PIXELS", 200)
    with pytest.raises(ImageReadError, match="12 x 20 pixels; at most 200 are read"):
        read_image(tmp_path / "tile.png")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_rgb(side=16_000, bits=8))
    with pytest.raises(ImageReadError, match="more than 64,000,000 pixels"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Pillow's remarks on damaged metadata
@given(st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_bytes_are_refused_or_read_but_never_crash(
    tmp_path: Path, data: st.DataObject
) -> None:
    suffix = data.draw(st.sampled_from([".jpg", ".png", ".tif", ".bmp", ".webp"]))
    path = tmp_path / f"damaged{suffix}"
    Image.fromarray(RGB).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    check = check_image(path, decode=True)
    if check.problem is None:
        assert read_pixels(path).shape == (*check.size, 3)
    else:
        with pytest.raises(ImageReadError):
            read_pixels(path)
