"""Turn the raw scores of masks into chances: a logistic curve fitted on held-out boxes.

Platt, "Probabilistic Outputs for Support Vector Machines", 1999. A raw score is the expected
overlap times the mean probability of the phrase's words; a mask is right where it overlaps the
outline of the phrase that it is paired with by half or more.
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from skycue.metrics.masks import best_pairs, iou_matrix
from skycue.region_describer import RegionDescriber
from skycue.region_images import RegionImages
from skycue.region_network import Calibration
from skycue.region_samples import Item, TrainImage, box_of, caption_of

RIGHT_IOU = 0.5
"""A mask that overlaps its outline so much is right."""
LEAST_MASKS = 20
"""Fewer masks, or only right or only wrong ones, fit no curve: scores stay raw."""


def calibrate(describer: RegionDescriber, held_out: RegionImages) -> Calibration:
    """Describe held-out boxes and fit their scores to how often masks are right.

    Args:
        describer: With raw scores.
        held_out: Outlined images with boxes.
    """
    scores: list[float] = []
    right: list[bool] = []
    for number, items in groupby(held_out.items, key=lambda item: item.image):
        image, boxes = held_out.images[number], list(items)
        encoded = describer.encode(np.ascontiguousarray(image.pixels.transpose(2, 0, 1)))
        answers = encoded.describe_all([box_of(image, item) for item in boxes])
        for item, answer in zip(boxes, answers, strict=True):
            masked = [(p.mask.to_rle(), p.score) for p in answer.phrases if p.mask is not None]
            overlaps = iou_matrix([mask for mask, _ in masked], outlines_of(image, item))
            paired = dict(best_pairs(overlaps)) if overlaps.size else {}
            for row, (_, score) in enumerate(masked):
                scores.append(score)
                right.append(row in paired and overlaps[row, paired[row]] >= RIGHT_IOU)
    return fit_calibration(scores, right)


def fit_calibration(scores: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Fit sigmoid(scale logit(score) + bias) to whether masks are right.

    Args:
        scores: Raw scores in [0, 1].
        right: Whether each mask is right.

    Returns:
        The curve; one that changes nothing where there is too little to fit it by.
    """
    if len(scores) < LEAST_MASKS or len(set(right)) < 2:
        return Calibration()
    from sklearn.linear_model import LogisticRegression

    clipped = np.clip(np.asarray(scores), 1e-6, 1 - 1e-6)
    logits = np.log(clipped / (1 - clipped))[:, None]
    fitted = LogisticRegression(C=1e6).fit(logits, np.asarray(right))
    return Calibration(scale=float(fitted.coef_[0, 0]), bias=float(fitted.intercept_[0]))


def outlines_of(image: TrainImage, item: Item) -> list[NDArray[np.bool_]]:
    """Return the true mask of each phrase of a box's caption, [H, W] each."""
    outlines = image.outlines
    return [
        np.logical_or.reduce([outlines.instances[i].mask(outlines.size) for i in phrase.instances])
        for phrase in caption_of(image, item).phrases
        if phrase.instances
    ]
