"""Masks and labels to outlines in pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import unary_union

from skycue.geo.outlines import class_polygons, outline_mask

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
MASKS = arrays(np.bool_, SIZES)
LABELS = arrays(np.int64, SIZES, elements=st.integers(-1, 3))


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_an_outline_is_valid_and_as_large_as_its_mask(mask: NDArray[np.bool_]) -> None:
    outline = outline_mask(mask)
    assert outline.is_valid
    assert outline.area == np.count_nonzero(mask)


def test_pixels_that_touch_at_a_corner_make_two_valid_squares() -> None:
    outline = outline_mask(np.eye(2, dtype=np.bool_))
    assert [part.area for part in outline.geoms] == [1.0, 1.0]
    ring = ~np.eye(3, dtype=np.bool_)  # both halves touch the middle pixel at corners
    assert outline_mask(ring).is_valid


@settings(max_examples=40, deadline=None)
@given(MASKS, st.integers(0, 200_000), st.integers(0, 200_000))
def test_a_crop_with_its_offset_has_the_outline_of_the_whole_mask(
    mask: NDArray[np.bool_], x: int, y: int
) -> None:
    crop, near = outline_mask(mask, (x, y)), (x % 13, y % 13)
    height, width = mask.shape
    assert crop.area == np.count_nonzero(mask)
    if mask.any():
        rows, columns = np.nonzero(mask)
        corners = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert crop.bounds == tuple(np.add(corners, (x, y, x, y)))
    whole = np.zeros((near[1] + height, near[0] + width), dtype=np.bool_)
    whole[near[1] :, near[0] :] = mask
    assert outline_mask(mask, near).equals(outline_mask(whole))


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_regions_of_labels_tile_the_pixels_that_have_a_class(labels: NDArray[np.int64]) -> None:
    regions = list(class_polygons(labels))
    assert all(region.outline.is_valid for region in regions)
    assert sum(region.outline.area for region in regions) == np.count_nonzero(labels >= 0)
    painted = np.full(labels.shape, -1, dtype=np.int64)
    for region in regions:
        mask = rasterize(region.outline.geoms, out_shape=labels.shape, dtype=np.uint8) == 1
        assert (painted[mask] == -1).all()
        painted[mask] = region.label
    np.testing.assert_array_equal(painted, labels)


def test_regions_of_one_label_that_touch_at_a_corner_are_two() -> None:
    labels = np.array([[5, -1, 5], [7, 5, 7]])
    regions = sorted((region.label, region.outline.area) for region in class_polygons(labels))
    assert regions == [(5, 1.0), (5, 1.0), (5, 1.0), (7, 1.0), (7, 1.0)]
    everywhere = unary_union([region.outline for region in class_polygons(labels)])
    assert everywhere.area == 5.0
    assert list(class_polygons(np.full((2, 2), -1))) == []


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (4, 5)])
def test_a_mask_without_pixels_has_an_outline_without_polygons(shape: tuple[int, int]) -> None:
    assert outline_mask(np.zeros(shape, dtype=np.bool_), (7, 8)).is_empty
