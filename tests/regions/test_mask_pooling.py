"""Pooling under masks, by hand."""

import math

import torch
from torch.testing import assert_close

from skycue.regions.mask_pooling import boxes_under_masks, pool_under_masks, shrink_masks


def test_a_cell_holds_the_share_that_the_mask_covers() -> None:
    masks = torch.zeros(1, 1, 4, 4)
    masks[0, 0, 0, :3] = 1
    assert shrink_masks(masks, (2, 2)).tolist() == [[[[0.5, 0.25], [0.0, 0.0]]]]


def test_the_mean_weighs_cells_by_their_share() -> None:
    features = torch.tensor([[[[1.0, 4.0], [9.0, 9.0]]]])
    shares = torch.tensor([[[[0.5, 0.25], [0.0, 0.0]]]])
    assert_close(pool_under_masks(features, shares), torch.tensor([[[2.0]]]))


def test_an_empty_mask_has_a_zero_mean_and_no_nan() -> None:
    features = torch.rand(1, 3, 2, 2)
    shares = torch.zeros(1, 1, 2, 2)
    assert pool_under_masks(features, shares).tolist() == [[[0.0, 0.0, 0.0]]]
    assert boxes_under_masks(shares).isfinite().all()


def test_the_box_of_a_rectangle_is_two_deviations_wide() -> None:
    shares = torch.zeros(1, 1, 10, 20)
    shares[0, 0, 2:6, 5:15] = 1  # x from 0.25 to 0.75, y from 0.2 to 0.6
    half_x, half_y = 2 * 0.5 / math.sqrt(12), 2 * 0.4 / math.sqrt(12)
    expected = torch.tensor([0.5 - half_x, 0.4 - half_y, 0.5 + half_x, 0.4 + half_y])
    assert_close(boxes_under_masks(shares)[0, 0], expected, rtol=1e-4, atol=1e-5)


def test_the_box_stops_gradients() -> None:
    shares = torch.rand(1, 2, 4, 4, requires_grad=True)
    assert not boxes_under_masks(shares).requires_grad


def test_no_masks_pool_to_nothing() -> None:
    masks = torch.zeros(2, 0, 8, 8)
    shares = shrink_masks(masks, (4, 4))
    assert shares.shape == (2, 0, 4, 4)
    assert pool_under_masks(torch.rand(2, 3, 4, 4), shares).shape == (2, 0, 3)
    assert boxes_under_masks(shares).shape == (2, 0, 4)
