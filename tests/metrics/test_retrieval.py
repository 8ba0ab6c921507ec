"""Retrieval recall, against rankings read off by eye."""

from __future__ import annotations

import numpy as np
import pytest

from skycue.metrics.retrieval import recall_at_k

IMAGE_OF_TEXT = np.array([0, 0, 1, 2])
SIMILARITY = np.array(
    [
        [0.1, 0.9, 0.3, 0.2],  # image 0: its second text is first
        [0.8, 0.5, 0.4, 0.1],  # image 1: its text is third
        [0.7, 0.2, 0.5, 0.6],  # image 2: its text is second
    ]
)


def test_recall_both_ways_read_off_a_small_matrix() -> None:
    recall = recall_at_k(SIMILARITY, IMAGE_OF_TEXT, ks=(1, 2, 3))
    assert recall.image_to_text == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1})
    # Text 0 ranks its image last, text 1 first, text 2 second, text 3 first.
    assert recall.text_to_image == pytest.approx({1: 2 / 4, 2: 3 / 4, 3: 1})


def test_equal_similarities_give_chance() -> None:
    recall = recall_at_k(np.zeros((5, 10)), np.repeat(np.arange(5), 2), ks=(1, 3))
    assert recall.text_to_image == pytest.approx({1: 1 / 5, 3: 3 / 5})
    # No own text among three of ten: 8/10 * 7/9 * 6/8.
    assert recall.image_to_text == pytest.approx({1: 2 / 10, 3: 1 - 8 * 7 * 6 / (10 * 9 * 8)})


def test_list_longer_than_the_candidates_finds_everything() -> None:
    recall = recall_at_k(SIMILARITY, IMAGE_OF_TEXT, ks=(10,))
    assert (recall.image_to_text[10], recall.text_to_image[10]) == (1, 1)


def test_recall_equals_sorting_where_nothing_is_tied() -> None:
    generator = np.random.default_rng(2)
    similarity = generator.normal(size=(20, 60))
    image_of_text = generator.permutation(np.repeat(np.arange(20), 3))
    recall = recall_at_k(similarity, image_of_text, ks=(1, 5))
    for k in (1, 5):
        texts = np.argsort(-similarity, axis=1)[:, :k]
        hits = [(image_of_text[texts[image]] == image).any() for image in range(20)]
        assert recall.image_to_text[k] == pytest.approx(np.mean(hits))
        images = np.argsort(-similarity, axis=0)[:k]
        hits = [image_of_text[text] in images[:, text] for text in range(60)]
        assert recall.text_to_image[k] == pytest.approx(np.mean(hits))


def test_image_without_text_is_no_query() -> None:
    recall = recall_at_k(np.eye(3)[:, :2], np.array([0, 1]), ks=(1,))
    assert recall.image_to_text[1] == 1
