"""Level, thresholds and standardised scores, by hand; a single image as among others."""

import pytest
import torch
from torch.testing import assert_close

from skycue.errors import DatasetError
from skycue.label_scores import LabelScores, choose_label_scores
from skycue.scenes.asymmetric import MultiLabelConfig

NAMES = ("harbor", "ship")
LOGITS = torch.tensor([[24.0, 20.0], [22.0, 21.0], [20.0, 18.0], [18.0, 23.0]])
LABELS = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])


def chosen(standardise: str = "none", labels: torch.Tensor = LABELS) -> LabelScores:
    config = MultiLabelConfig.model_validate({"standardise": standardise})
    return choose_label_scores(LOGITS, labels, NAMES, config, "validation")


def test_probabilities_are_sigmoids_over_one_level() -> None:
    scores = chosen()
    probabilities = scores.probabilities(LOGITS, NAMES)
    assert_close(probabilities, (LOGITS - scores.level).sigmoid())
    assert float(probabilities.sum()) == pytest.approx(4, abs=1e-3)  # four labels


def test_thresholds_part_what_is_shown_from_what_is_not() -> None:
    scores = chosen()
    probabilities = scores.probabilities(LOGITS, NAMES)
    given = probabilities.double() >= scores.thresholds(NAMES)
    assert given.float().tolist() == LABELS.tolist()
    rows = [dict(zip(NAMES, row, strict=True)) for row in probabilities.tolist()]
    assert [scores.labels(row) for row in rows] == [["harbor"], ["harbor", "ship"], [], ["ship"]]


def test_a_class_that_is_never_shown_takes_the_threshold_of_all() -> None:
    scores = chosen(labels=LABELS * torch.tensor([1.0, 0.0]))
    assert scores.of("ship").threshold == scores.other.threshold == scores.of("unknown").threshold
    assert scores.of("harbor").threshold != scores.other.threshold


def test_scores_are_standardised_over_the_classes_of_an_image() -> None:
    scores = chosen("image")
    # Of two classes the higher score becomes 1 and the lower -1.
    expected = torch.tensor([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    assert_close(scores.probabilities(LOGITS, NAMES), (expected - scores.level).sigmoid())


def test_scores_are_then_standardised_for_each_class() -> None:
    scores = chosen("image-class")
    # Harbor: 1, 1, 1, -1 has mean 1/2 and deviation sqrt(3)/2.
    assert scores.of("harbor").mean == pytest.approx(0.5)
    assert scores.of("harbor").deviation == pytest.approx(3**0.5 / 2)
    inner, outer = 1 / 3**0.5, 3**0.5
    expected = torch.tensor([[inner, -inner]] * 3 + [[-outer, outer]])
    assert_close(scores.probabilities(LOGITS, NAMES), (expected - scores.level).sigmoid())


@pytest.mark.parametrize("standardise", ["none", "image", "image-class"])
def test_an_image_is_scored_alone_as_among_others(standardise: str) -> None:
    scores = chosen(standardise)
    together = scores.probabilities(LOGITS, NAMES)
    alone = torch.cat([scores.probabilities(row[None], NAMES) for row in LOGITS])
    assert_close(alone, together)
    names = ("ship", "harbor")  # whatever the order of the classes
    assert_close(scores.probabilities(LOGITS.flip(1), names), together.flip(1))


def test_one_class_asked_for_has_a_score_too() -> None:
    assert chosen("image").probabilities(LOGITS[:, :1], NAMES[:1]).isfinite().all()


def test_images_that_show_nothing_choose_nothing() -> None:
    with pytest.raises(DatasetError, match="the 4 validation images show none of harbor, ship"):
        chosen(labels=torch.zeros(4, 2))


def test_what_is_chosen_survives_a_file() -> None:
    scores = chosen("image-class")
    assert LabelScores.model_validate_json(scores.model_dump_json()) == scores
