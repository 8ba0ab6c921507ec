"""From the values of a raster to the 256 levels that networks see.

A value is drawn between a low and a high one, which become 0 and 255; what lies beyond is cut. For
8 bits these are 0 and 255, so nothing changes. For others they are percentiles of each band, found
once from an overview or from a sample of blocks, never from the whole raster, and without pixels
that hold nothing.
"""

import random
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, model_validator

from skycue.geo.tiles import PixelWindow

if TYPE_CHECKING:
    from skycue.geo.raster import Raster

PERCENTILES = (2.0, 98.0)
"""Of each band's values, which become 0 and 255: the usual ones of desktop GIS."""
MAX_BLOCKS = 1_000
"""Blocks of a sample."""
VALUES_OF_BLOCK = 4_096
"""Pixels that are kept of a sampled block."""
MAX_OVERVIEW_PIXELS = 4_000_000
"""Pixels of an overview that is read instead of blocks."""
LEVELS = 255


class Stretch(BaseModel, frozen=True, extra="forbid"):
    """The values that become levels 0 and 255, for each shown band; JSON to give to others."""

    low: tuple[float, ...]
    """Values that become 0."""
    high: tuple[float, ...]
    """Values that become 255, each above its low one."""

    @classmethod
    def identity(cls, bands: int, bits: int = 8) -> "Stretch":
        """Return the one that keeps 8 bits as they are, and spreads fewer over all levels."""
        return cls(low=(0.0,) * bands, high=(2.0**bits - 1,) * bands)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.low) != len(self.high):
            raise ValueError(f"{len(self.low)} low and {len(self.high)} high values")
        for low, high in zip(self.low, self.high, strict=True):
            if not (np.isfinite([low, high]).all() and low < high):
                raise ValueError(f"low {low:g} and high {high:g}: low must be below high")
        return self

    def to_levels(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Turn values [N, H, W] of the bands into levels, rounded; what is no number becomes 0."""
        if values.dtype == np.uint8 and self == Stretch.identity(len(values)):
            return values.astype(np.uint8, copy=False)
        exact: type[np.floating] = np.float32 if values.dtype.itemsize <= 2 else np.float64
        low, high = (np.array(v, dtype=exact)[:, None, None] for v in (self.low, self.high))
        with np.errstate(invalid="ignore", over="ignore"):
            levels = (values.astype(exact) - low) * (LEVELS / (high - low)) + exact(0.5)
        np.nan_to_num(levels, copy=False, nan=0.0, posinf=LEVELS, neginf=0.0)
        return np.clip(levels, 0, LEVELS).astype(np.uint8)


def find_stretch(raster: "Raster", seed: int = 0) -> Stretch:
    """Find the percentiles of a raster from an overview or a sample of its blocks.

    The largest overview of at most `MAX_OVERVIEW_PIXELS` is taken; without one, `MAX_BLOCKS` blocks
    that the file holds, drawn at random by `seed`, and a lattice of pixels of each. A band without
    values is drawn from 0 to 1, one with a single value from there to one more.

    Raises:
        ImageReadError: If a block cannot be read.
    """
    samples = _overview_sample(raster)
    if not any(len(band) for band in samples):
        samples = _block_sample(raster, seed)
    low, high = [], []
    for band in samples:
        ends = np.percentile(band, PERCENTILES) if len(band) else np.array([0.0, 1.0])
        low.append(float(ends[0]))
        high.append(float(ends[1]) if ends[1] > ends[0] else float(ends[0]) + 1.0)
    return Stretch(low=tuple(low), high=tuple(high))


def _overview_sample(raster: "Raster") -> list[NDArray[np.float64]]:
    """Return the values of each band in an overview; nothing if there is none of a fitting size."""
    sizes = [size for size in raster.overview_sizes if size[0] * size[1] <= MAX_OVERVIEW_PIXELS]
    if not sizes:
        return []
    size = max(sizes)
    values, held = raster.read_values(PixelWindow.whole(raster.size), size)
    return [band[ok].astype(np.float64) for band, ok in zip(values, held, strict=True)]


def _block_sample(raster: "Raster", seed: int) -> list[NDArray[np.float64]]:
    """Return values of each band from blocks drawn at random, read in the order of the file."""
    filled = raster.filled_blocks()
    drawn = random.Random(seed).sample(range(len(filled)), min(MAX_BLOCKS, len(filled)))
    height, width = raster.block
    columns = -(-raster.size[1] // width)
    kept: list[list[NDArray[np.float64]]] = [[] for _ in raster.bands]
    for position in sorted(drawn):
        row, column = divmod(int(filled[position]), columns)
        window = PixelWindow(column * width, row * height, width, height).cut(raster.size)
        assert window is not None, "a block lies in its raster"
        values, held = raster.read_values(window)
        # An odd step walks through all columns of a block.
        step = -(-window.height * window.width // VALUES_OF_BLOCK) | 1
        for band, ok, into in zip(values, held, kept, strict=True):
            into.append(band.ravel()[::step][ok.ravel()[::step]].astype(np.float64))
    return [np.concatenate(band) if band else np.empty(0) for band in kept]
