"""Tip-Adapter and its fine-tuned form: as loops, as released, and how constants are chosen."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.errors import CheckpointError, NewClassesError
from skycue.scene_config import TRAIN_DEFAULTS
from skycue.scenes.asymmetric import MultiLabelConfig, asymmetric_loss, level_of
from skycue.scenes.base import ImageInputs
from skycue.scenes.frozen_text import FrozenText
from skycue.scenes.tip_adapter import (
    ALPHAS,
    BETAS,
    TipAdapter,
    TipAdapterConfig,
    TipAdapterF,
    TipAdapterFConfig,
    folds_of,
)
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig
from skycue.training_config import build_optimizer
from tests.scenes.published_widths import clip_of_published_widths
from tests.scenes.test_methods import CLASSES, LABELS, encoded_images, learn


def queries(clip: Clip) -> ImageInputs:
    """Return images like the remembered ones, but not the same."""
    noise = torch.randn(8, clip.config.embed_dim, generator=torch.Generator().manual_seed(5))
    near = encoded_images(clip).require("embedding") + 0.3 * noise
    return ImageInputs(embedding=F.normalize(near, dim=-1))


def remembering(clip: Clip, config: TipAdapterConfig | None = None) -> TipAdapter:
    adapter = TipAdapter(clip, config or TipAdapterConfig())
    adapter.solve(encoded_images(clip), LABELS, CLASSES)
    return adapter


def fine_tuning(clip: Clip, config: TipAdapterFConfig | None = None) -> TipAdapterF:
    adapter = TipAdapterF(clip, config or TipAdapterFConfig())
    adapter.start_from(encoded_images(clip), LABELS, CLASSES)
    return adapter


def by_loops(
    clip: Clip, image: Tensor, keys: Tensor, labels: Tensor, alpha: float, beta: float
) -> list[float]:
    """Write the logits of one image out, remembered image by remembered image."""
    classes = FrozenText(clip, "remote-sensing").class_embeddings(CLASSES)
    logits = [float(clip.logit_scale.exp() * image @ w) for w in classes]
    for key, label in zip(keys, labels.tolist(), strict=True):
        logits[label] += alpha * math.exp(-beta * (1 - float(image @ key)))
    return logits


def test_logits_equal_the_formula_written_as_loops(tiny_clip: Clip) -> None:
    adapter = remembering(tiny_clip, TipAdapterConfig(alpha=0.7, beta=3.0))
    keys = encoded_images(tiny_clip).require("embedding")
    images = queries(tiny_clip)
    expected = [
        by_loops(tiny_clip, image, keys, LABELS, 0.7, 3.0) for image in images.require("embedding")
    ]
    assert_close(adapter(images, CLASSES), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_images_of_weight_zero_leave_zero_shot(tiny_clip: Clip) -> None:
    adapter = remembering(tiny_clip, TipAdapterConfig(alpha=0))
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig())
    images = queries(tiny_clip)
    assert_close(adapter(images, CLASSES), zero_shot(images, CLASSES))


def test_logits_equal_those_of_the_release(tiny_clip: Clip) -> None:
    """The release's function, run outside this project: gaopengcuhk/Tip-Adapter at d0e2d6f8.

    `run_tip_adapter` of main.py on the images of `encoded_images` and `queries`, alpha 1, beta 5.5,
    with the inverse temperature of `build_tiny_clip()` where it writes 100.
    """
    logits = torch.tensor([[2.0074, 1.5674, 1.5593], [2.7655, 2.4870, 2.3759]])
    for adapter in (remembering(tiny_clip), fine_tuning(tiny_clip)):
        assert_close(adapter(queries(tiny_clip), CLASSES)[:2], logits, rtol=0, atol=1e-4)


def test_three_steps_equal_those_of_the_release(tiny_clip: Clip) -> None:
    """Its fine-tuning likewise: `run_tip_adapter_F`, three epochs of one batch of 8 at lr 0.001."""
    adapter = fine_tuning(tiny_clip)
    optimizer = build_optimizer(adapter.learned_parameters(), TRAIN_DEFAULTS["tip-adapter-f"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(adapter.loss(encoded_images(tiny_clip), LABELS, CLASSES))
        optimizer.step()
        schedule.step()
    keys = torch.tensor([[-0.35748, -0.25480, -0.16235], [0.20577, -0.01586, -0.49018]])
    assert_close(adapter.keys[:2, :3], keys, rtol=0, atol=2e-5)
    logits = torch.tensor([[2.0106, 1.5675, 1.5593], [2.7654, 2.4924, 2.3762]])
    assert_close(adapter(queries(tiny_clip), CLASSES)[:2], logits, rtol=0, atol=1e-4)


def test_only_the_keys_are_fine_tuned_and_the_loss_falls(tiny_clip: Clip) -> None:
    adapter = fine_tuning(tiny_clip)
    start = {name: tensor.clone() for name, tensor in adapter.learned_state().items()}
    before = {name: tensor.clone() for name, tensor in tiny_clip.state_dict().items()}
    losses = list(learn(adapter, encoded_images(tiny_clip), steps=60))
    assert losses[-1] < 0.8 * losses[0]
    assert adapter.learned_parameters().keys() == {"keys"}
    for name, tensor in adapter.learned_state().items():
        assert torch.equal(tensor, start[name]) == (name != "keys"), name
    assert all(torch.equal(tensor, before[k]) for k, tensor in tiny_clip.state_dict().items())
    assert remembering(tiny_clip).learned_parameters() == {}


def test_images_with_several_classes_speak_for_each(tiny_clip: Clip) -> None:
    images = ImageInputs(embedding=encoded_images(tiny_clip).require("embedding")[:2])
    adapter = TipAdapter(tiny_clip, TipAdapterConfig())
    adapter.solve(images, torch.tensor([[1, 1, 0], [0, 0, 0]]), CLASSES)
    gain = adapter(images, CLASSES) - ZeroShot(tiny_clip, ZeroShotConfig())(images, CLASSES)
    cosine = float(images.require("embedding")[0] @ images.require("embedding")[1])
    other = math.exp(-5.5 * (1 - cosine))
    assert_close(gain, torch.tensor([[1, 1, 0], [other, other, 0]]), rtol=1e-4, atol=1e-4)


def test_folds_are_even_in_each_class() -> None:
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0])
    folds = folds_of(F.one_hot(labels, 2), 2)
    assert folds.tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0]


def test_constants_not_given_are_those_of_the_least_loss_on_held_out_images(
    tiny_clip: Clip,
) -> None:
    inputs, labels = encoded_images(tiny_clip), LABELS  # 3, 3 and 2 images: two folds
    images = inputs.require("embedding")
    fold = [0, 0, 0, 1, 1, 1, 0, 0]
    losses = {}
    for alpha, beta in product(ALPHAS, BETAS):
        total = 0.0
        for n in range(8):
            others = [m for m in range(8) if fold[m] != fold[n]]
            # Of two folds one is left, so what it says counts twice.
            logits = by_loops(tiny_clip, images[n], images[others], labels[others], 2 * alpha, beta)
            total -= float(torch.tensor(logits).log_softmax(0)[labels[n]])
        losses[alpha, beta] = total / 8
    best = min(losses, key=losses.__getitem__)
    assert best != (1.0, 5.5)
    chosen = remembering(tiny_clip, TipAdapterConfig(alpha=None, beta=None))
    assert (chosen.alpha.item(), chosen.beta.item()) == pytest.approx(best)
    tuned = fine_tuning(tiny_clip, TipAdapterFConfig(alpha=None, beta=None))
    assert (tuned.alpha.item(), tuned.beta.item()) == pytest.approx(best)
    best_alpha = min(ALPHAS, key=lambda alpha: losses[alpha, 4.0])
    one = remembering(tiny_clip, TipAdapterConfig(alpha=None, beta=4.0))
    assert (one.alpha.item(), one.beta.item()) == pytest.approx((best_alpha, 4.0))


def test_constants_for_several_labels_are_judged_at_the_level_of_their_logits(
    tiny_clip: Clip,
) -> None:
    images = encoded_images(tiny_clip).require("embedding")
    shown = F.one_hot(LABELS, 3).float()
    shown[3, 1] = shown[7, 2] = 1
    fold = [0, 0, 0, 1, 1, 1, 0, 0]  # by the first class of each image
    losses = {}
    for alpha, beta in product(ALPHAS, BETAS):
        rows = []
        for n, image in enumerate(images):
            row = torch.tensor(by_loops(tiny_clip, image, images[:0], LABELS[:0], 0, beta))
            for m, key in enumerate(images):
                if fold[m] != fold[n]:
                    row += 2 * alpha * math.exp(-beta * (1 - float(image @ key))) * shown[m]
            rows.append(row)
        logits = torch.stack(rows)
        level = level_of(logits, shown)
        losses[alpha, beta] = asymmetric_loss(logits - level, shown, MultiLabelConfig()).item()
    adapter = TipAdapter(tiny_clip, TipAdapterConfig(alpha=None, beta=None))
    adapter.solve(encoded_images(tiny_clip), shown, CLASSES)
    best = min(losses, key=losses.__getitem__)
    assert (adapter.alpha.item(), adapter.beta.item()) == pytest.approx(best)


def test_with_one_image_of_a_class_the_published_constants_stand(tiny_clip: Clip) -> None:
    adapter = TipAdapter(tiny_clip, TipAdapterConfig(alpha=None, beta=None))
    inputs = encoded_images(tiny_clip, n_images=4)
    adapter.solve(inputs, torch.tensor([0, 1, 2, 0]), CLASSES)
    assert (adapter.alpha.item(), adapter.beta.item()) == (1.0, 5.5)


def test_a_class_it_was_not_fitted_on_is_refused_and_any_order_is_not(tiny_clip: Clip) -> None:
    adapter, images = remembering(tiny_clip), queries(tiny_clip)
    with pytest.raises(NewClassesError, match=r"only the 3 classes .* 'beach' is none of them"):
        adapter(images, ["harbor", "beach"])
    turned = adapter(images, CLASSES[::-1])
    assert_close(turned, adapter(images, CLASSES).flip(-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("build", [remembering, fine_tuning])
def test_a_loaded_adapter_scores_the_same_and_wrong_shapes_are_refused(
    build: type[TipAdapter], tiny_clip: Clip
) -> None:
    config = {"alpha": None, "beta": 2.0}
    kind = TipAdapterConfig if build is remembering else TipAdapterFConfig
    adapter = build(tiny_clip, kind.model_validate(config))
    again = type(adapter)(tiny_clip, adapter.config)
    again.load_learned_state(adapter.learned_state(), CLASSES)
    assert torch.equal(again(queries(tiny_clip), CLASSES), adapter(queries(tiny_clip), CLASSES))
    assert again.learned_parameters().keys() == adapter.learned_parameters().keys()
    with pytest.raises(CheckpointError, match="a Tip-Adapter holds"):
        again.load_learned_state(adapter.learned_state(), CLASSES[:2])
    with pytest.raises(CheckpointError, match="a Tip-Adapter holds"):
        again.load_learned_state({}, CLASSES)


def test_it_has_the_parameters_of_the_release_at_its_widths() -> None:
    clip = clip_of_published_widths()
    adapter = TipAdapterF(clip, TipAdapterFConfig(template="photo"))
    images = ImageInputs(embedding=torch.zeros(48, 512))  # 16 shots of 3 classes
    adapter.start_from(images, torch.arange(48) % 3, CLASSES)
    assert {n: p.numel() for n, p in adapter.learned_parameters().items()} == {"keys": 48 * 512}
