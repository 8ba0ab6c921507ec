"""APPLeNet: its equations as loops, the released network's numbers, and what keeps tokens apart."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.encoding import computed_fields
from skycue.errors import CheckpointError
from skycue.scene_config import config_of
from skycue.scenes.applenet import APPLeNet, APPLeNetConfig
from skycue.scenes.base import ImageInputs
from skycue.scenes.visual_tokens import mean_determinant, mean_squared_cosine
from tests.conftest import build_tiny_clip
from tests.scenes.test_methods import CLASSES, encoded_images

RELEASED = APPLeNetConfig(variant="released", redundancy="determinant", init="released")


def contexts_by_loops(method: APPLeNet, inputs: ImageInputs) -> Tensor:
    """Write c_m + v_m(x) out image by image, block by block and token by token."""
    p = {name.removeprefix("visual_tokens."): t for name, t in method.named_parameters()}
    n_ctx, width = p["context"].shape
    rows = []
    for moments, style in zip(inputs.require("moments"), inputs.require("embedding"), strict=True):
        fused = style
        for block, (mean, _) in enumerate(moments):
            fused = fused + p[f"rescale.{block}.weight"] @ mean + p[f"rescale.{block}.bias"]
        fused = fused / (1 + len(moments))
        mixed = fused
        for index in range(2):
            own = index if method.config.variant == "paper" else 0
            hidden = (p[f"attention.{own}.0.weight"] @ mixed).clamp(min=0)
            gate = 1 / (1 + torch.exp(-(p[f"attention.{own}.2.weight"] @ hidden)))
            both = torch.cat([gate * fused, fused])
            mixed = p[f"merge.{index}.weight"] @ both + p[f"merge.{index}.bias"]
        tokens = []
        for m in range(n_ctx):
            if method.config.variant == "paper":
                part = slice(m * width, (m + 1) * width)
                shift = p["tokens.0.weight"][part] @ mixed + p["tokens.0.bias"][part]
            else:
                hidden = (p["tokens.0.weight"] @ mixed + p["tokens.0.bias"]).clamp(min=0)
                shift = p["tokens.2.weight"] @ hidden + p["tokens.2.bias"]
            tokens.append(p["context"][m] + shift)
        rows.append(torch.stack(tokens))
    return torch.stack(rows)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_contexts_equal_the_equations_written_as_loops(variant: str, tiny_clip: Clip) -> None:
    torch.manual_seed(4)
    config = APPLeNetConfig.model_validate({"variant": variant, "init": "released", "hidden": 5})
    method = APPLeNet(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    assert_close(method.contexts(inputs), contexts_by_loops(method, inputs))


def test_visual_tokens_differ_in_the_paper_and_are_one_in_the_release(tiny_clip: Clip) -> None:
    inputs = encoded_images(tiny_clip)
    shifts = []
    for config in (APPLeNetConfig(init="released"), RELEASED):
        method = APPLeNet(tiny_clip, config)
        shifts.append(method.contexts(inputs) - method.context)
    paper, released = shifts
    assert (paper[:, 0] - paper[:, 1]).abs().max() > 1e-3
    assert_close(released, released[:, :1].expand_as(released))


def test_the_style_of_a_batch_is_the_mean_of_its_embeddings(tiny_clip: Clip) -> None:
    inputs = encoded_images(tiny_clip)
    torch.manual_seed(4)
    of_batch = APPLeNet(tiny_clip, APPLeNetConfig(style="batch", init="released"))
    torch.manual_seed(4)
    of_image = APPLeNet(tiny_clip, APPLeNetConfig(init="released"))
    mean = inputs.require("embedding").mean(0, keepdim=True).expand(8, -1)
    assert_close(of_batch.contexts(inputs), of_image.contexts(inputs._replace(embedding=mean)))
    assert (of_batch.contexts(inputs) - of_image.contexts(inputs)).abs().max() > 1e-4


def test_redundancy_by_hand() -> None:
    contexts = torch.tensor([[[3.0, 0.0], [4.0, 3.0]], [[1.0, 0.0], [0.0, 5.0]]])
    # cosine of the first pair: 12 / (3 * 5); the second pair stands upright
    assert_close(mean_squared_cosine(contexts), torch.tensor(0.64 / 2))
    # [[9 - 1, 12], [12, 25 - 1]] and [[0, 0], [0, 24]]
    assert_close(mean_determinant(contexts), torch.tensor((8 * 24 - 144 + 0) / 2))
    assert mean_squared_cosine(contexts[:, :1]) == 0


def test_a_determinant_of_the_wrong_sign_gives_no_gradient_and_no_nan(tiny_clip: Clip) -> None:
    method = APPLeNet(tiny_clip, RELEASED)
    contexts = 0.1 * torch.eye(4, 32)[None].requires_grad_()  # four times 0.01 - 1: positive
    penalty = method.redundancy(contexts)
    (gradient,) = torch.autograd.grad(penalty, contexts)
    assert_close(penalty.item(), -6.0)
    assert not gradient.any()
    upright = torch.tensor([2.0, 0.1, 0.1, 0.1]).diag()[None]  # (4 - 1) (0.01 - 1)^3: negative
    assert_close(method.redundancy(upright).item(), math.log10(3 * 0.99**3))


def test_training_lowers_the_redundancy_of_its_context(tiny_clip: Clip) -> None:
    torch.manual_seed(4)
    method = APPLeNet(tiny_clip, APPLeNetConfig(redundancy_weight=1.0))
    inputs = encoded_images(tiny_clip)
    before = mean_squared_cosine(method.contexts(inputs))
    assert before > 0.16  # "a" stands twice in "a photo of a": two of twelve cosines are 1
    optimizer = torch.optim.SGD(method.learned_parameters().values(), lr=0.05, momentum=0.9)
    for _ in range(20):
        loss = method.loss(inputs, torch.arange(8) % 3, CLASSES)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert mean_squared_cosine(method.contexts(inputs)) < 0.8 * before


def test_it_has_the_parameters_of_the_release_at_its_widths() -> None:
    clip = build_tiny_clip(embed_dim=512)
    image = clip.config.image.model_copy(update={"width": 768, "layers": 12})
    text = clip.config.text.model_copy(update={"width": 512})
    clip.config = clip.config.model_copy(update={"image": image, "text": text})
    clip.text.token_embedding = torch.nn.Embedding(clip.tokenizer.vocab_size, 512)
    method = APPLeNet(clip, APPLeNetConfig(variant="released"))
    assert sum(p.numel() for p in method.learned_parameters().values()) == 5_842_464


# Numbers of models/applenet.py of mainaksingha01/APPLeNet at 6819a9b: its `CustomCLIP` and
# `AppleLoss` ran in float32 at the widths of a tiny backbone, with the weights of the test below.
RELEASED_LOGITS = [
    [2.72066, 2.48262, 2.56616],
    [2.72963, 2.47751, 2.58087],
    [2.59962, 2.39953, 2.45184],
    [2.60327, 2.36664, 2.42865],
]
RELEASED_LOSS = 1.138423
RELEASED_GRADIENTS = {
    "context": 0.13633,
    "visual_tokens.rescale.0.weight": 0.17884,
    "visual_tokens.rescale.0.bias": 0.0046421,
    "visual_tokens.rescale.1.weight": 0.16004,
    "visual_tokens.rescale.1.bias": 0.0046421,
    "visual_tokens.attention.0.0.weight": 0.00019701,
    "visual_tokens.attention.0.2.weight": 1.0895e-05,
    "visual_tokens.merge.0.weight": 0.0024714,
    "visual_tokens.merge.0.bias": 0.00013867,
    "visual_tokens.merge.1.weight": 0.52526,
    "visual_tokens.merge.1.bias": 0.029638,
    "visual_tokens.tokens.0.weight": 0.095608,
    "visual_tokens.tokens.0.bias": 0.015156,
    "visual_tokens.tokens.2.weight": 0.019127,
    "visual_tokens.tokens.2.bias": 0.10954,
}
"""Sum of absolute gradients of each parameter."""


def test_the_released_network_gives_these_logits_and_this_step() -> None:
    clip = build_tiny_clip(embed_dim=32)
    torch.manual_seed(6)
    method = APPLeNet(clip, RELEASED)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    inputs = ImageInputs(**computed_fields(clip, images, ["embedding", "moments"]))
    assert_close(method(inputs, CLASSES), torch.tensor(RELEASED_LOGITS), rtol=0, atol=1e-4)
    loss = method.loss(inputs, torch.tensor([0, 1, 2, 0]), CLASSES)
    assert_close(loss.item(), RELEASED_LOSS, rtol=0, atol=1e-5)
    torch.autograd.backward(loss)
    for name, parameter in method.learned_parameters().items():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum().item() == pytest.approx(
            RELEASED_GRADIENTS[name], rel=2e-3
        ), name


def test_a_state_of_the_other_variant_is_refused_by_name(tiny_clip: Clip) -> None:
    state = APPLeNet(tiny_clip, APPLeNetConfig()).learned_state()
    other = APPLeNet(tiny_clip, RELEASED)
    unexpected = r"has an unexpected tensor 'visual_tokens\.attention\.1\.0\.weight'"
    with pytest.raises(CheckpointError, match=unexpected):
        other.load_learned_state(state, CLASSES)


def test_training_is_as_published() -> None:
    train = config_of("applenet").train
    assert (train.epochs, train.batch_size, train.lr, train.warmup_lr) == (100, 4, 2e-4, 1e-7)
