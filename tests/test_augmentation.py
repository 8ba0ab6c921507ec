"""Random crops and flips."""

import torch
from torch.testing import assert_close

from skycue.augmentation import MAX_STRETCH, MIN_AREA, draw_crop, random_resized_crop


def test_crops_lie_inside_and_have_the_areas_and_shapes_of_the_recipe() -> None:
    generator = torch.Generator().manual_seed(1)
    shares = []
    for _ in range(2000):
        top, left, height, width = draw_crop(200, 240, generator)
        assert top >= 0
        assert left >= 0
        assert top + height <= 200
        assert left + width <= 240
        assert 1 / MAX_STRETCH - 0.03 < width / height < MAX_STRETCH + 0.03
        shares.append(height * width / (200 * 240))
    assert MIN_AREA - 0.01 < min(shares) < MIN_AREA + 0.01
    assert 0.95 < max(shares) <= 1


def test_a_very_long_image_gives_the_largest_allowed_crop_in_its_middle() -> None:
    top, left, height, width = draw_crop(8, 4000, torch.Generator().manual_seed(1))
    assert (top, height, width) == (0, 8, 11)
    assert left == (4000 - 11) // 2


def test_a_plain_image_stays_plain_and_every_second_crop_is_mirrored() -> None:
    plain = torch.full((3, 20, 30), 51, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(3)
    assert_close(random_resized_crop(plain, 16, generator), torch.full((3, 16, 16), 0.2))
    ramp = torch.arange(64).expand(3, 64, 64).to(torch.uint8)
    crops = [random_resized_crop(ramp, 16, generator) for _ in range(200)]
    mirrored = sum(bool(crop[0, 0, 0] > crop[0, 0, -1]) for crop in crops)
    assert 80 <= mirrored <= 120
