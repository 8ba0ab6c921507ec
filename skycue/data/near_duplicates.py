"""Near-duplicates: images of two sets that show the same place, however turned or re-encoded.

Two stages that find different things. A perceptual hash finds copies of the same extent at any
size, in any of the eight orientations that aerial images have. Embeddings, which the caller brings,
find candidates for crops that overlap; phase correlation then tells most of them from look-alikes.

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

MIN_OVERLAP = 0.3
"""Peak of the phase correlation from which two images may show overlapping ground.

Among candidates of the four sets above, about a third of the pairs between 0.3 and 0.8 overlap, all
but a few of those above 0.45 do, and unrelated images reach 0.25.
"""

_OVERLAP_BANDWIDTH = 0.15  # cycles a pixel, of a Gaussian: finer detail differs between dates
_WHITENING_FLOOR = 1e-3  # of the largest amplitude: weaker frequencies count less

_BLOCK = 2048  # rows compared at once: 2,048 x 10,000 similarities take 80 MB


_OVERLAP_BLOCK = 256  # pairs transformed at once
_WINDOW = np.outer(np.hanning(GREY_SIDE), np.hanning(GREY_SIDE))  # hides the seam at the edges
_LOW_PASS = np.exp(
    -(np.fft.fftfreq(GREY_SIDE)[:, None] ** 2 + np.fft.rfftfreq(GREY_SIDE) ** 2)
    / (2 * _OVERLAP_BANDWIDTH**2)
)
_FULL_PEAK = np.fft.irfft2(_LOW_PASS).max()


class NearPair(NamedTuple):
    """Two images that may show the same place."""

    first: int
    """Index into the first set."""
    second: int
    """Index into the second set."""
    score: float
    """Differing bits of the hashes, or cosine of the embeddings."""


def read_grey(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Read images as small grey copies with values from 0 to 255, [N, 64, 64].

    Raises:
        ImageReadError: If a file cannot be read.
    """
    grey = np.zeros((len(paths), GREY_SIDE, GREY_SIDE), np.float32)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for index, copy in enumerate(pool.map(_grey_copy, paths)):
            grey[index] = copy
    return grey


def hash_grey(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the hash of grey copies [N, 64, 64]: signs of their low frequencies, [N, 16, 16].

    A sign is +1 or -1; at the mean, and where an image has nothing of a frequency, it is 0.
    """
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
    rows = first.reshape(len(first), FREQUENCIES**2)
    views = orientations(second).reshape(8, len(second), FREQUENCIES**2)
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


def overlap_peaks(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Say how well the images of each pair fit onto each other when one is shifted.

    Phase correlation (Kuglin and Hines, "The Phase Correlation Image Alignment Method", 1975): the
    peak of the inverse transform of the whitened cross spectrum, in the best of eight orientations.
    The scale of both must be the same, and the shift below about a sixth of the side.

    Args:
        first: Grey copies [P, 64, 64].
        second: Grey copies [P, 64, 64], each to be compared with its counterpart.

    Returns:
        Peaks [P], 0.8 to 1 for equal images.
    """
    peaks = np.zeros(len(first), np.float32)
    for start in range(0, len(first), _OVERLAP_BLOCK):
        rows = slice(start, start + _OVERLAP_BLOCK)
        ours = _whitened(first[rows])
        for turns in range(4):
            turned = np.rot90(second[rows], turns, (1, 2))
            for view in (turned, turned[:, :, ::-1]):
                surface = np.fft.irfft2(ours * _whitened(view).conj() * _LOW_PASS)  # [p, 64, 64]
                np.maximum(peaks[rows], surface.max((1, 2)) / _FULL_PEAK, out=peaks[rows])
    return peaks


def _whitened(grey: NDArray[np.float32]) -> NDArray[np.complexfloating]:
    """Return the spectra of windowed grey copies with their amplitudes made equal, [P, 64, 33]."""
    centred = (grey - grey.mean((1, 2), keepdims=True)) * _WINDOW
    spectrum = np.fft.rfft2(centred)
    amplitude = np.abs(spectrum)
    floor = _WHITENING_FLOOR * amplitude.max((1, 2), keepdims=True) + np.finfo(np.float32).tiny
    whitened: NDArray[np.complexfloating] = spectrum / (amplitude + floor)
    return whitened


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
