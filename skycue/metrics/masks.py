"""Measures of predicted masks against true ones: as published for GLaMM, and corrected.

The published protocol is the evaluation of grounded conversation generation of GLaMM (Rasheed et
al., CVPR 2024, https://arxiv.org/abs/2311.03356): masks of an image are paired greedily by overlap
and what stays unpaired costs nothing, and every detection has the score 1. The corrected measures
pair masks so that their total overlap is largest, let unpaired masks on either side count 0, leave
empty masks out, and rank detections by the model's own scores.
"""

import contextlib
import io
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from skycue.data.rle import Mask, Rle, area_of, encode_mask

Floats: TypeAlias = NDArray[np.float64]

AP_IOU = 0.5
"""Overlap from which a detection counts in AP50."""
_CATEGORY = 1  # all phrases are of one kind, as in the published protocol


class ImageMasks(NamedTuple):
    """The masks of one answer and those that it should have given.

    Attributes:
        predicted: One a phrase, P.
        scores: Of the predicted masks, P numbers; higher is surer.
        true: One a phrase, T.
    """

    predicted: tuple[Rle, ...]
    scores: tuple[float, ...]
    true: tuple[Rle, ...]

    def without_empty(self) -> "ImageMasks":
        """Leave out masks without a pixel, on either side."""
        kept = [i for i, mask in enumerate(self.predicted) if area_of(mask) > 0]
        return ImageMasks(
            tuple(self.predicted[i] for i in kept),
            tuple(self.scores[i] for i in kept),
            tuple(mask for mask in self.true if area_of(mask) > 0),
        )


class MeanIou(NamedTuple):
    """A mean over images, and what it leaves out.

    Attributes:
        value: In [0, 1]; NaN where no image counts.
        n_empty: Masks without a pixel that were left out, both sides together.
        n_images_left_out: Images without any mask, which have no overlap to speak of.
    """

    value: float
    n_empty: int = 0
    n_images_left_out: int = 0


def iou_matrix(predicted: Sequence[Rle | Mask], true: Sequence[Rle | Mask]) -> Floats:
    """Return the intersection over union of every pair of masks, [P, T].

    Masks may be given as run lengths or as arrays [H, W]; all are of one image. Two empty masks
    overlap by 0.
    """
    if not predicted or not true:
        return np.zeros((len(predicted), len(true)))
    sides = [[_coded(mask) for mask in masks] for masks in (predicted, true)]
    found: Floats = coco_mask.iou(sides[0], sides[1], [0] * len(true))
    return np.asarray(found, dtype=np.float64).reshape(len(predicted), len(true))


def mask_iou(first: Rle | Mask, second: Rle | Mask) -> float:
    """Return the intersection over union of two masks of one image, in [0, 1]."""
    return float(iou_matrix([first], [second])[0, 0])


def union_of(masks: Sequence[Rle]) -> Rle:
    """Return the mask of all pixels of one or more masks of one image."""
    merged = coco_mask.merge([_coded(mask) for mask in masks])
    return Rle(size=masks[0].size, counts=merged["counts"].decode("ascii"))


def greedy_pairs(ious: Floats) -> list[tuple[int, int]]:
    """Pair masks as published: the pair that overlaps most, then the most among the rest.

    Pairs that do not overlap are no pairs. Where a mask on each side is empty, their overlap is
    not a number and ends the pairing; give NaN there for the published behaviour.

    Args:
        ious: Overlaps, [P, T].

    Returns:
        (predicted, true), the largest overlap first.
    """
    left = ious.copy()
    pairs: list[tuple[int, int]] = []
    while left.size and left.max() > 0:  # NaN is the maximum of whatever holds it
        row, column = np.unravel_index(left.argmax(), left.shape)
        pairs.append((int(row), int(column)))
        left[row, :] = 0
        left[:, column] = 0
    return pairs


def best_pairs(values: Floats) -> list[tuple[int, int]]:
    """Pair rows and columns one to one so that the total value is largest; pairs of 0 are none."""
    from scipy.optimize import linear_sum_assignment  # imported when used: slow to import

    rows, columns = linear_sum_assignment(values, maximize=True)
    chosen = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in chosen if values[row, column] > 0]


def published_iou_matrix(masks: ImageMasks) -> Floats:
    """Return `iou_matrix` with the published 0 / 0 = NaN where both masks are empty, [P, T]."""
    ious = iou_matrix(masks.predicted, masks.true)
    empty = [np.array([area_of(mask) == 0 for mask in side], dtype=bool) for side in masks[::2]]
    ious[np.logical_and.outer(*empty)] = np.nan
    return ious


def glamm_mean_iou(images: Sequence[ImageMasks]) -> MeanIou:
    """Return the published mIoU: the mean overlap of `greedy_pairs`, averaged over images.

    Unpaired masks cost nothing on either side, except where nothing overlaps: that image has 0. So
    has an image whose overlaps hold a NaN (`published_iou_matrix`).
    """
    values = []
    for masks in images:
        ious = published_iou_matrix(masks)
        paired = [ious[pair] for pair in greedy_pairs(ious)]
        values.append(float(np.mean(paired)) if paired else 0.0)
    return MeanIou(float(np.mean(values)) if values else float("nan"))


def mean_iou(images: Sequence[ImageMasks]) -> MeanIou:
    """Return the corrected mIoU: unpaired masks count 0, pairs are the best one to one.

    An image with P predicted and T true masks of which n pairs overlap has the sum of their
    overlaps over P + T - n. Empty masks and images without masks are left out and counted.
    """
    values, n_empty, n_left_out = [], 0, 0
    for given in images:
        masks = given.without_empty()
        n_predicted, n_true = len(masks.predicted), len(masks.true)
        n_empty += len(given.predicted) + len(given.true) - n_predicted - n_true
        if n_predicted + n_true == 0:
            n_left_out += 1
            continue
        ious = iou_matrix(masks.predicted, masks.true)
        paired = [ious[pair] for pair in best_pairs(ious)]
        values.append(float(np.sum(paired)) / (n_predicted + n_true - len(paired)))
    mean = float(np.mean(values)) if values else float("nan")
    return MeanIou(mean, n_empty, n_left_out)


def glamm_average_precision(images: Sequence[ImageMasks]) -> float:
    """Return the published AP50: every score is 1, so detections rank in the order of the answers.

    Returns:
        A number in [0, 1]; NaN without true masks.
    """
    return _average_precision([masks._replace(scores=(1.0,) * len(masks[0])) for masks in images])


def average_precision(images: Sequence[ImageMasks]) -> float:
    """Return AP50 with the model's scores, without empty masks.

    Returns:
        A number in [0, 1]; NaN without true masks.
    """
    return _average_precision([masks.without_empty() for masks in images])


def _average_precision(images: Sequence[ImageMasks]) -> float:
    """Let COCO's evaluation compute AP at an overlap of 0.5 (101 recall points, 100 masks)."""
    truth = [(number, mask, 1.0) for number, masks in enumerate(images) for mask in masks.true]
    found = [
        (number, mask, score)
        for number, masks in enumerate(images)
        for mask, score in zip(masks.predicted, masks.scores, strict=True)
    ]
    if not truth:
        return float("nan")
    if not found:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress there
        examined = COCOeval(_as_coco(len(images), truth), _as_coco(len(images), found), "segm")
        examined.params.iouThrs = np.array([AP_IOU])
        examined.params.areaRng, examined.params.areaRngLbl = [[0, 1e10]], ["all"]
        examined.evaluate()
        examined.accumulate()
    precision: Floats = examined.eval["precision"][0, :, 0, 0, -1]  # [101], at 100 masks an image
    return float(precision.mean())


def _as_coco(n_images: int, masks: Sequence[tuple[int, Rle, float]]) -> COCO:
    """Build COCO's index of masks, each with the number of its image and a score."""
    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": number, "height": 1, "width": 1} for number in range(n_images)
        ],  # sizes are read for polygons only
        "categories": [{"id": _CATEGORY, "name": "phrase"}],
        "annotations": [
            {
                "id": identity,
                "image_id": image,
                "category_id": _CATEGORY,
                "segmentation": _coded(mask),
                "area": area_of(mask),
                "iscrowd": 0,
                "score": score,
            }
            for identity, (image, mask, score) in enumerate(masks, start=1)  # 0 means unmatched
        ],
    }
    coco.createIndex()
    return coco


def _coded(mask: Rle | Mask) -> dict[str, object]:
    """Return a mask as pycocotools holds it."""
    rle = mask if isinstance(mask, Rle) else encode_mask(mask)
    return {"size": list(rle.size), "counts": rle.counts.encode("ascii")}
