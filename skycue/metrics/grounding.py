"""Measures that join words, masks and boxes: recall of phrases, look-alikes, relations.

Mask recall follows the evaluation of GLaMM (Rasheed et al., CVPR 2024,
https://arxiv.org/abs/2311.03356) as it was published, and corrected. The other measures ask what a
box prompt is for: is it the object in the box that gets the mask, rather than its like next door,
and is what the caption says of its neighbours so?
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from skycue.boxes import Box
from skycue.data.caption_grammar import (
    ClassStatement,
    CountStatement,
    RelationStatement,
    UnknownStatement,
    is_true,
    parse_caption,
)
from skycue.data.caption_templates import FIRST_TEMPLATES
from skycue.data.instances import InstanceImage
from skycue.data.region_geometry import CELLS
from skycue.data.rle import Rle
from skycue.metrics.masks import (
    ImageMasks,
    best_pairs,
    iou_matrix,
    mask_iou,
    published_iou_matrix,
)

Floats: TypeAlias = NDArray[np.float64]
TextSimilarity: TypeAlias = Callable[[Sequence[str], Sequence[str]], Floats]
"""Likeness of each of P texts to each of T texts, [P, T]; 1 for the same meaning."""

RECALL_IOU = 0.5
RECALL_SIMILARITY = 0.5
"""A phrase is found where a mask overlaps its mask, and a text resembles it, at least so much."""
LOOK_ALIKE_REACH = 3.0
"""How far a look-alike may be, in box widths."""


class GroundedTexts(NamedTuple):
    """The phrases of one answer and those that it should have given.

    Attributes:
        masks: Predicted masks, P, and true ones, T.
        predicted: Texts of the predicted phrases; P of them unless the model failed to pair them.
        true: Texts of the true phrases, T.
    """

    masks: ImageMasks
    predicted: tuple[str, ...]
    true: tuple[str, ...]


class Share(NamedTuple):
    """So many of so many."""

    n_hits: int
    n_all: int

    @property
    def value(self) -> float:
        """The share in [0, 1]; NaN of none."""
        return self.n_hits / self.n_all if self.n_all else float("nan")


def glamm_recall(answers: Sequence[GroundedTexts], similarity: TextSimilarity) -> Share:
    """Return the published mask recall, with its quirks.

    In each image the pair of masks that overlaps most is taken, then the most among the rest, and
    so on; the share of true phrases found is over all images. The quirks, kept on purpose:

    1. The first pair that overlaps too little *or* whose texts are too unlike ends the image, so
       one wrong phrase on a good mask hides all that would follow.
    2. The text test is as weak as the encoder makes it: averaged BERT states resemble each other
       by more than 0.5 almost always. Name the encoder with the result.
    3. An image whose numbers of masks and phrases differ makes the published script fail: its true
       phrases have been counted by then, its pairs are lost.

    Two empty masks overlap by NaN, which passes the test of overlap, as published.
    """
    n_hits = n_all = 0
    for answer in answers:
        n_all += len(answer.true)
        if len(answer.predicted) == len(answer.masks.predicted):
            likeness = _likeness(answer, similarity)
            n_hits += _greedy_hits(published_iou_matrix(answer.masks), likeness)
    return Share(n_hits, n_all)


def mask_recall(answers: Sequence[GroundedTexts], similarity: TextSimilarity) -> Share:
    """Return the corrected mask recall: every pair is tried, and the most pairs are made.

    A true phrase is found where it can be paired, one to one, with a predicted phrase whose mask
    and text both resemble its own enough. True phrases without a pixel are left out.
    """
    n_hits = n_all = 0
    for answer in answers:
        ious = iou_matrix(answer.masks.predicted, answer.masks.true)
        n_phrases = min(len(answer.predicted), len(ious))
        likeness = _likeness(answer, similarity)[:n_phrases]
        fits = (ious[:n_phrases] >= RECALL_IOU) & (likeness >= RECALL_SIMILARITY)
        n_hits += len(best_pairs(fits.astype(np.float64)))
        n_all += sum(mask_iou(mask, mask) > 0 for mask in answer.masks.true)
    return Share(n_hits, n_all)


def look_alikes_of(boxes: Sequence[Box], class_names: Sequence[str], index: int) -> list[int]:
    """Return the objects of the same class near one object.

    Near means: the centres are at most `LOOK_ALIKE_REACH` times the longer side of the object's
    box apart (a width that does not depend on how the object lies).

    Args:
        boxes: Of all objects of the image, in pixels.
        class_names: Of the same objects.
        index: The object.
    """
    x_min, y_min, x_max, y_max = boxes[index]
    reach = LOOK_ALIKE_REACH * max(x_max - x_min, y_max - y_min)
    centre = np.array([x_min + x_max, y_min + y_max]) / 2
    return [
        other
        for other, box in enumerate(boxes)
        if other != index
        and class_names[other] == class_names[index]
        and np.hypot(*(np.array([box[0] + box[2], box[1] + box[3]]) / 2 - centre)) <= reach
    ]


def is_confused(mask: Rle, target: Rle, look_alikes: Sequence[Rle]) -> bool:
    """Tell whether a mask overlaps a look-alike more than the object that was asked for."""
    overlaps = iou_matrix([mask], [target, *look_alikes])[0]
    return bool(overlaps[1:].max(initial=0.0) > overlaps[0])


def named_class(phrase: str) -> str | None:
    """Return the class that a phrase names, such as "a relatively large ship"; None if unread.

    It is read as the object of the first sentence of a caption (`skycue.data.caption_grammar`).
    """
    sentence = FIRST_TEMPLATES[0].format(Object=phrase.strip(), place=CELLS[1][1])
    found = parse_caption(sentence)
    names = [each.class_name for each in found if isinstance(each, ClassStatement)]
    return names[0].lower() if names else None


def relation_truths(caption: str, image: InstanceImage, index: int) -> list[bool]:
    """Judge each relation and count that a caption states; a sentence that is not read is false.

    Args:
        caption: As generated.
        image: The ground truth.
        index: The object that the caption is about.
    """
    return [
        is_true(statement, image, index)
        for statement in parse_caption(caption)
        if isinstance(statement, RelationStatement | CountStatement | UnknownStatement)
    ]


def _likeness(answer: GroundedTexts, similarity: TextSimilarity) -> Floats:
    """Return the likeness of predicted and true phrases, [P, T], where there are any."""
    if not answer.predicted or not answer.true:
        return np.zeros((len(answer.predicted), len(answer.true)))
    return similarity(answer.predicted, answer.true)


def _greedy_hits(ious: Floats, likeness: Floats) -> int:
    """Count the pairs that the published script makes before it stops."""
    ious, likeness = ious.copy(), likeness.copy()
    hits = 0
    while ious.size:
        row, column = np.unravel_index(ious.argmax(), ious.shape)
        if ious[row, column] < RECALL_IOU or likeness[row, column] < RECALL_SIMILARITY:
            break
        hits += 1
        ious[row, :] = ious[:, column] = 0
        likeness[row, :] = likeness[:, column] = 0
    return hits
