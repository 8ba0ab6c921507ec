"""A region model without a network: its captions tell colour and box, so that no two are mixed."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from skycue.answers import Answer
from skycue.box_windows import ViewNeeds
from skycue.boxes import Box
from skycue.errors import ConfigError
from tests.made_up_describer import CAPTION, answer_to

Pixels = NDArray[np.uint8]
TAKEN_QUESTION = "What is it?"


def caption_of(pixels: Pixels, box: Box) -> str:
    """Return what is said of a box on an image [3, H, W]."""
    red, green, blue = (round(float(level)) for level in pixels.mean(axis=(1, 2)))
    corners = " ".join(f"{value:g}" for value in box)
    return f"{CAPTION}, colours {red} {green} {blue}, box {corners}"


class MadeUpRegions:
    """Answers as `answer_to` does: a tank fills the box, a road its left column."""

    model = "fake"
    needs = ViewNeeds(4.0, 512)

    def __init__(self) -> None:
        """Remember the sizes of batches."""
        self.batches: list[int] = []

    def encode(self, image: Pixels) -> Pixels:
        """An image stands for itself."""
        return image

    def describe_pairs(
        self,
        pairs: Sequence[tuple[Pixels, Box]],
        *,
        ask: str | None = None,
        told: Callable[[int, str], None] | None = None,
    ) -> list[Answer]:
        """Answer, and tell the captions word by word, those of all boxes in turn."""
        if ask not in (None, TAKEN_QUESTION):
            raise ConfigError(f"this model takes no question {ask!r}.")
        self.batches.append(len(pairs))
        captions = [caption_of(*pair) for pair in pairs]
        for n_words in range(1, max(len(caption.split()) for caption in captions) + 1):
            for number, caption in enumerate(captions):
                if told is not None and n_words <= len(caption.split()):
                    told(number, " ".join(caption.split()[:n_words]))
        return [
            answer_to(box, (pixels.shape[1], pixels.shape[2]), caption, self.model)
            for (pixels, box), caption in zip(pairs, captions, strict=True)
        ]
