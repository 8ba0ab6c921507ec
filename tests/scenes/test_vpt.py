"""VPT: tokens in the image tower, block by block, against the embeddings of a template."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.scenes.base import ImageInputs
from skycue.scenes.vpt import VPT, VPTConfig
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig
from tests.scenes.published_widths import clip_of_published_widths
from tests.scenes.tower_loops import image_by_loops

CLASSES = ["harbor", "storage tank", "forest"]
PIXELS = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def patches_of(clip: Clip) -> ImageInputs:
    return ImageInputs(patches=clip.embed_image(PIXELS))


def widened(method: VPT) -> VPT:
    """Make tokens of noise as long as patch tokens, so that each place matters."""
    with torch.no_grad():
        for tokens in method.image_prompts:
            tokens.mul_(50)
    return method


@pytest.mark.parametrize("depth", [1, 2])
def test_the_image_tower_equals_the_papers_order_of_tokens_in_loops(
    depth: int, tiny_clip: Clip
) -> None:
    torch.manual_seed(2)
    method = widened(VPT(tiny_clip, VPTConfig(n_ctx=3, depth=depth)))
    inputs = patches_of(tiny_clip)
    expected = image_by_loops(tiny_clip, inputs.require("patches"), list(method.image_prompts))
    assert_close(method.image_embeddings(inputs), expected, rtol=1e-4, atol=1e-5)


def test_without_tokens_it_is_zero_shot(tiny_clip: Clip) -> None:
    method = VPT(tiny_clip, VPTConfig(template="an aerial photo of a {}."))
    method.image_prompts = torch.nn.ParameterList()
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig(template="an aerial photo of a {}."))
    frozen = ImageInputs(embedding=tiny_clip.encode_image(PIXELS))
    logits = method(patches_of(tiny_clip), CLASSES)
    assert_close(logits, zero_shot(frozen, CLASSES), rtol=1e-4, atol=1e-4)


def test_tokens_of_every_block_matter_and_only_image_tokens_learn(tiny_clip: Clip) -> None:
    torch.manual_seed(2)
    method = widened(VPT(tiny_clip, VPTConfig(n_ctx=3)))
    loss = method.loss(patches_of(tiny_clip), torch.tensor([0, 1, 2, 0, 1]), CLASSES)
    torch.autograd.backward(loss)
    learned = method.learned_parameters()
    assert list(learned) == ["image_prompts.0", "image_prompts.1"]
    for name, tokens in learned.items():
        assert tokens.grad is not None
        assert (tokens.grad.abs().amax(dim=-1) > 1e-6).all(), name
    assert all(parameter.grad is None for parameter in tiny_clip.parameters())


def test_images_are_scored_alike_in_chunks_and_whole(
    tiny_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = widened(VPT(tiny_clip, VPTConfig()))
    inputs = patches_of(tiny_clip)
    whole = method(inputs, CLASSES)
    sizes: list[int] = []
    embed = tiny_clip.embed_patches

    def counted(patches: Tensor, *, prompts: list[Tensor]) -> Tensor:
        sizes.append(len(patches))
        return embed(patches, prompts=prompts)

    monkeypatch.setattr("skycue.scenes.deep.IMAGES_AT_ONCE", 2)
    monkeypatch.setattr(tiny_clip, "embed_patches", counted)
    with torch.no_grad():
        assert_close(method(inputs, CLASSES), whole, rtol=1e-4, atol=1e-5)
    assert sizes == [2, 2, 1]
    method(inputs, CLASSES)
    assert sizes[3:] == [5]


def test_gradients_in_bfloat16_point_where_those_in_float32_do(tiny_clip: Clip) -> None:
    torch.manual_seed(2)
    method, labels = widened(VPT(tiny_clip, VPTConfig(n_ctx=3))), torch.tensor([0, 1, 2, 0, 1])
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16):
            loss = method.loss(patches_of(tiny_clip), labels, CLASSES)
        found = torch.autograd.grad(loss, list(method.learned_parameters().values()))
        assert all(gradient.dtype == torch.float32 for gradient in found)
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    full, half = gradients
    assert torch.cosine_similarity(full, half, dim=0) > 0.98


def test_the_number_of_parameters_at_the_widths_of_vit_b_16() -> None:
    clip = clip_of_published_widths()
    sizes = [
        sum(p.numel() for p in VPT(clip, VPTConfig(depth=depth)).learned_parameters().values())
        for depth in (None, 1)
    ]
    assert sizes == [12 * 8 * 768, 8 * 768]


def test_more_blocks_than_the_tower_has_are_refused(tiny_clip: Clip) -> None:
    with pytest.raises(
        ConfigError, match=r"method\.depth 3 is more than the 2 blocks of the image"
    ):
        VPT(tiny_clip, VPTConfig(depth=3))
