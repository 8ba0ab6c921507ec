"""From probabilities to measures, and from a classifier's answers to them."""

from __future__ import annotations

import pytest
import torch

from skycue.errors import DatasetError
from skycue.evaluation import evaluate, evaluate_probabilities
from skycue.inference import SceneClassifier

PROBABILITIES = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.3, 0.1], [0.0, 1.0, 0.0]])
LABELS = [0, 1, 1, 1]
CLASSES = ["forest", "river", "beach"]


def test_measures_of_four_images_worked_out_by_hand() -> None:
    found = evaluate_probabilities(PROBABILITIES, LABELS, CLASSES)
    assert found.n_images == 4
    assert found.top1 == 3 / 4
    assert found.per_class == (1.0, 2 / 3, None)
    assert found.confusion == ((1, 0, 0), (1, 2, 0), (0, 0, 0))
    # Four bins of one image each: gaps 0.1, 0.2, 0.6 and 0.
    assert found.calibration_error == pytest.approx((0.1 + 0.2 + 0.6 + 0) / 4)


def test_class_without_images_counts_as_a_wrong_answer_only() -> None:
    found = evaluate_probabilities(torch.tensor([[0.0, 0.0, 1.0]]), [0], CLASSES)
    assert found.top1 == 0
    assert found.confusion[0] == (0, 0, 1)


def test_no_images_are_refused() -> None:
    with pytest.raises(DatasetError, match="no images"):
        evaluate(object.__new__(SceneClassifier), [], CLASSES)
