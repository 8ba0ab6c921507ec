"""Masks as COCO's run lengths, the form that records, answers and metrics share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pydantic import BaseModel, Field

Mask = NDArray[np.bool_]


class Rle(BaseModel, frozen=True, extra="forbid"):
    """A mask in COCO's compressed form: runs down the columns, as text."""

    size: tuple[int, int]
    """(height, width) in pixels."""
    counts: str = Field(min_length=1)
    """Run lengths, coded as COCO does."""


class PlainRle(BaseModel, frozen=True, extra="forbid"):
    """A mask whose runs stand as numbers, background first, as some COCO files have them."""

    size: tuple[int, int]
    """(height, width) in pixels."""
    counts: tuple[int, ...]
    """Run lengths down the columns."""


def encode_mask(mask: Mask) -> Rle:
    """Turn a mask [H, W] into run lengths."""
    coded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle(size=(mask.shape[0], mask.shape[1]), counts=coded["counts"].decode("ascii"))


def decode_mask(rle: Rle) -> Mask:
    """Turn run lengths into a mask [H, W].

    Raises:
        ValueError: If the runs do not fill the size.
    """
    coded = {"size": list(rle.size), "counts": rle.counts.encode("ascii")}
    mask: Mask = coco_mask.decode(coded).astype(np.bool_)
    return mask


def polygons_to_mask(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Mask:
    """Fill polygons, each a flat list x, y, x, y, ... in pixels, as COCO does; [H, W]."""
    parts = coco_mask.frPyObjects([list(polygon) for polygon in polygons], *size)
    mask: Mask = coco_mask.decode(coco_mask.merge(parts)).astype(np.bool_)
    return mask


def area_of(rle: Rle) -> int:
    """Return the number of pixels of a mask."""
    return int(coco_mask.area({"size": list(rle.size), "counts": rle.counts.encode("ascii")}))


def encode_runs(runs: Sequence[int], size: tuple[int, int]) -> Rle:
    """Turn plain run lengths, background first and down the columns, into COCO's coded form.

    Raises:
        ValueError: If the runs do not fill the size.
    """
    if min(runs, default=-1) < 0 or sum(runs) != size[0] * size[1]:
        raise ValueError(f"runs of {sum(runs)} pixels do not fill {size[0]} x {size[1]}")
    coded = coco_mask.frPyObjects({"size": list(size), "counts": list(runs)}, *size)
    return Rle(size=size, counts=coded["counts"].decode("ascii"))


def whole(shape: Rle | PlainRle) -> Rle:
    """Return a mask of a file in the coded form, once its runs are known to fill its size.

    Raises:
        ValueError: If they do not.
    """
    if isinstance(shape, PlainRle):
        return encode_runs(shape.counts, shape.size)
    if not is_whole(shape):
        raise ValueError(f"coded runs do not fill {shape.size[0]} x {shape.size[1]}")
    return shape


def is_whole(rle: Rle) -> bool:
    """Tell whether the coded runs fill the size exactly.

    Decoding does not find out: runs that are cut off give a mask of whatever was in memory. The
    code is COCO's: five bits a character from "0" on, a sixth bit where the number goes on, and
    from the fourth run on the difference to the run before the last.
    """
    runs: list[int] = []
    value, shift = 0, 0
    for character in rle.counts:
        digit = ord(character) - ord("0")
        if not 0 <= digit < 64:
            return False
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    return shift == 0 and min(runs, default=-1) >= 0 and sum(runs) == rle.size[0] * rle.size[1]


def encode_polygon(polygon: Sequence[float], size: tuple[int, int]) -> Rle:
    """Fill one polygon, a flat list x, y, x, y, ... of at least three points, as run lengths."""
    (coded,) = coco_mask.frPyObjects([list(polygon)], *size)
    return Rle(size=size, counts=coded["counts"].decode("ascii"))


def merge_masks(masks: Sequence[Rle]) -> Rle:
    """Return the union of masks of one size, at least one."""
    coded = [{"size": list(rle.size), "counts": rle.counts.encode("ascii")} for rle in masks]
    merged = coco_mask.merge(coded)
    return Rle(size=masks[0].size, counts=merged["counts"].decode("ascii"))
