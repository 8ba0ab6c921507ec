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
