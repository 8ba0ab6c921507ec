"""Our CLIP: image prompts, token maps, round trip through a folder, and its refusals."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import load_clip_folder, save_clip
from skycue.backbones.pretrained import load_clip
from skycue.backbones.vit import resample_positions
from skycue.errors import CheckpointError
from tests.conftest import build_tiny_clip

PIXELS = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_embeddings_have_unit_length_and_differ_between_images(tiny_clip: Clip) -> None:
    embeddings = tiny_clip.encode_image(PIXELS)
    assert_close(embeddings.norm(dim=-1), torch.ones(2))
    assert (embeddings[0] - embeddings[1]).abs().max() > 1e-3


def test_the_last_token_map_gives_the_embedding(tiny_clip: Clip) -> None:
    encoding = tiny_clip.encode_image_tokens(PIXELS, layers=[0, 1])
    assert_close(encoding.maps[1], encoding.tokens)
    tower = tiny_clip.image
    projected = tower.ln_post(encoding.tokens[:, 0]) @ tower.projection
    assert_close(torch.nn.functional.normalize(projected, dim=-1), encoding.embedding)


def test_image_prompts_enter_and_are_replaced_layer_by_layer(tiny_clip: Clip) -> None:
    prompts = torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(2))  # [layer, M, V]
    encoding = tiny_clip.encode_image_tokens(PIXELS, prompts=list(prompts))
    tower = tiny_clip.image
    x = tower.stem((PIXELS - tiny_clip.mean) / tiny_clip.std).flatten(2).transpose(1, 2)
    x = torch.cat([tower.class_embedding.expand(2, 1, -1), x], 1) + tower.positional_embedding
    x = torch.cat([x, prompts[0].expand(2, -1, -1)], 1)
    x = tower.blocks[0](tower.ln_pre(x))
    x = torch.cat([x[:, :5], prompts[1].expand(2, -1, -1)], 1)
    x = tower.blocks[1](x)
    assert_close(encoding.tokens, x[:, :5])


def test_patch_embeddings_carry_on_where_the_pixels_stopped(tiny_clip: Clip) -> None:
    prompts = list(torch.randn(2, 3, 32, generator=torch.Generator().manual_seed(2)))
    whole = tiny_clip.encode_image_tokens(PIXELS, prompts=prompts, layers=[0])
    patches = tiny_clip.embed_image(PIXELS)
    again = tiny_clip.encode_patches(patches, prompts=prompts, layers=[0])
    for ours, expected in zip((*again[:2], *again.maps), (*whole[:2], *whole.maps), strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize("n_prompts", [0, 1, 2])
def test_embeddings_alone_equal_those_with_all_tokens(n_prompts: int, tiny_clip: Clip) -> None:
    prompts = torch.randn(n_prompts, 3, 32, generator=torch.Generator().manual_seed(2))
    prompts.requires_grad_()
    patches = tiny_clip.embed_image(PIXELS)
    alone = tiny_clip.embed_patches(patches, prompts=list(prompts))
    whole = tiny_clip.encode_patches(patches, prompts=list(prompts)).embedding
    assert_close(alone, whole)
    if n_prompts:
        by_alone = torch.autograd.grad(alone[:, 0].sum(), prompts)
        assert_close(by_alone, torch.autograd.grad(whole[:, 0].sum(), prompts))


def test_positions_are_resampled_only_for_another_grid() -> None:
    positions = torch.arange(10.0).reshape(10, 1)  # class position, then 3 x 3
    assert resample_positions(positions, (3, 3)) is positions
    wider = resample_positions(positions, (6, 6))
    assert wider.shape == (37, 1)
    assert_close(wider[1:].mean(), positions[1:].mean(), rtol=0, atol=1e-4)


def test_a_folder_round_trip_keeps_outputs_and_fingerprint(tiny_clip: Clip, tmp_path: Path) -> None:
    save_clip(tiny_clip, tmp_path / "clip")
    again = load_clip(str(tmp_path / "clip"))
    assert again.fingerprint == tiny_clip.fingerprint
    assert torch.equal(again.encode_image(PIXELS), tiny_clip.encode_image(PIXELS))
    texts = ["a photo of a harbor.", "a river"]
    ids = tiny_clip.tokenize(texts)
    assert torch.equal(again.encode_text(again.tokenize(texts)), tiny_clip.encode_text(ids))


def test_another_weight_is_another_fingerprint(tiny_clip: Clip) -> None:
    other = build_tiny_clip()
    assert other.fingerprint == tiny_clip.fingerprint
    changed = build_tiny_clip(seed=1)
    assert changed.fingerprint != tiny_clip.fingerprint


def test_missing_unexpected_and_misshapen_weights_are_named(
    tiny_clip: Clip, tmp_path: Path
) -> None:
    save_clip(tiny_clip, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["image.ln_post.bias"]
    weights["text.extra"] = torch.zeros(1)
    weights["image.class_embedding"] = torch.zeros(7)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        load_clip_folder(tmp_path)
    assert "misses image.ln_post.bias" in str(caught.value)
    assert "unexpected text.extra" in str(caught.value)
    assert "image.class_embedding of shape [7] where [32] is wanted" in str(caught.value)


def test_a_truncated_weights_file_is_refused(tiny_clip: Clip, tmp_path: Path) -> None:
    save_clip(tiny_clip, tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load_clip_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "has format 'other'"),
        ({"embed_dim": 0}, "embed_dim: Input should be greater than 0"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_configuration_is_refused_by_field(
    tiny_clip: Clip, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    save_clip(tiny_clip, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        load_clip_folder(tmp_path)


def test_an_unknown_backbone_name_lists_what_is_allowed() -> None:
    with pytest.raises(CheckpointError, match="no backbone 'ViT-B-99': give 'mini', a folder"):
        load_clip("ViT-B-99")
