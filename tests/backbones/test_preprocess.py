"""Our resize and crop give what CLIP's own preprocessing gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from transformers import CLIPImageProcessorPil

from skycue.backbones.preprocess import preprocess

TILES = Path(__file__).parents[3] / "shared" / "data" / "rsicd" / "images"
TOLERANCE = 2 / 255
SIZES = [(224, 224), (256, 256), (600, 600), (64, 64), (97, 143), (301, 200), (480, 640), (1, 5)]


def drawn_tile(width: int, height: int) -> Image.Image:
    """Draw roofs, a road and a field with noise: hard edges and fine grain."""
    rng = np.random.default_rng(width * 1000 + height)
    image = Image.fromarray(rng.integers(60, 140, (height, width, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = int(rng.integers(width)), int(rng.integers(height))
        colour = tuple(int(channel) for channel in rng.integers(0, 256, 3))
        draw.rectangle((left, top, left + width // 6, top + height // 6), fill=colour)
    draw.line((0, 0, width, height), fill=(255, 255, 255), width=2)
    return image


def as_tensor(image: Image.Image) -> Tensor:
    """Return RGB bytes, [3, H, W]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def by_transformers(image: Image.Image, size: int, *, crop: bool) -> Tensor:
    """Return RGB in [0, 1] by transformers' processor, without its normalisation."""
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        do_center_crop=crop,
        do_normalize=False,
    )
    pixels: Tensor = processor(image, return_tensors="pt")["pixel_values"]
    return pixels[0]


def by_clip(image: Image.Image, size: int) -> Tensor:
    """Return transformers' resized image, cropped where OpenAI's CLIP crops.

    OpenAI's CLIP rounds half a pixel of margin to the even number; transformers rounds it down.
    """
    resized = by_transformers(image, size, crop=False)
    top, left = (round((side - size) / 2) for side in resized.shape[1:])
    return resized[:, top : top + size, left : left + size]


def assert_close_to(expected: Tensor, image: Image.Image, size: int) -> None:
    difference = preprocess(as_tensor(image), size) - expected
    assert float(difference.abs().max()) <= TOLERANCE


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_drawn_tiles_are_within_two_levels_of_transformers(
    height: int, width: int, size: int
) -> None:
    image = drawn_tile(width, height)
    assert_close_to(by_clip(image, size), image, size)


@pytest.mark.parametrize(("height", "width"), [(600, 600), (480, 640), (300, 200)])
def test_the_crop_is_that_of_transformers_where_margins_are_even(height: int, width: int) -> None:
    image = drawn_tile(width, height)
    assert_close_to(by_transformers(image, 224, crop=True), image, 224)


@pytest.mark.skipif(not TILES.is_dir(), reason="needs ../shared/data/rsicd")
def test_real_tiles_are_within_two_levels_of_transformers() -> None:
    paths = sorted(TILES.glob("*/*.jpg"))[:: len(list(TILES.glob("*/*.jpg"))) // 20]
    assert len(paths) >= 20
    for path in paths:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        assert_close_to(by_transformers(rgb, 224, crop=True), rgb, 224)


def test_an_image_of_the_right_size_is_only_scaled_to_one() -> None:
    image = as_tensor(drawn_tile(32, 32))
    assert torch.equal(preprocess(image, 32), image.float() / 255)
