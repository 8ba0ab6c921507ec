"""StyLIP: its equations as loops, the released network's numbers, what each token reads."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.encoding import computed_fields
from skycue.scenes.base import ImageInputs
from skycue.scenes.stylip import StyLIP, StyLIPConfig
from tests.conftest import build_tiny_clip
from tests.scenes.test_methods import CLASSES, encoded_images

RELEASED = StyLIPConfig(variant="released", init="released")


def logits_by_loops(method: StyLIP, inputs: ImageInputs) -> Tensor:
    """Score image by image and class by class, with every prompt encoded alone."""
    clip, p = method.clip, dict(method.named_parameters())
    is_released = method.config.variant == "released"
    rows = []
    for moments, f in zip(inputs.require("moments"), inputs.require("embedding"), strict=True):
        n_layers = len(moments)
        read = range(n_layers) if is_released else [0, 0, 1, 1]  # of two blocks, by four tokens
        tokens = []
        for number, block in enumerate(read):
            mean, deviation = moments[block]
            style = torch.cat([mean, deviation, mean] if is_released else [mean, deviation])
            tokens.append(p[f"style.{number}.weight"] @ style + p[f"style.{number}.bias"])
        if is_released:
            tokens = 4 * [torch.stack(tokens).mean(0)]
        reduced = [p["reduce.weight"] @ mean + p["reduce.bias"] for mean, _ in moments]
        content = p["content.weight"] @ torch.cat(reduced) + p["content.bias"]
        classes = []
        for name in CLASSES:
            ids = clip.tokenize([f"a a a a {name}."])
            words = clip.token_embedding(ids)
            words = torch.cat([words[:, :1], torch.stack(tokens)[None], words[:, 5:]], dim=1)
            text = clip.text(words, clip.eot_index(ids))[0]
            if not is_released:
                text = text / text.norm()
            fused = p["fuse.weight"] @ torch.cat([content, text]) + p["fuse.bias"]
            classes.append(fused if is_released else fused / fused.norm())
        stacked = torch.stack(classes)
        if is_released:
            stacked = stacked / stacked.norm(dim=0, keepdim=True)
        rows.append(clip.logit_scale.exp() * stacked @ f)
    return torch.stack(rows)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_logits_equal_the_equations_written_as_loops(variant: str, tiny_clip: Clip) -> None:
    torch.manual_seed(4)
    config = StyLIPConfig.model_validate({"variant": variant, "init": "released"})
    method = StyLIP(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    assert_close(method(inputs, CLASSES), logits_by_loops(method, inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("n_ctx", "n_layers", "expected"),
    [(4, 12, [2, 5, 8, 11]), (12, 12, [*range(12)]), (4, 2, [0, 0, 1, 1]), (1, 12, [11])],
)
def test_tokens_read_evenly_spaced_blocks(
    n_ctx: int, n_layers: int, expected: list[int], tiny_clip: Clip
) -> None:
    method = StyLIP(tiny_clip, StyLIPConfig(n_ctx=n_ctx, init_words=""))
    assert method.blocks_read(n_layers) == expected


def test_a_token_reads_the_style_of_its_block_alone(tiny_clip: Clip) -> None:
    torch.manual_seed(4)
    method = StyLIP(tiny_clip, StyLIPConfig(init="released"))
    moments = encoded_images(tiny_clip).require("moments")
    changed = moments.clone()
    changed[:, 0, 1] += 1  # deviations after the first of two blocks
    moved = (method.contexts(changed) - method.contexts(moments)).abs().amax(dim=(0, 2))
    assert (moved[:2] > 1e-3).all()
    assert not moved[2:].any()


def test_the_released_normalisation_lets_a_class_change_the_scores_of_others(
    tiny_clip: Clip,
) -> None:
    torch.manual_seed(4)
    inputs = encoded_images(tiny_clip)
    released = StyLIP(tiny_clip, RELEASED)
    paper = StyLIP(tiny_clip, StyLIPConfig(init="released"))
    apart = [m(inputs, CLASSES)[:, :2] - m(inputs, CLASSES[:2]) for m in (released, paper)]
    assert apart[0].abs().max() > 1e-2
    assert apart[1].abs().max() < 1e-4


def test_equal_tokens_cannot_start_as_words() -> None:
    with pytest.raises(ValidationError, match="add init: released"):
        StyLIPConfig(variant="released")


def test_it_has_the_parameters_of_the_re_implementation_at_its_widths() -> None:
    clip = build_tiny_clip(embed_dim=512)
    image = clip.config.image.model_copy(update={"width": 768, "layers": 12})
    clip.config = clip.config.model_copy(update={"image": image})
    clip.text.token_embedding = torch.nn.Embedding(clip.tokenizer.vocab_size, 512)
    method = StyLIP(clip, RELEASED)
    assert sum(p.numel() for p in method.learned_parameters().values()) == 16_456_960


# Numbers of trainers/stylip.py of mayone23/testodg at 4c7cacd: its `CustomCLIP` and cross-entropy
# ran in float32 at the widths of a tiny backbone, with the weights of the test below.
RELEASED_LOGITS = [
    [-5.7626, -4.76102, -4.27807],
    [-6.28966, -12.51109, -6.09551],
    [-0.51257, -5.44028, -0.4029],
    [-4.8336, -7.52947, -5.05867],
]
RELEASED_LOSS = 2.59512
RELEASED_GRADIENTS = {
    "style.0.weight": 2713.1,
    "style.0.bias": 26.334,
    "style.1.weight": 2531.2,
    "style.1.bias": 26.334,
    "reduce.weight": 447.08,
    "reduce.bias": 11.011,
    "content.weight": 628.53,
    "content.bias": 60.512,
    "fuse.weight": 1983,
    "fuse.bias": 42.357,
}
"""Sum of absolute gradients of each parameter."""


def test_the_re_implementation_gives_these_logits_and_gradients() -> None:
    clip = build_tiny_clip(embed_dim=32)
    torch.manual_seed(6)
    method = StyLIP(clip, RELEASED)
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    inputs = ImageInputs(**computed_fields(clip, images, ["embedding", "moments"]))
    logits = method(inputs, CLASSES)
    assert_close(logits, torch.tensor(RELEASED_LOGITS), rtol=0, atol=1e-3)
    loss = F.cross_entropy(logits, torch.tensor([0, 1, 2, 0]))
    assert_close(loss.item(), RELEASED_LOSS, rtol=0, atol=1e-3)
    torch.autograd.backward(loss)
    for name, parameter in method.learned_parameters().items():
        assert parameter.grad is not None
        gradient = parameter.grad.abs().sum().item()
        assert gradient == pytest.approx(RELEASED_GRADIENTS[name], rel=2e-3), name
