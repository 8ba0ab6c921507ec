"""Recall of image-text retrieval, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Similarity: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True)
class RetrievalRecall:
    """Recall at each K, as shares in [0, 1]."""

    image_to_text: dict[int, float]
    """Share of images with at least one of their own texts among the K most similar texts."""
    text_to_image: dict[int, float]
    """Share of texts whose own image is among the K most similar images."""


def recall_at_k(
    similarity: Similarity,
    image_of_text: NDArray[np.integer],
    ks: Sequence[int] = (1, 5, 10),
) -> RetrievalRecall:
    """Measure how often the right answer is among the K best, from images and from texts.

    Candidates of equal similarity (captions that are the same sentence, for instance) have no
    order; such a query counts with the probability that a random order would make it a hit, so
    the result depends neither on the order of the files nor on luck.

    Args:
        similarity: Image-text similarities, [N_images, N_texts].
        image_of_text: Row of the image that each text describes, [N_texts].
        ks: Lengths of the list that is looked at.

    Returns:
        Recall both ways; images without a text are no image-to-text query.
    """
    is_own = image_of_text[None, :] == np.arange(len(similarity))[:, None]  # [N_images, N_texts]
    has_text = is_own.any(axis=1)
    return RetrievalRecall(
        image_to_text=_expected_recall(similarity[has_text], is_own[has_text], ks),
        text_to_image=_expected_recall(similarity.T, is_own.T, ks),
    )


def _expected_recall(
    similarity: Similarity, is_own: NDArray[np.bool_], ks: Sequence[int]
) -> dict[int, float]:
    """Average over queries (rows) the chance of an own candidate among the K best."""
    best_own = np.where(is_own, similarity, -np.inf).max(axis=1, keepdims=True)  # [Q, 1]
    is_tied = similarity == best_own
    better = (similarity > best_own).sum(axis=1)  # all of them are wrong answers
    tied_wrong = (is_tied & ~is_own).sum(axis=1)
    tied = is_tied.sum(axis=1)
    counts = list(zip(better.tolist(), tied_wrong.tolist(), tied.tolist(), strict=True))
    return {k: float(np.mean([_chance_of_hit(k - b, w, t) for b, w, t in counts])) for k in ks}


def _chance_of_hit(places: int, wrong: int, tied: int) -> float:
    """Chance that `places` drawn from `tied` candidates are not all among the `wrong` ones."""
    if places <= 0:
        return 0.0
    return 1.0 - comb(wrong, places) / comb(tied, min(places, tied))
