"""Surfaces of ground: smooth noise, mottled colour, and rows of a field."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float64]:
    """Draw noise that varies over `1 / cells` of the side, [size, size], within [-1, 1]."""
    coarse = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
    fine = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(fine, dtype=np.float64), -1, 1)


def mottled(
    rng: np.random.Generator,
    size: int,
    colour: tuple[int, int, int],
    *,
    contrast: float = 12.0,
    cells: int = 4,
) -> NDArray[np.float64]:
    """Draw ground of one colour with patches: two scales of smooth noise and some grain.

    Args:
        rng: Where the noise comes from.
        size: Pixels along a side, S.
        colour: Mean levels of red, green and blue.
        contrast: How far levels stray from the mean, in levels of 255.
        cells: Patches along a side at the coarse scale.

    Returns:
        Levels, [S, S, 3].
    """
    noise = smooth_noise(rng, size, cells) + 0.5 * smooth_noise(rng, size, 8 * cells)
    grain = rng.spawn(1)[0].uniform(-1, 1, (size, size))  # leaves `rng` the same for any size
    noise += 0.3 * grain
    tint = rng.uniform(0.8, 1.2, 3)
    levels: NDArray[np.float64] = np.array(colour) + contrast * noise[..., None] * tint
    return levels


def ploughed(
    rng: np.random.Generator,
    size: int,
    colour: tuple[int, int, int],
    *,
    rows: float,
    angle: float,
    contrast: float = 14.0,
) -> NDArray[np.float64]:
    """Draw a field with `rows` parallel rows of crop across the side at `angle`, [S, S, 3]."""
    y, x = np.mgrid[0:size, 0:size] / size
    phase = x * math.cos(angle) + y * math.sin(angle)
    stripes = np.sin(2 * math.pi * rows * phase)
    levels = mottled(rng, size, colour, contrast=contrast / 2)
    levels += contrast * stripes[..., None]
    return levels
