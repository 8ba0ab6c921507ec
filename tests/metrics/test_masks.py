"""Measures of masks: hand-worked overlaps, both protocols, and a plain-loop AP."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from skycue.data.rle import Mask, Rle, decode_mask, encode_mask
from skycue.metrics.masks import (
    ImageMasks,
    average_precision,
    best_pairs,
    glamm_average_precision,
    glamm_mean_iou,
    greedy_pairs,
    iou_matrix,
    mask_iou,
    mean_iou,
    published_iou_matrix,
    union_of,
)

SIZE = (8, 12)
EMPTY = encode_mask(np.zeros(SIZE, dtype=np.bool_))


def strip(start: int, end: int, row: int = 0) -> Rle:
    """A mask of the pixels start..end of one row."""
    mask = np.zeros(SIZE, dtype=np.bool_)
    mask[row, start:end] = True
    return encode_mask(mask)


def image(predicted: list[Rle], true: list[Rle], scores: list[float] | None = None) -> ImageMasks:
    return ImageMasks(tuple(predicted), tuple(scores or [0.5] * len(predicted)), tuple(true))


def random_masks(rng: np.random.Generator, n: int) -> list[Mask]:
    """Boxes of random place and size, so that overlaps of all strengths occur."""
    masks = []
    for _ in range(n):
        mask = np.zeros(SIZE, dtype=np.bool_)
        y, x = rng.integers(0, 5), rng.integers(0, 8)
        mask[y : y + rng.integers(1, 5), x : x + rng.integers(1, 6)] = True
        masks.append(mask)
    return masks


def test_overlap_of_two_strips_is_worked_out_by_hand() -> None:
    assert mask_iou(strip(0, 6), strip(4, 8)) == pytest.approx(2 / 8)
    assert mask_iou(strip(0, 6), strip(0, 6)) == 1.0
    assert mask_iou(strip(0, 6), strip(6, 8)) == 0.0
    assert mask_iou(EMPTY, EMPTY) == 0.0


def test_overlaps_are_counted_pixels_for_arrays_and_run_lengths() -> None:
    rng = np.random.default_rng(0)
    first, second = random_masks(rng, 4), random_masks(rng, 5)
    counted = [[(a & b).sum() / (a | b).sum() for b in second] for a in first]
    np.testing.assert_allclose(iou_matrix(first, second), counted, atol=1e-12)
    coded = [encode_mask(mask) for mask in first], [encode_mask(mask) for mask in second]
    np.testing.assert_allclose(iou_matrix(*coded), counted, atol=1e-12)


def test_no_masks_give_an_empty_matrix() -> None:
    assert iou_matrix([], [strip(0, 1)]).shape == (0, 1)
    assert iou_matrix([strip(0, 1)], []).shape == (1, 0)


def test_a_union_has_the_pixels_of_all() -> None:
    union = decode_mask(union_of([strip(0, 3), strip(2, 5), strip(9, 10, row=4)]))
    assert union[0].nonzero()[0].tolist() == [0, 1, 2, 3, 4]
    assert union[4].nonzero()[0].tolist() == [9]
    assert union.sum() == 6


def test_greedy_takes_the_largest_overlap_though_the_sum_gets_smaller() -> None:
    ious = np.array([[0.9, 0.8], [0.7, 0.0]])
    assert greedy_pairs(ious) == [(0, 0)]  # and nothing is left that overlaps
    assert sorted(best_pairs(ious)) == [(0, 1), (1, 0)]  # 0.8 + 0.7 > 0.9


def test_assignment_is_the_best_of_all_assignments() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        values = rng.random((3, 4)) * (rng.random((3, 4)) > 0.4)
        best = max(
            sum(values[row, column] for row, column in enumerate(columns))
            for columns in itertools.permutations(range(4), 3)
        )
        assert sum(values[pair] for pair in best_pairs(values)) == pytest.approx(best)


def test_an_unpaired_mask_costs_nothing_as_published_and_counts_0_corrected() -> None:
    images = [image([strip(0, 6), strip(0, 2, row=5)], [strip(0, 3), strip(0, 2, row=7)])]
    assert glamm_mean_iou(images).value == pytest.approx(0.5)
    assert mean_iou(images).value == pytest.approx(0.5 / 3)  # one pair, one mask on either side


def test_mean_overlap_is_over_images() -> None:
    images = [
        image([strip(0, 4)], [strip(0, 4)]),
        image([strip(0, 4)], [strip(4, 8)]),
        image([strip(0, 2)], [strip(0, 4)]),
    ]
    assert glamm_mean_iou(images).value == pytest.approx((1 + 0 + 0.5) / 3)
    # Masks that do not meet are no pair: 0 over 2.
    assert mean_iou(images).value == pytest.approx((1 + 0 + 0.5) / 3)


def test_two_empty_masks_spoil_a_published_image_and_are_left_out_and_counted_corrected() -> None:
    masks = image([strip(0, 4), EMPTY], [strip(0, 4), EMPTY])
    assert np.isnan(published_iou_matrix(masks)).tolist() == [[False, False], [False, True]]
    assert glamm_mean_iou([masks]).value == 0.0
    assert mean_iou([masks, image([], [EMPTY])]) == (1.0, 3, 1)


def test_an_empty_answer_leaves_its_truth_unpaired() -> None:
    assert mean_iou([image([EMPTY], [strip(0, 4)])]) == (0.0, 1, 0)


def test_nothing_to_average_is_not_a_number() -> None:
    assert math.isnan(mean_iou([]).value)
    assert math.isnan(average_precision([image([strip(0, 1)], [])]))
    assert average_precision([image([], [strip(0, 1)])]) == 0.0


def test_scores_rank_the_detections_and_the_published_rank_is_the_order_of_answers() -> None:
    wrong, right = strip(0, 2, row=5), strip(0, 4)
    images = [image([wrong, right], [right], scores=[0.1, 0.9])]
    assert average_precision(images) == pytest.approx(1.0)
    assert glamm_average_precision(images) == pytest.approx(0.5)  # the wrong one comes first


def looped_average_precision(images: list[ImageMasks]) -> float:
    """AP50 in plain loops: 101 recall points, the best precision at that recall or beyond."""
    found = []
    for number, masks in enumerate(images):
        ious = iou_matrix(masks.predicted, masks.true)
        free = set(range(len(masks.true)))
        for p in sorted(range(len(masks.predicted)), key=lambda p: -masks.scores[p]):
            good = [t for t in free if ious[p, t] >= 0.5]
            best = max(good, key=lambda t: (ious[p, t], t), default=None)
            free -= {best}
            found.append((masks.scores[p], number, best is not None))
    found.sort(key=lambda each: (-each[0], each[1]))  # stable within an image
    n_true = sum(len(masks.true) for masks in images)
    curve = []
    hits = 0
    for rank, (_, _, is_hit) in enumerate(found, start=1):
        hits += is_hit
        curve.append((hits / n_true, hits / rank))
    points: NDArray[np.float64] = np.linspace(0, 1, 101)
    return float(
        np.mean([max((p for r, p in curve if r >= point), default=0.0) for point in points])
    )


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_that_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(6):
        true = random_masks(rng, 3)
        predicted = [np.roll(mask, rng.integers(0, 2), axis=1) for mask in true[:2]]
        predicted += random_masks(rng, 2)
        images.append(
            ImageMasks(
                tuple(encode_mask(mask) for mask in predicted),
                tuple(rng.random(4).tolist()),
                tuple(encode_mask(mask) for mask in true),
            )
        )
    ours = average_precision(images)
    assert 0 < ours < 1
    assert ours == pytest.approx(looped_average_precision(images), abs=1e-9)
    flat = [masks._replace(scores=(1.0,) * 4) for masks in images]
    published = glamm_average_precision(images)
    assert published == pytest.approx(looped_average_precision(flat), abs=1e-9)
