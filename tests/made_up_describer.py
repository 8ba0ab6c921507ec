"""A region model that answers without a network, for tests of what stands around one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from skycue.answers import Answer, AnswerPhrase, find_flags
from skycue.box_windows import ViewNeeds
from skycue.boxes import Box
from skycue.store import WindowKey

CAPTION = "a bright tank beside a road and a cloud"


def filled(size: tuple[int, int], box: Box) -> NDArray[np.bool_]:
    """Return a mask [H, W] that fills a box, widened to whole pixels."""
    mask = np.zeros(size, dtype=np.bool_)
    x_min, y_min, x_max, y_max = box
    mask[int(y_min) : int(np.ceil(y_max)), int(x_min) : int(np.ceil(x_max))] = True
    return mask


def answer_to(
    box: Box, size: tuple[int, int], caption: str = CAPTION, model: str = "fake"
) -> Answer:
    """Say that the box is full of a tank, its left column a road, and a cloud has no mask."""
    x_min, y_min, _, y_max = box
    masks = (filled(size, box), filled(size, (x_min, y_min, x_min + 1, y_max)), None)
    phrases = []
    scores = {"a bright tank": 0.9, "a road": 0.6, "a cloud": 0.1}
    for (words, score), mask in zip(scores.items(), masks, strict=True):
        start = CAPTION.index(words)
        span = (start, start + len(words))
        phrases.append(AnswerPhrase.of_mask(CAPTION, span, mask, score))
    flags = find_flags(caption, phrases)
    return Answer("", size, box, caption, tuple(phrases), 0, (box,), model, flags)


class MadeUpDescriber:
    """Answers every box alike; its mean brightness stands in the caption of a whole image."""

    needs = ViewNeeds(5.0, 2048)
    fingerprint = "0123456789abcdef" * 4

    def __init__(self, model: str = "fake") -> None:
        self.model = model
        self.asked: list[tuple[Box, str | None]] = []
        self.encoded: list[tuple[NDArray[np.uint8], WindowKey | None]] = []
        self.calls: list[int] = []
        self.loaded_with: tuple[torch.device | str, torch.dtype] | None = None

    @classmethod
    def load(
        cls,
        name: str,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        cache: Path | None = None,
    ) -> Self:
        describer = cls(name)
        describer.loaded_with = (device, dtype)
        return describer

    def encode(
        self, image: NDArray[np.uint8], /, *, key: WindowKey | None = None
    ) -> "MadeUpEncoded":
        self.encoded.append((image, key))
        return MadeUpEncoded(self, image)

    def describe_pairs(
        self, pairs: Sequence[tuple["MadeUpEncoded", Box]], /, *, ask: str | None = None
    ) -> list[Answer]:
        self.calls.append(len(pairs))
        return [encoded.describe_all([box], ask=ask)[0] for encoded, box in pairs]


class MadeUpEncoded:
    """An image that was not really encoded."""

    def __init__(self, describer: MadeUpDescriber, pixels: NDArray[np.uint8]) -> None:
        self._describer = describer
        self._pixels = pixels

    def describe_all(self, boxes: Sequence[Box], *, ask: str | None = None) -> list[Answer]:
        size = (self._pixels.shape[1], self._pixels.shape[2])
        self._describer.asked += [(box, ask) for box in boxes]
        red, green, blue = (int(level) for level in self._pixels.mean(axis=(1, 2)))
        caption = f"{CAPTION}, colours {red} {green} {blue}"
        return [answer_to(box, size, caption, self._describer.model) for box in boxes]
