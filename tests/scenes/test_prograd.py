"""ProGrad: the rule of its gradient by hand, through an optimiser, and as released."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.config import load_config
from skycue.errors import ConfigError
from skycue.scene_config import SceneConfig
from skycue.scenes.base import ImageInputs
from skycue.scenes.coop import CoOp, CoOpConfig
from skycue.scenes.prograd import ProGrad, ProGradConfig, projected
from skycue.training import Batch, train
from skycue.training_config import TrainConfig
from tests.scenes.published_widths import clip_of_published_widths
from tests.scenes.test_methods import CLASSES, LABELS, encoded_images

AGAINST, WITH = "the {}.", "an aerial photo of a {}."
"""Templates whose predictions the first gradient on `encoded_images` contradicts, and does not."""


def test_gradients_that_agree_are_left_and_others_lose_their_part_by_hand() -> None:
    own = torch.tensor([3.0, 1.0])
    assert torch.equal(projected(own, torch.tensor([1.0, 2.0]), 1.0), own)
    # Along (-2, 0) lies 3 of (3, 1), against it: what is left is (0, 1).
    against = torch.tensor([-2.0, 0.0])
    assert_close(projected(own, against, 1.0), torch.tensor([0.0, 1.0]))
    assert_close(projected(own, against, 0.5), torch.tensor([1.5, 1.0]))
    assert torch.equal(projected(own, torch.zeros(2), 1.0), own)


def test_the_general_loss_is_a_cross_entropy_written_as_loops(tiny_clip: Clip) -> None:
    prograd = ProGrad(tiny_clip, ProGradConfig(temperature=2.0))
    logits, zero_shot = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, -2.0]])
    expected = 0.0
    for c in range(2):
        share = math.exp(zero_shot[0, c] / 2) / sum(math.exp(z / 2) for z in zero_shot[0])
        own = math.exp(logits[0, c] / 2) / sum(math.exp(z / 2) for z in logits[0])
        expected -= 4 * share * math.log(own)
    assert prograd.general_loss(logits, zero_shot).item() == pytest.approx(expected, abs=1e-5)


def gradients_by_two_passes(prograd: ProGrad, inputs: ImageInputs) -> tuple[Tensor, Tensor]:
    """Return the gradients of both losses, each from a graph of its own."""
    frozen = prograd._templates.class_embeddings(CLASSES)
    zero_shot = prograd.cosine_logits(inputs.require("embedding"), frozen)
    own = prograd.classification_loss(prograd(inputs, CLASSES), LABELS[: inputs.n_images])
    (g_own,) = torch.autograd.grad(own, [prograd.context])
    general = prograd.general_loss(prograd(inputs, CLASSES), zero_shot)
    (g_general,) = torch.autograd.grad(general, [prograd.context])
    return g_own, g_general


@pytest.mark.parametrize("template", [AGAINST, WITH])
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_a_step_of_the_optimiser_follows_the_rule(
    template: str, strength: float, tiny_clip: Clip
) -> None:
    prograd = ProGrad(tiny_clip, ProGradConfig(template=template, strength=strength))
    inputs, start = encoded_images(tiny_clip), prograd.context.detach().clone()
    g, b = (gradient.flatten() for gradient in gradients_by_two_passes(prograd, inputs))
    unit = b / b.norm()
    assert (g @ unit < -1e-3) == (template == AGAINST)
    expected = g - strength * (g @ unit) * unit if template == AGAINST else g
    loss = prograd.loss(inputs, LABELS, CLASSES)
    own = prograd.classification_loss(prograd(inputs, CLASSES), LABELS)
    assert loss.item() == pytest.approx(own.item())
    optimizer = torch.optim.SGD([prograd.context], lr=0.5)
    torch.autograd.backward(loss)
    optimizer.step()
    assert_close(prograd.context.detach(), start - 0.5 * expected.view_as(start), rtol=0, atol=1e-6)


def test_of_several_batches_a_step_each_gradient_is_projected_by_itself(tiny_clip: Clip) -> None:
    prograd = ProGrad(tiny_clip, ProGradConfig(template=AGAINST))
    inputs, start = encoded_images(tiny_clip), prograd.context.detach().clone()
    dealt: list[Tensor] = []

    def loss_on(indices: Tensor) -> Tensor:
        return prograd.loss(inputs.select(indices), LABELS[indices], CLASSES)

    def loss_of(batch: Batch) -> Tensor:
        dealt.append(batch.indices)
        return loss_on(batch.indices)

    config = TrainConfig(
        epochs=1, batch_size=4, accumulate=2, lr=0.5, momentum=0, weight_decay=0, warmup_epochs=0
    )
    train(prograd.learned_parameters(), loss_of, 8, config, seed=1)
    step = start - prograd.context.detach()
    with torch.no_grad():
        prograd.context.copy_(start)
    first, second, of_all = (
        torch.autograd.grad(loss_on(indices), [prograd.context])[0]
        for indices in (*dealt, torch.arange(8))
    )
    assert_close(step, 0.5 * (first + second) / 2, rtol=0, atol=1e-6)
    assert (step - 0.5 * of_all).abs().max() > 1e-3  # not the projection of the mean


def test_without_strength_it_learns_what_coop_learns(tiny_clip: Clip) -> None:
    inputs = encoded_images(tiny_clip)
    prograd = ProGrad(tiny_clip, ProGradConfig(template=AGAINST, strength=0))
    coop = CoOp(tiny_clip, CoOpConfig())
    (ours,) = torch.autograd.grad(prograd.loss(inputs, LABELS, CLASSES), [prograd.context])
    (expected,) = torch.autograd.grad(coop.loss(inputs, LABELS, CLASSES), [coop.context])
    assert_close(ours, expected, rtol=0, atol=1e-6)


def test_logits_loss_and_one_step_equal_those_of_the_release(tiny_clip: Clip) -> None:
    """The release's network, trainer and backward rule, run outside this project.

    BeierZhu/Prompt-align at 1b762036: the text tower of `build_tiny_clip()`, the images of
    `encoded_images`, 4 tokens "a photo of a", the teacher's template "the {}.", lambda and T 1;
    SGD at 0.1, momentum 0.9, decay 5e-4.
    """
    prograd = ProGrad(tiny_clip, ProGradConfig(template=AGAINST))
    inputs = encoded_images(tiny_clip)
    logits = torch.tensor([[3.6293, 3.4251, 3.5212], [1.4311, 0.8025, 0.8637]])
    assert_close(prograd(inputs, CLASSES)[:2], logits, rtol=0, atol=1e-4)
    optimizer = torch.optim.SGD([prograd.context], lr=0.1, momentum=0.9, weight_decay=5e-4)
    loss = prograd.loss(inputs, LABELS, CLASSES)
    torch.autograd.backward(loss)
    optimizer.step()
    assert loss.item() == pytest.approx(1.154955, abs=1e-5)
    context = torch.tensor(
        [
            [-0.01636, -0.01063, -0.03484, 0.02207],
            [-0.00823, -0.01515, 0.01779, -0.01636],
            [-0.03198, 0.03552, 0.01418, -0.00404],
            [-0.01229, -0.01336, -0.02549, 0.02208],
        ]
    )
    assert_close(prograd.context[:, :4], context, rtol=0, atol=2e-5)


def test_it_has_the_parameters_of_the_release_at_its_widths() -> None:
    clip = clip_of_published_widths()
    learned = ProGrad(clip, ProGradConfig(n_ctx=16)).learned_parameters()
    assert {name: p.numel() for name, p in learned.items()} == {"context": 8_192}


def test_the_released_start_has_zeros_before_the_words(tiny_clip: Clip) -> None:
    prograd = ProGrad(tiny_clip, ProGradConfig(n_ctx=16, init="released"))
    words = tiny_clip.token_embedding(tiny_clip.tokenize(["a photo of a"]))[0, 1:5]
    assert torch.equal(prograd.context, torch.cat([torch.zeros(12, 32), words]))
    assert ProGrad(tiny_clip, ProGradConfig(n_ctx=16)).context[:12].abs().min() > 0
    from_nothing = ProGradConfig(n_ctx=2, init_words="", init="released")
    assert not ProGrad(tiny_clip, from_nothing).context.any()


def test_zeros_before_words_that_are_all_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match="init: released is of tokens before init_words: say by"):
        load_config(SceneConfig, None, ["method.name=prograd", "method.init=released"])


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method.prograd.temperature' is 0: .*greater than 0"):
        load_config(SceneConfig, None, ["method.name=prograd", "method.temperature=0"])
