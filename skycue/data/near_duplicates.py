"""Near-duplicates: images of two sets that show the same place, however turned or re-encoded.

Two stages that find different things. A perceptual hash finds copies of the same extent at any
size, in any of the eight orientations that aerial images have. Embeddings, which the caller brings,
find candidates for crops that overlap; they also find look-alikes, so that somebody must look.

The hash is the sign of the low frequencies of a small grey copy (after Zauner, "Implementation and
Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1, which thresholds 8 x 8 of
them at their median). Turning an image by 90 degrees transposes its frequencies and flipping it
changes the sign of the odd ones, so eight orientations cost one transform.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skycue.data.images import read_pixels

GREY_SIDE = 64
"""Side in pixels of the grey copy that is hashed."""

FREQUENCIES = 16
"""Frequencies kept along each side; more of them tell aerial textures apart."""

HASH_BITS = FREQUENCIES**2 - 1
"""Bits of a hash: all frequencies but the mean."""

MAX_BITS = 66
"""Bits in which two hashes of near-duplicates differ at most.

Of 46 million pairs of training and evaluation images of RSICD, UC Merced, RESISC45 and RSSCN7 four
differ in no more; two of them show the same stadium at another date, the other two are look-alikes.
Unrelated images differ in about 120, re-encoded copies in less than 20.
"""

MIN_COSINE = 0.95
"""Cosine of embeddings from which a pair is worth a look; it depends on the encoder."""

_BLOCK = 2048  # rows compared at once: 2,048 x 10,000 similarities take 80 MB


class NearPair(NamedTuple):
    """Two images that may show the same place."""

    first: int
    """Index into the first set."""
    second: int
    """Index into the second set."""
    score: float
    """Differing bits of the hashes, or cosine of the embeddings."""


def hash_images(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Return the perceptual hash of each image: +1, -1, and 0 at the mean, [N, 16, 16].

    Raises:
        ImageReadError: If a file cannot be read.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return hash_grey(np.stack(list(pool.map(_grey_copy, paths))))


def hash_grey(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the hash of grey copies [N, 64, 64]: signs of their low frequencies, [N, 16, 16]."""
    frequency = np.arange(FREQUENCIES)[:, None]
    position = np.arange(GREY_SIDE) + 0.5
    cosines = np.cos(np.pi * frequency * position / GREY_SIDE).astype(np.float32)  # [16, 64]
    spectrum = cosines @ grey @ cosines.T  # [N, 16, 16]
    spectrum[:, 0, 0] = 0
    return np.sign(spectrum)


def orientations(hashes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the hashes of all eight turned and flipped images, [8, N, 16, 16]."""
    parity = (-1.0) ** np.arange(FREQUENCIES, dtype=np.float32)
    upright = [hashes, hashes * parity, hashes * parity[:, None]]
    upright.append(upright[1] * parity[:, None])
    return np.stack([*upright, *(view.transpose(0, 2, 1) for view in upright)])


def hash_pairs(
    first: NDArray[np.float32], second: NDArray[np.float32], max_bits: int = MAX_BITS
) -> list[NearPair]:
    """Find pairs whose hashes differ in few bits in the best of eight orientations.

    Args:
        first: Hashes [N, 16, 16].
        second: Hashes [M, 16, 16].
        max_bits: Differing bits of `HASH_BITS` that still count.

    Returns:
        Pairs by rising distance.
    """
    rows = first.reshape(len(first), -1)
    views = orientations(second).reshape(8, len(second), -1)
    pairs: list[NearPair] = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        # Equal bits minus differing bits, by the fastest thing a CPU does.
        agreement = np.max([block @ view.T for view in views], axis=0)  # [n, M]
        distance = (HASH_BITS - agreement) / 2
        pairs += _pairs(start, distance, distance <= max_bits)
    return sorted(pairs, key=lambda pair: (pair.score, pair))


def embedding_pairs(
    first: NDArray[np.float32], second: NDArray[np.float32], min_cosine: float = MIN_COSINE
) -> list[NearPair]:
    """Find pairs whose embeddings point the same way.

    Args:
        first: Embeddings of unit length [N, D].
        second: Embeddings of unit length [M, D], of the same encoder.
        min_cosine: Least cosine that counts.

    Returns:
        Pairs by falling cosine.
    """
    pairs: list[NearPair] = []
    for start in range(0, len(first), _BLOCK):
        cosine = first[start : start + _BLOCK] @ second.T  # [n, M]
        pairs += _pairs(start, cosine, cosine >= min_cosine)
    return sorted(pairs, key=lambda pair: (-pair.score, pair))


def _pairs(start: int, scores: NDArray[np.float32], chosen: NDArray[np.bool_]) -> list[NearPair]:
    """Return the chosen pairs of a block of rows that begins at `start`."""
    return [
        NearPair(start + int(i), int(j), float(scores[i, j]))
        for i, j in zip(*np.nonzero(chosen), strict=True)
    ]


def _grey_copy(path: Path) -> NDArray[np.float32]:
    """Read an image as a small grey copy, [64, 64]."""
    grey = Image.fromarray(read_pixels(path)).convert("L")
    small = grey.resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)
