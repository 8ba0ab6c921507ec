"""KgCoOp: CoOp plus the distance from the templates' class embeddings, as released and by hand."""

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.config import load_config
from skycue.errors import ConfigError
from skycue.scene_config import SceneConfig
from skycue.scenes.coop import CoOp, CoOpConfig
from skycue.scenes.kgcoop import KgCoOp, KgCoOpConfig
from tests.scenes.published_widths import clip_of_published_widths
from tests.scenes.test_methods import CLASSES, LABELS, NEW_CLASSES, encoded_images

AERIAL = "an aerial photo of a {}."


def test_without_weight_it_learns_what_coop_learns(tiny_clip: Clip) -> None:
    inputs = encoded_images(tiny_clip)
    kgcoop, coop = KgCoOp(tiny_clip, KgCoOpConfig(weight=0)), CoOp(tiny_clip, CoOpConfig())
    losses = [method.loss(inputs, LABELS, CLASSES) for method in (kgcoop, coop)]
    assert losses[0] == losses[1]
    (ours,) = torch.autograd.grad(losses[0], [kgcoop.context])
    (expected,) = torch.autograd.grad(losses[1], [coop.context])
    assert_close(ours, expected)


def test_the_distance_is_a_half_of_the_papers_squared_one(tiny_clip: Clip) -> None:
    torch.manual_seed(5)
    kgcoop = KgCoOp(tiny_clip, KgCoOpConfig(template=AERIAL, init_words="", n_ctx=3))
    learned = kgcoop.class_embeddings(CLASSES).detach()
    squared = 0.0
    for name, embedding in zip(CLASSES, learned, strict=True):
        frozen = tiny_clip.encode_text(tiny_clip.tokenize([AERIAL.format(name)]))[0]
        squared += float((embedding - frozen) @ (embedding - frozen))
    distance = kgcoop.distance(learned, CLASSES).item()
    assert distance > 0.01
    assert distance == pytest.approx(squared / len(CLASSES) / 2, abs=1e-5)


def test_a_strong_weight_holds_the_classes_at_the_templates(tiny_clip: Clip) -> None:
    inputs, ends = encoded_images(tiny_clip), {}
    for weight in (0.0, 100.0):
        kgcoop = KgCoOp(tiny_clip, KgCoOpConfig(template="photo", weight=weight))
        optimizer = torch.optim.SGD([kgcoop.context], lr=0.02)
        for _ in range(20):
            optimizer.zero_grad()
            torch.autograd.backward(kgcoop.loss(inputs, LABELS, CLASSES))
            optimizer.step()
        ends[weight] = kgcoop.distance(kgcoop.class_embeddings(NEW_CLASSES), NEW_CLASSES).item()
    assert ends[100.0] < 0.5 * ends[0.0]


def test_logits_loss_and_one_step_equal_those_of_the_release(tiny_clip: Clip) -> None:
    """The release's network and trainer, run outside this project on the same weights.

    htyao89/KgCoOp at c43ccc32: the text tower of `build_tiny_clip()`, the images of
    `encoded_images`, the words "a photo of a", W 8; SGD at 0.1, momentum 0.9, decay 5e-4.
    """
    kgcoop = KgCoOp(tiny_clip, KgCoOpConfig(template=AERIAL))
    inputs = encoded_images(tiny_clip)
    logits = torch.tensor([[3.62932, 3.42514, 3.52123], [1.43112, 0.80253, 0.86365]])
    assert_close(kgcoop(inputs, CLASSES)[:2], logits, rtol=0, atol=1e-4)
    optimizer = torch.optim.SGD([kgcoop.context], lr=0.1, momentum=0.9, weight_decay=5e-4)
    loss = kgcoop.loss(inputs, LABELS, CLASSES)
    torch.autograd.backward(loss)
    optimizer.step()
    assert loss.item() == pytest.approx(1.227619, abs=1e-5)
    context = torch.tensor(
        [
            [0.02135, -0.01710, -0.01752, 0.04816],
            [0.06336, -0.02891, 0.06238, 0.01154],
            [-0.03458, 0.04198, 0.02795, 0.01139],
            [-0.01684, -0.02138, 0.00188, 0.04550],
        ]
    )
    assert_close(kgcoop.context[:, :4], context, rtol=0, atol=2e-5)


def test_it_has_the_parameters_of_the_release_at_its_widths() -> None:
    clip = clip_of_published_widths()
    learned = KgCoOp(clip, KgCoOpConfig()).learned_parameters()
    assert {name: p.numel() for name, p in learned.items()} == {"context": 2_048}


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method.kgcoop.weight' is -1.*greater than or equal"):
        load_config(SceneConfig, None, ["method.name=kgcoop", "method.weight=-1"])
