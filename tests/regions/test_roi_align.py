"""RoIAlign against loops and against functions whose integral is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.boxes import Frame
from skycue.regions.roi_align import roi_align

FEATURES = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))
BOXES = torch.tensor(
    [
        [0.10, 0.20, 0.90, 0.70],
        [0.00, 0.00, 1.00, 1.00],
        [0.40, 0.40, 0.41, 0.45],  # smaller than a cell
        [-0.30, 0.50, 0.50, 1.40],  # reaches far outside
        [0.97, 0.97, 1.06, 1.06],  # about the lower right corner
    ]
)
INDEX = torch.tensor([1, 0, 1, 1, 0])


def looped(feature_map: Tensor, boxes: Tensor, index: Tensor, size: int, ratio: int) -> Tensor:
    """RoIAlign as it is published, one sample after the other."""
    n_channels, height, width = feature_map.shape[1:]
    out = torch.zeros(len(boxes), n_channels, size, size, dtype=feature_map.dtype)
    for r, box in enumerate(boxes.tolist()):
        x_low, y_low = box[0] * width - 0.5, box[1] * height - 0.5
        bin_w, bin_h = (box[2] - box[0]) * width / size, (box[3] - box[1]) * height / size
        for row in range(size):
            for column in range(size):
                total = torch.zeros(n_channels, dtype=feature_map.dtype)
                for i in range(ratio):
                    for j in range(ratio):
                        y = y_low + (row + (i + 0.5) / ratio) * bin_h
                        x = x_low + (column + (j + 0.5) / ratio) * bin_w
                        total += interpolated(feature_map[index[r]], x, y)
                out[r, :, row, column] = total / ratio**2
    return out


def interpolated(features: Tensor, x: float, y: float) -> Tensor:
    """Bilinear value between cell centres; 0 beyond one cell outside."""
    height, width = features.shape[1:]
    if x < -1 or x > width or y < -1 or y > height:
        return torch.zeros(len(features), dtype=features.dtype)
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = min(math.floor(x), width - 2), min(math.floor(y), height - 2)
    a, b = x - left, y - top
    upper = features[:, top, left] * (1 - a) + features[:, top, left + 1] * a
    lower = features[:, top + 1, left] * (1 - a) + features[:, top + 1, left + 1] * a
    return upper * (1 - b) + lower * b


@pytest.mark.parametrize(("size", "ratio"), [(1, 1), (3, 2), (5, 3)])
def test_it_equals_a_loop_over_samples(size: int, ratio: int) -> None:
    found = roi_align(FEATURES, BOXES, INDEX, size=size, sampling_ratio=ratio)
    assert_close(found, looped(FEATURES, BOXES, INDEX, size, ratio), rtol=0, atol=1e-5)


def test_a_cell_aligned_box_equals_the_full_frame_on_the_same_slice() -> None:
    box = torch.tensor([[4 / 12, 2 / 8, 8 / 12, 6 / 8]])
    inside = roi_align(FEATURES[:1], box, torch.tensor([0]), size=4, sampling_ratio=1)
    sliced = FEATURES[:1, :, 2:6, 4:8]
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    alone = roi_align(sliced, whole, torch.tensor([0]), size=4, sampling_ratio=1)
    assert_close(inside, sliced)
    assert_close(alone, sliced)


def test_a_map_of_x_gives_the_bin_centres() -> None:
    ramp = (torch.arange(10.0) + 0.5).expand(1, 1, 10, 10)  # x at the centres of cells
    box = torch.tensor([[0.13, 0.2, 0.77, 0.9]])
    found = roi_align(ramp, box, torch.tensor([0]), size=4)[0, 0]
    centres = 10 * (0.13 + (0.77 - 0.13) * (torch.arange(4) + 0.5) / 4)
    assert_close(found, centres.expand(4, 4))


@pytest.mark.parametrize("image_size", [(60, 200), (200, 60), (128, 128)])
@pytest.mark.parametrize("kind", ["squashed", "padded", "window"])
def test_a_box_comes_back_from_the_features_within_half_a_cell(
    image_size: tuple[int, int], kind: str
) -> None:
    height, width = image_size
    box = (0.2 * width, 0.3 * height, 0.7 * width, 0.8 * height)
    frame = {
        "squashed": Frame.squashed(image_size, 96),
        "padded": Frame.padded(image_size, 96),
        "window": Frame.around(box, 1.6, 96),
    }[kind]
    cells = 16
    steps = (torch.arange(cells) + 0.5) / cells
    corners = torch.stack(
        [steps.repeat(cells), steps.repeat_interleave(cells)], dim=-1
    )  # cell centres as shares
    pixels = frame.from_unit(torch.cat([corners, corners], dim=-1))[:, :2]
    feature_map = pixels.T.reshape(1, 2, cells, cells)  # what x and y of the image a cell shows
    shares = frame.to_unit(torch.tensor([box]))
    k = 8
    found = roi_align(feature_map, shares, torch.tensor([0]), size=k)[0]  # [2, k, k]
    step_x, step_y = (box[2] - box[0]) / k, (box[3] - box[1]) / k
    back = (
        found[0, 0, 0] - step_x / 2,
        found[1, 0, 0] - step_y / 2,
        found[0, -1, -1] + step_x / 2,
        found[1, -1, -1] + step_y / 2,
    )
    half_cell = max(frame.width, frame.height) / cells / 2
    assert max(abs(float(b) - a) for a, b in zip(box, back, strict=True)) < half_cell


def test_no_box_gives_no_features() -> None:
    found = roi_align(FEATURES, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), size=3)
    assert found.shape == (0, 3, 3, 3)


def test_many_boxes_equal_one_after_the_other() -> None:
    together = roi_align(FEATURES, BOXES, INDEX, size=3)
    alone = [roi_align(FEATURES, BOXES[r, None], INDEX[r, None], size=3) for r in range(len(BOXES))]
    assert_close(together, torch.cat(alone))


def test_gradients_reach_only_the_image_of_the_box() -> None:
    features = FEATURES.clone().requires_grad_()
    roi_align(features, BOXES[:1], INDEX[:1], size=3).sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert features.grad[0].abs().sum() == 0
    assert_close(features.grad[1].sum(), torch.tensor(3.0 * 9), rtol=1e-5, atol=0)


def test_half_precision_maps_keep_their_type_and_exact_coordinates() -> None:
    found = roi_align(FEATURES.bfloat16(), BOXES, INDEX, size=3)
    assert found.dtype == torch.bfloat16
    exact = roi_align(FEATURES.bfloat16().float(), BOXES, INDEX, size=3)
    assert_close(found.float(), exact, rtol=0.01, atol=0.01)
