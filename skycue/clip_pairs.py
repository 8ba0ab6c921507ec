"""Captioned images for training a CLIP: which are trained on, which are held out, their texts."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from skycue.data.captions import CAPTIONS_FILE, read_captions
from skycue.data.images import read_image
from skycue.errors import DatasetError

BUCKETS = 100
"""Images are dealt into this many by the hash of their name; the first ones are held out."""


class CaptionedImage(NamedTuple):
    """An image file and what people wrote about it."""

    path: Path
    captions: tuple[str, ...]


class Pairs(NamedTuple):
    """Captioned images in memory.

    Attributes:
        images: RGB bytes, [N, 3, S, S].
        captions: The texts of each image.
    """

    images: Tensor
    captions: tuple[tuple[str, ...], ...]


def read_pairs(
    root: Path, datasets: Sequence[str], split: str, excluded: Sequence[str] = ()
) -> list[CaptionedImage]:
    """List the captioned images of one official split, in the order of the captions files.

    Args:
        root: Folder of the datasets.
        datasets: Folders in `root`, each with a captions file and its images.
        split: "train" or "test".
        excluded: Images to leave out, as `dataset/path`.

    Raises:
        DatasetError: If a dataset has no image in the split, or an excluded image does not exist.
        CaptionError: If a captions file is missing or damaged.
    """
    left_out = set(excluded)
    pairs: list[CaptionedImage] = []
    for dataset in datasets:
        folder = root / dataset
        records = [r for r in read_captions(folder / CAPTIONS_FILE) if r.split == split]
        if not records:
            raise DatasetError(f"{folder / CAPTIONS_FILE} marks no image as split {split!r}.")
        left_out -= {name for r in records if (name := f"{dataset}/{r.image}") in left_out}
        pairs += [
            CaptionedImage(folder / r.image, tuple(c.strip() for c in r.captions))
            for r in records
            if f"{dataset}/{r.image}" not in excluded
        ]
    if left_out:
        raise DatasetError(f"no image {min(left_out)} to exclude; check `excluded`.")
    return pairs


def is_held_out(path: Path, root: Path, percent: int) -> bool:
    """Say whether an image is kept for validation: a function of its path below `root` alone."""
    digest = hashlib.sha256(path.relative_to(root).as_posix().encode()).hexdigest()
    return int(digest, 16) % BUCKETS < percent


def load_pairs(pairs: Sequence[CaptionedImage], size: int) -> Pairs:
    """Decode images and squeeze each to a square of `size` pixels (bicubic, antialiased).

    Raises:
        ImageReadError: If an image cannot be read.
    """

    def load(pair: CaptionedImage) -> Tensor:
        image = read_image(pair.path)[None]
        return F.interpolate(image, (size, size), mode="bicubic", antialias=True)[0]

    with ThreadPoolExecutor() as pool:
        images = torch.stack(list(pool.map(load, pairs)))  # [N, 3, S, S]
    return Pairs(images, tuple(pair.captions for pair in pairs))


def read_phrases(path: Path) -> list[str]:
    """Read a list of phrases: one a line, lines from # on are comments.

    Raises:
        DatasetError: If the file is missing or holds none.
    """
    if not path.is_file():
        raise DatasetError(f"no list of phrases {path}: give a text file with one a line.")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    phrases = [line for line in lines if line and not line.startswith("#")]
    if not phrases:
        raise DatasetError(f"{path} holds no phrase: give one a line.")
    return phrases


def fill_templates(phrases: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Write every phrase into every template; a second {} gets a phrase further down the list."""
    step = max(1, len(phrases) // 3)
    texts: dict[str, None] = {}
    for number, template in enumerate(templates):
        for index, phrase in enumerate(phrases):
            other = phrases[(index * (number + 2) + step) % len(phrases)]
            texts[template.replace("{}", phrase, 1).replace("{}", other, 1)] = None
    return list(texts)
