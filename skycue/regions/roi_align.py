"""RoIAlign: a fixed-size grid of features under each box, by bilinear sampling.

He et al., "Mask R-CNN", ICCV 2017, section 3, https://arxiv.org/abs/1703.06870, with the offset of
half a cell that its later implementations call aligned: cell (0, 0) covers [0, 1) x [0, 1), and its
value stands at (0.5, 0.5).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def roi_align(
    feature_map: Tensor,
    boxes: Tensor,
    image_index: Tensor,
    *,
    size: int,
    sampling_ratio: int = 2,
) -> Tensor:
    """Cut a fixed-size grid of features under each box.

    A bin is the mean of `sampling_ratio` x `sampling_ratio` samples, spread evenly over it. Border
    rule: a sample up to half a cell inside of the edge, or up to one cell beyond the outermost cell
    centre, takes the value at the edge; one that lies farther outside is 0.

    Args:
        feature_map: Features of B images, [B, D, h, w].
        boxes: Corners xyxy as shares of the frame that the map shows, 0 and 1 its edges, [R, 4];
            they may reach outside.
        image_index: Which image each box lies on, int64 [R], in any order.
        size: Bins along each side of the grid, k.
        sampling_ratio: Samples along each side of a bin.

    Returns:
        Region features of the map's type, [R, D, k, k]. Coordinates are float32 at least, whatever
        the map's type.
    """
    n_images, width, height_cells, width_cells = feature_map.shape
    if len(boxes) == 0:
        return feature_map.new_zeros(0, width, size, size)
    points = _sample_points(boxes.to(_exact(boxes.dtype)), size * sampling_ratio)  # [R, n, n, 2]
    cells = points.new_tensor([width_cells, height_cells])
    index = points * cells - 0.5  # of cell centres
    known = ((index >= -1) & (index <= cells)).all(dim=-1)  # [R, n, n]

    slot, n_slots = _slots(image_index, n_images)
    n = size * sampling_ratio
    grid = points.new_zeros(n_images, n_slots, n, n, 2)
    grid[image_index, slot] = 2 * points - 1
    sampled = F.grid_sample(
        feature_map.to(grid.dtype),
        grid.flatten(1, 2),  # [B, slots * n, n, 2]
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )  # [B, D, slots * n, n]
    sampled = sampled.view(n_images, width, n_slots, n, n).transpose(1, 2)
    samples = sampled[image_index, slot] * known[:, None]  # [R, D, n, n]
    return F.avg_pool2d(samples, sampling_ratio).to(feature_map.dtype)  # [R, D, k, k]


def _sample_points(boxes: Tensor, n: int) -> Tensor:
    """Return n x n points (x, y), evenly spread over each box, as shares, [R, n, n, 2]."""
    steps = (torch.arange(n, device=boxes.device, dtype=boxes.dtype) + 0.5) / n
    low, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    along = low[:, None] + steps[:, None] * extent[:, None]  # [R, n, 2]
    x = along[:, None, :, 0].expand(-1, n, -1)
    y = along[:, :, None, 1].expand(-1, -1, n)
    return torch.stack([x, y], dim=-1)


def _slots(image_index: Tensor, n_images: int) -> tuple[Tensor, int]:
    """Number the boxes of each image from 0, [R], and return the largest count."""
    counts = image_index.bincount(minlength=n_images)
    starts = counts.cumsum(0) - counts
    order = image_index.argsort(stable=True)
    slot = torch.empty_like(image_index)
    places = torch.arange(len(image_index), device=image_index.device)
    slot[order] = places - starts[image_index[order]]
    return slot, int(counts.max())


def _exact(dtype: torch.dtype) -> torch.dtype:
    """Return a type whose coordinates tell cells apart."""
    return torch.promote_types(dtype, torch.float32)
