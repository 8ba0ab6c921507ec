"""MaPLe: text prompts by the equations, image prompts from them, gradients of both towers."""

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.text import TextConfig
from skycue.backbones.vit import ImageConfig
from skycue.errors import ConfigError, PromptTooLongError
from skycue.scenes.base import ImageInputs
from skycue.scenes.maple import MaPLe, MaPLeConfig
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig
from tests.conftest import build_tiny_clip, clip_tokenizer
from tests.scenes.published_widths import clip_of_published_widths
from tests.scenes.tower_loops import image_by_loops, text_by_loops

CLASSES = ["harbor", "storage tank", "forest"]
PIXELS = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def patches_of(clip: Clip) -> ImageInputs:
    return ImageInputs(patches=clip.embed_image(PIXELS))


def learned_sizes(method: MaPLe) -> int:
    return sum(p.numel() for p in method.learned_parameters().values())


def seeded(clip: Clip, config: MaPLeConfig) -> MaPLe:
    """Return a method whose prompts are long enough that each place matters."""
    torch.manual_seed(2)
    method = MaPLe(clip, config)
    with torch.no_grad():
        for prompt in (method.context, *method.deep_prompts):
            prompt.add_(torch.randn(prompt.shape))
    return method


@pytest.mark.parametrize("depth", [1, 2, None])
def test_both_towers_equal_the_equations_written_as_loops(
    depth: int | None, tiny_clip: Clip
) -> None:
    method = seeded(tiny_clip, MaPLeConfig(depth=depth))
    prompts = [method.context, *method.deep_prompts]
    assert len(prompts) == (3 if depth is None else depth)
    text = text_by_loops(tiny_clip, "a photo of a {}.", CLASSES, prompts)
    assert_close(method.class_embeddings(CLASSES), text, rtol=1e-4, atol=1e-5)
    coupled = [
        torch.stack([layer.weight @ token + layer.bias for token in prompt])
        for layer, prompt in zip(method.couplings, prompts, strict=False)
    ]
    assert len(coupled) == (2 if depth is None else depth)
    inputs = patches_of(tiny_clip)
    images = image_by_loops(tiny_clip, inputs.require("patches"), coupled)
    assert_close(method.image_embeddings(inputs), images, rtol=1e-4, atol=1e-5)
    expected = tiny_clip.logit_scale.exp() * images @ text.T
    assert_close(method(inputs, CLASSES), expected, rtol=1e-4, atol=1e-4)


def test_an_untrained_shallow_text_side_is_the_template(tiny_clip: Clip) -> None:
    method = MaPLe(tiny_clip, MaPLeConfig(depth=1))
    assert len(method.context) == len(method.fixed_words) == 2
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig(template="a photo of a {}."))
    expected = zero_shot.class_embeddings(CLASSES)
    assert_close(method.class_embeddings(CLASSES), expected, rtol=1e-4, atol=1e-5)


def test_the_prompt_of_the_paper_has_no_fixed_words(tiny_clip: Clip) -> None:
    method = MaPLe(tiny_clip, MaPLeConfig(depth=1, init_words="a photo"))
    assert len(method.context) == 2
    assert not len(method.fixed_words)
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig(template="a photo {}."))
    expected = zero_shot.class_embeddings(CLASSES)
    assert_close(method.class_embeddings(CLASSES), expected, rtol=1e-4, atol=1e-5)


def test_text_prompts_learn_from_both_towers(tiny_clip: Clip) -> None:
    method = seeded(tiny_clip, MaPLeConfig())
    prompts = [method.context, *method.deep_prompts]
    images = method.image_embeddings(patches_of(tiny_clip))
    by_images = torch.autograd.grad(images[:, 0].sum(), prompts, allow_unused=True)
    assert by_images[2] is None  # the third text block has no image block beside it
    by_text = torch.autograd.grad(method.class_embeddings(CLASSES)[:, 0].sum(), prompts)
    for gradient in (*by_images[:2], *by_text):
        assert gradient is not None
        assert (gradient.abs().amax(dim=-1) > 1e-6).all()


def test_an_image_tower_of_more_blocks_is_coupled_as_far_as_the_text_tower_goes() -> None:
    tokenizer = clip_tokenizer()
    image = ImageConfig(image_size=32, patch_size=16, width=24, layers=3, heads=2)
    text = TextConfig(
        context_length=40, vocab_size=tokenizer.vocab_size, width=16, layers=2, heads=2
    )
    clip = Clip(ClipConfig(embed_dim=8, image=image, text=text), tokenizer)
    method = MaPLe(clip, MaPLeConfig())
    assert [prompt.shape for prompt in method.prompts_for_images()] == [(2, 24), (2, 24)]
    assert len(method.deep_prompts) == 1
    with pytest.raises(ConfigError, match=r"method\.depth 3 is more than the 2 blocks of the text"):
        MaPLe(clip, MaPLeConfig(depth=3))


def test_the_deeper_couplings_start_alike_as_released() -> None:
    clip = clip_of_published_widths()
    state = MaPLe(clip, MaPLeConfig(depth=3)).learned_state()
    first, second, third = (state[f"couplings.{block}.weight"] for block in range(3))
    assert torch.equal(second, third)
    assert not torch.equal(first, second)


def test_the_published_numbers_of_parameters() -> None:
    clip = clip_of_published_widths()
    assert learned_sizes(MaPLe(clip, MaPLeConfig())) == 3_555_072  # nine blocks
    assert learned_sizes(MaPLe(clip, MaPLeConfig(depth=3))) == 1_185_024


def test_what_is_fixed_is_not_saved(tiny_clip: Clip) -> None:
    method = MaPLe(tiny_clip, MaPLeConfig(depth=1))
    names = {"context", "couplings.0.weight", "couplings.0.bias"}
    assert method.learned_state().keys() == method.learned_parameters().keys() == names


def test_too_long_a_prompt_is_refused_with_the_numbers() -> None:
    method = MaPLe(build_tiny_clip(context_length=12), MaPLeConfig())
    with pytest.raises(PromptTooLongError, match="needs 13 tokens; the text encoder holds 12"):
        method.class_embeddings(["ground track field with stands around"])
