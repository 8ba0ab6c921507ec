"""VPT, MaPLe and PromptSRC give the numbers of their authors' released networks.

The numbers are theirs: computed on the CPU in float32 with
https://github.com/muzairkhattak/multimodal-prompt-learning at 69bce21 (VPT, MaPLe) and
https://github.com/muzairkhattak/PromptSRC at bb95c77, given this backbone's weights, these images,
the method's own start and, for PromptSRC, our templates. Their `.half()` and `.cuda()` were
switched off, and MaPLe's written-out widths 512 and 768 replaced by those of this backbone. Each
network made one step of plain gradient descent at learning rate 1.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.text import TextConfig
from skycue.backbones.vit import ImageConfig
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.maple import MaPLeConfig
from skycue.scenes.promptsrc import PromptSRCConfig
from skycue.scenes.registry import MethodConfig, build_method
from skycue.scenes.vpt import VPTConfig
from tests.conftest import clip_tokenizer

CLASSES = ["harbor", "storage tank", "forest"]
LABELS = torch.tensor([2, 0])
CONFIGS: dict[str, MethodConfig] = {
    "vpt": VPTConfig(),
    "maple": MaPLeConfig(),
    "promptsrc": PromptSRCConfig(template_mean="released"),
}


def build_clip() -> Clip:
    """Return a seeded CLIP of two image blocks and three text blocks, 64 numbers a head."""
    torch.manual_seed(11)
    tokenizer = clip_tokenizer()
    image = ImageConfig(image_size=32, patch_size=16, width=128, layers=2, heads=2)
    text = TextConfig(
        context_length=77, vocab_size=tokenizer.vocab_size, width=64, layers=3, heads=1
    )
    config = ClipConfig(embed_dim=48, image=image, text=text, activation="quick_gelu")
    clip = Clip(config, tokenizer)
    for name, parameter in clip.named_parameters():
        if parameter.dim() < 2 and name != "logit_scale":
            torch.nn.init.normal_(parameter, mean=float("ln" in name), std=0.2)
    return clip.eval().requires_grad_(False)


def pixels() -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(12))


def start(clip: Clip, name: str) -> PromptMethod:
    torch.manual_seed(13)
    return build_method(clip, CONFIGS[name])


class Released(NamedTuple):
    """What a released network gave."""

    logits: list[list[float]]
    loss: float
    after_step: dict[str, list[float]]
    """The first four numbers of each learned tensor after the step."""
    changes: dict[str, float]
    """How far the step moved each learned tensor: the length of the difference."""


RELEASED = {
    "vpt": Released(
        logits=[[-1.054888, -0.977116, -0.954531], [-1.154213, -1.092224, -1.058810]],
        loss=1.105201,
        after_step={
            "image_prompts.0": [0.011115, 0.001078, 0.032726, 0.005203],
            "image_prompts.1": [-0.007516, -0.018620, 0.027278, -0.011839],
        },
        changes={"image_prompts.0": 0.097969, "image_prompts.1": 0.075533},
    ),
    "maple": Released(
        logits=[[-0.644941, -0.611397, -0.529062], [-0.801889, -0.790393, -0.689710]],
        loss=1.087428,
        after_step={
            "context": [-0.053119, -0.036834, -0.019520, 0.022118],
            "deep_prompts.0": [-0.001352, 0.001531, 0.029767, -0.009465],
            "deep_prompts.1": [0.021348, 0.002118, 0.043187, -0.057418],
            "couplings.0.weight": [0.112184, -0.016047, 0.016495, 0.001527],
            "couplings.0.bias": [0.065602, 0.101147, -0.040803, -0.106707],
            "couplings.1.weight": [0.007952, -0.087495, 0.043447, -0.115920],
            "couplings.1.bias": [-0.117931, 0.049271, 0.081630, 0.013863],
        },
        changes={
            "context": 0.747410,
            "deep_prompts.0": 0.234956,
            "deep_prompts.1": 0.143166,
            "couplings.0.weight": 0.006163,
            "couplings.0.bias": 0.057370,
            "couplings.1.weight": 0.004139,
            "couplings.1.bias": 0.035304,
        },
    ),
    "promptsrc": Released(
        logits=[[-0.415156, -0.360527, -0.296953], [-0.568948, -0.534518, -0.457655]],
        loss=1.703448,
        after_step={
            "context": [0.594505, 0.235712, 0.128959, 0.161296],
            "deep_prompts.0": [-0.119067, 0.105523, -0.055103, -0.195104],
            "deep_prompts.1": [-0.189073, 0.403954, 0.054803, 0.048235],
            "image_prompts.0": [0.013791, -0.015408, -0.006986, 0.027329],
            "image_prompts.1": [0.008102, -0.039382, 0.022609, 0.000200],
        },
        changes={
            "context": 4.192980,
            "deep_prompts.0": 2.461702,
            "deep_prompts.1": 2.993051,
            "image_prompts.0": 0.602887,
            "image_prompts.1": 0.594637,
        },
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_logits_loss_and_a_step_are_those_of_the_released_network(name: str) -> None:
    clip, released = build_clip(), RELEASED[name]
    method = start(clip, name)
    before = {name: p.detach().clone() for name, p in method.learned_parameters().items()}
    images = pixels()
    inputs = ImageInputs(clip.encode_image(images), patches=clip.embed_image(images))
    assert_close(method(inputs, CLASSES), torch.tensor(released.logits), rtol=0, atol=1e-4)
    loss = method.loss(inputs, LABELS, CLASSES)
    assert_close(loss.item(), released.loss, rtol=0, atol=1e-4)
    torch.autograd.backward(loss)
    torch.optim.SGD(method.learned_parameters().values(), lr=1.0).step()
    assert before.keys() == released.after_step.keys()
    for key, parameter in method.learned_parameters().items():
        first = torch.tensor(released.after_step[key])
        assert_close(parameter.detach().flatten()[:4], first, rtol=0, atol=2e-5)
        moved = (parameter.detach() - before[key]).norm().item()
        assert_close(moved, released.changes[key], rtol=1e-3, atol=0)
