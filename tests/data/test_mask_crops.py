"""Masks as crops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from skycue.data.mask_crops import MaskCrop
from skycue.data.rle import area_of, encode_mask, is_whole

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))

Mask = NDArray[np.bool_]


def bars() -> Mask:
    """Return a mask with two bars in the middle columns, the first one of full height."""
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[:, 2:4] = True
    mask[1:3, 5] = True
    return mask


@given(MASKS)
def test_a_crop_is_tight_and_gives_the_mask_back(mask: Mask) -> None:
    crop = MaskCrop.of(mask)
    np.testing.assert_array_equal(crop.full(), mask)
    assert crop.area == np.count_nonzero(mask)
    assert (crop.box is None) == (not mask.any())
    if crop.box is not None:
        edges = (crop.pixels[0], crop.pixels[-1], crop.pixels[:, 0], crop.pixels[:, -1])
        assert all(edge.any() for edge in edges)


@given(MASKS)
def test_run_lengths_are_those_of_the_full_mask(mask: Mask) -> None:
    assert MaskCrop.of(mask).to_rle() == encode_mask(mask)
    whole = np.zeros((15, 12), dtype=np.bool_)
    whole[4 : 4 + len(mask), 2 : 2 + mask.shape[1]] = mask
    assert MaskCrop.of(mask, (2, 4), (15, 12)).to_rle() == encode_mask(whole)


def test_columns_of_full_height_are_one_run() -> None:
    assert MaskCrop.of(bars()).to_rle() == encode_mask(bars())
    assert MaskCrop.of(np.ones((3, 3), np.bool_)).to_rle() == encode_mask(np.ones((3, 3), np.bool_))


def test_a_crop_does_not_hold_the_mask_that_it_was_cut_from() -> None:
    assert MaskCrop.of(bars()).pixels.base is None


def test_the_area_within_a_rectangle_counts_what_of_it_lies_on_the_mask() -> None:
    crop = MaskCrop.of(bars())
    assert crop.area_within((0, 0, 8, 6)) == crop.area == 14
    assert crop.area_within((-5, 2, 4, 99)) == 8
    assert crop.area_within((5, 0, 6, 2)) == 1
    assert crop.area_within((6, 0, 8, 6)) == crop.area_within((3, 3, 3, 4)) == 0
    assert MaskCrop.of(np.zeros((6, 8), np.bool_)).area_within((0, 0, 8, 6)) == 0


def test_a_moved_mask_keeps_its_pixels() -> None:
    moved = MaskCrop.of(bars()).moved_to((100, 200), (30, 40))
    assert (moved.size, moved.box) == ((100, 200), (32.0, 40.0, 36.0, 46.0))
    np.testing.assert_array_equal(moved.full()[40:46, 30:38], bars())
    nothing = MaskCrop.of(np.zeros((6, 8), np.bool_)).moved_to((100, 200), (30, 40))
    assert (nothing.size, nothing.box, nothing.area) == ((100, 200), None, 0)


def test_a_mask_on_a_raster_of_gigapixels_is_small() -> None:
    crop = MaskCrop.of(bars(), (60_000, 50_000), (70_000, 61_000))
    assert crop.pixels.nbytes == 24
    assert crop.to_rle().size == (70_000, 61_000)
    assert is_whole(crop.to_rle())
    assert area_of(crop.to_rle()) == crop.area


def test_specks_are_left_out_and_the_crop_is_tight_again() -> None:
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[10:15, 10:14] = True  # 20 pixels, and one more at a corner
    mask[15, 14] = True
    mask[0, 29] = True  # less than 5 % of 21
    mask[2:4, 0] = True  # more
    whole = MaskCrop.of(mask)
    cleaned = whole.without_specks(0.05)
    expected = mask.copy()
    expected[0, 29] = False
    np.testing.assert_array_equal(cleaned.full(), expected)
    assert cleaned.box == (0, 2, 15, 16)
    assert whole.without_specks(1.0).box == (10, 10, 15, 16)
    assert whole.without_specks(1 / 21).area == whole.area


@given(MASKS)
def test_a_mask_without_parts_to_leave_out_stays_as_it_is(mask: Mask) -> None:
    crop = MaskCrop.of(mask, (3, 5), (20, 20))
    np.testing.assert_array_equal(crop.without_specks(0.0).full(), crop.full())
