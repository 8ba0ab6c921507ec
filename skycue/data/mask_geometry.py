"""What outlines show: the gap between two, how much of one another holds, middles and breadths.

A pixel is a unit square, so distances are those between areas: objects that touch have no gap.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skycue.data.instances import Instance, Mask


def gap_between(first: Instance, second: Instance) -> float:
    """Return the distance between the nearest points of two objects, in pixels; 0 if they touch.

    Two squares of the pixel grid are nearest at corners, so that those on the outlines tell it
    exactly.
    """
    from scipy.spatial import KDTree  # imported when used: slow to import

    here, there = _where_both_may_be(first, second)
    if np.any(here & there):
        return 0.0
    fewer, more = sorted((_outline(first), _outline(second)), key=len)
    distances, _ = KDTree(more).query(fewer)
    return float(distances.min())


def share_within(inner: Instance, outer: Instance) -> float:
    """Return the share of an object's pixels that another one holds; its holes are its own.

    So a field lies within the track around it, and no ship within a harbor that merely reaches
    around the corner of its box.
    """
    here, there = _where_both_may_be(inner, outer)
    if not here.any():
        return 0.0
    if not (here & ~there).any():
        return np.count_nonzero(here) / inner.area
    _, there = _where_both_may_be(inner, outer._replace(crop=_filled(outer.crop)))
    return np.count_nonzero(here & there) / inner.area


def middle_of(instance: Instance) -> tuple[float, float]:
    """Return the mean (x, y) of an object's area, in pixels of the image."""
    rows, columns = instance.crop.sum(axis=1), instance.crop.sum(axis=0)
    x, y = (_mean_place(counts) for counts in (columns, rows))
    return (instance.corner[0] + x, instance.corner[1] + y)


def breadth_of(instance: Instance) -> float:
    """Return the shorter side of the rectangle that spreads as an object does, however it lies.

    A rectangle of breadth b has a variance of b^2 / 12 across. For a filled rectangle along the
    axes it is its shorter side exactly.
    """
    y, x = np.nonzero(instance.crop)
    (xx, xy), (_, yy) = np.cov(np.stack([x, y]), bias=True)
    across = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)  # the smaller eigenvalue
    return float(np.sqrt(12 * max(across, 0.0) + 1))  # a pixel spreads by 1 / 12 itself


def _mean_place(counts: NDArray[np.integer]) -> float:
    return float(counts @ np.arange(len(counts)) / counts.sum()) + 0.5


def _where_both_may_be(first: Instance, second: Instance) -> tuple[Mask, Mask]:
    """Return what two objects cover of the rectangle in which their boxes meet; it may be empty."""
    low = [max(pair) for pair in zip(first.corner, second.corner, strict=True)]
    ends = [
        (x + crop.shape[1], y + crop.shape[0])
        for (x, y), crop in ((first.corner, first.crop), (second.corner, second.crop))
    ]
    high = [max(min(pair), start) for *pair, start in zip(*ends, low, strict=True)]
    return _cut(first, low, high), _cut(second, low, high)


def _cut(instance: Instance, low: Sequence[int], high: Sequence[int]) -> Mask:
    x, y = instance.corner
    return instance.crop[low[1] - y : high[1] - y, low[0] - x : high[0] - x]


def _outline(instance: Instance) -> NDArray[np.intp]:
    """Return the (x, y) of the pixel corners on the border of an object, [N, 2]."""
    padded = np.pad(instance.crop, 1)
    some = padded[:-1, :-1] | padded[:-1, 1:] | padded[1:, :-1] | padded[1:, 1:]
    every = padded[:-1, :-1] & padded[:-1, 1:] & padded[1:, :-1] & padded[1:, 1:]
    y, x = np.nonzero(some & ~every)
    return np.stack([x + instance.corner[0], y + instance.corner[1]], axis=1)


def _filled(crop: Mask) -> Mask:
    """Fill what background cannot reach from outside without crossing the object."""
    from scipy.ndimage import label  # imported when used: slow to import

    parts, _ = label(np.pad(~crop, 1, constant_values=True))
    filled: Mask = parts[1:-1, 1:-1] != parts[0, 0]
    return filled
