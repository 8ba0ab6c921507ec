"""Measuring a CLIP: values that can be worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.backbones.preprocess import preprocess
from skycue.clip_evaluation import (
    EncodedSplit,
    clip_encoder,
    measure_probe,
    measure_zero_shot,
    without,
)
from skycue.data.class_names import clean_class_names
from skycue.data.images import read_image
from skycue.data.scenes import SceneSplit
from skycue.data.splits import load_split


@pytest.fixture
def split(scene_folder: Path) -> SceneSplit:
    return load_split(scene_folder)


class OneHot:
    """Features that are the label; those of the first `wrong` test images are the next label."""

    def __init__(self, split: SceneSplit, wrong: int) -> None:
        items = [*split.train, *split.val, *split.test]
        self.label_of = {item.path: item.only_label for item in items}
        self.count = len(split.class_names)
        for item in split.test[:wrong]:
            self.label_of[item.path] = (item.only_label + 1) % self.count

    def __call__(self, paths: Sequence[Path]) -> Tensor:
        labels = torch.tensor([self.label_of[path] for path in paths])
        return F.one_hot(labels, self.count).float()


def test_a_probe_on_the_labels_misses_exactly_the_images_that_lie(split: SceneSplit) -> None:
    honest = measure_probe(EncodedSplit.encode(split, OneHot(split, 0)), "labels", 2, [1, 2])
    assert (honest.value, honest.deviation) == (100.0, 0.0)
    lying = measure_probe(EncodedSplit.encode(split, OneHot(split, 1)), "labels", 2, [1, 2])
    assert_close(lying.value, 100 * (1 - 1 / len(split.test)))
    assert lying.images == len(split.test)


def test_zero_shot_counts_images_whose_nearest_class_is_theirs(
    tiny_clip: Clip, split: SceneSplit
) -> None:
    encoded = EncodedSplit.encode(split, clip_encoder(tiny_clip))
    measured = measure_zero_shot(tiny_clip, encoded, "{}")
    right = 0
    for item in [*split.train, *split.val, *split.test]:
        pixels = preprocess(read_image(item.path), tiny_clip.config.image.image_size)
        with torch.no_grad():
            texts = tiny_clip.encode_text(tiny_clip.tokenize(clean_class_names(split.class_names)))
            nearest = (tiny_clip.encode_image(pixels[None]) @ texts.T).argmax().item()
        right += nearest == item.label
    assert_close(measured.value, 100 * right / measured.images)


def test_excluded_images_are_neither_learned_from_nor_measured(scene_folder: Path) -> None:
    split = load_split(scene_folder)
    left_out = split.test[0].path.relative_to(scene_folder.parent).as_posix()
    kept = without(split, scene_folder.parent, [left_out])
    assert kept.test == split.test[1:]
    assert (kept.train, kept.val) == (split.train, split.val)
