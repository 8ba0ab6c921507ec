"""Masks named by a fitted scene classifier: what the region is in the user's own classes."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skycue.answers import Answer
from skycue.boxes import Box
from skycue.data.images import MAX_ASPECT, MIN_SIDE

CROP_SCALE = 1.5
"""Side of the square crop that is classified, over the longer side of the mask's box."""


class Namer(Protocol):
    """A scene classifier, such as `skycue.inference.SceneClassifier`."""

    def predict(self, images: Sequence[Path]) -> list[dict[str, float]]:
        """Return for each image file the probability of each class, the most probable first."""
        ...


def name_masks(answers: Sequence[Answer], pixels: NDArray[np.uint8], namer: Namer) -> list[Answer]:
    """Return answers whose masks have the most probable class of a scene classifier.

    Each mask's surroundings are cut out as a square tile and classified like any tile; the model's
    phrase stays beside the class. Phrases without pixels stay without a class.

    Args:
        answers: To boxes of one image.
        pixels: The image, RGB [3, H, W].
        namer: Names tiles.

    Raises:
        SkycueError: Of the kind that the classifier raises, such as `CaptionError` where its method
            reads captions from a file, which has none of such tiles.
    """
    boxes = [phrase.box for answer in answers for phrase in answer.phrases if phrase.box]
    with tempfile.TemporaryDirectory() as folder:  # the classifier reads files
        paths = [Path(folder) / f"{number}.png" for number in range(len(boxes))]
        for path, box in zip(paths, boxes, strict=True):
            Image.fromarray(_crop(pixels, box).transpose(1, 2, 0)).save(path)  # [h, w, 3]
        rows = namer.predict(paths) if paths else []
    names = iter([max(row.items(), key=lambda item: item[1]) for row in rows])
    named = []
    for answer in answers:
        phrases = []
        for phrase in answer.phrases:
            if phrase.box:
                class_name, score = next(names)
                phrase = replace(phrase, class_name=class_name, class_score=score)
            phrases.append(phrase)
        named.append(replace(answer, phrases=tuple(phrases)))
    return named


def crop_around(box: Box, image_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the square around a box, moved into the image, as x_min, y_min, x_max, y_max.

    It is as wide as the image at most, and never longer than scene tiles may be.

    Args:
        box: In pixels of the image.
        image_size: (height, width) of the image.
    """
    longest = max(box[2] - box[0], box[3] - box[1])
    limit = int(MAX_ASPECT * min(image_size))
    side = min(max(round(CROP_SCALE * longest), MIN_SIDE), limit)
    height, width = min(side, image_size[0]), min(side, image_size[1])
    x = round((box[0] + box[2] - width) / 2)
    y = round((box[1] + box[3] - height) / 2)
    x = min(max(x, 0), image_size[1] - width)
    y = min(max(y, 0), image_size[0] - height)
    return (x, y, x + width, y + height)


def _crop(pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut the square around a box out of an image, [3, h, w]."""
    x_min, y_min, x_max, y_max = crop_around(box, (pixels.shape[1], pixels.shape[2]))
    return pixels[:, y_min:y_max, x_min:x_max]
