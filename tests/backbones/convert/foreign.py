"""Random CLIPs of transformers, and their weights as other people write them down.

The names are spelled out here a second time, so that a wrong name in the package is found.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
from transformers.utils import logging

from skycue.backbones.clip import OPENAI_MEAN, OPENAI_STD, Clip
from skycue.backbones.convert import convert
from skycue.backbones.convert.architectures import Architecture, Colour, Shapes
from skycue.backbones.transformer import Activation
from skycue.errors import CheckpointError
from tests.conftest import clip_tokenizer

CAPTIONS = ["a lake", "storage tanks by the sea", "an aerial photo of a dense residential area."]
SMALL = {"visual.conv1.weight": torch.ones(4, 3, 8, 8, dtype=torch.float16)}
SMALL_TORCHSCRIPT = SMALL | {
    "positional_embedding": torch.ones(5, 2),
    "token_embedding.weight": torch.arange(6.0).view(3, 2),
}
TOLERANCE = 1e-4  # of the largest absolute value


def tiny_architecture(activation: Activation = "quick_gelu") -> Architecture:
    """Return the architecture of `tiny_reference`; its heads are not width / 64."""
    return Architecture(Shapes(8, 64, 2, 48, 3, 40), activation, image_heads=4, text_heads=3)


def tiny_reference(activation: Activation = "quick_gelu") -> CLIPModel:
    """Return a random CLIP of transformers: 32-pixel images, patches of 8, 20 tokens."""
    vision = {"image_size": 32, "patch_size": 8, "hidden_size": 64, "intermediate_size": 128}
    text = {"max_position_embeddings": 20, "hidden_size": 48, "intermediate_size": 96}
    return build_reference(
        vision | {"num_hidden_layers": 2, "num_attention_heads": 4},
        text | {"num_hidden_layers": 3, "num_attention_heads": 3},
        projection_dim=40,
        activation=activation,
    )


def build_reference(
    vision: dict[str, int], text: dict[str, int], projection_dim: int, activation: Activation
) -> CLIPModel:
    """Return a seeded CLIP of transformers in which no norm and no bias is trivial."""
    torch.manual_seed(3)
    config = CLIPConfig(
        vision_config=vision | {"hidden_act": activation},
        text_config=text | {"hidden_act": activation},
        projection_dim=projection_dim,
    )
    model = CLIPModel(config)
    nn.Module.eval(model)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            is_norm_weight = "norm" in name and name.endswith("weight")
            nn.init.normal_(parameter, mean=float(is_norm_weight), std=0.1)
    return model


def openai_state(model: CLIPModel) -> dict[str, Tensor]:
    """Return the weights of a CLIP of transformers under OpenAI's names."""
    theirs = model.state_dict()
    vision, text = "vision_model.", "text_model."
    state = {
        "logit_scale": theirs["logit_scale"],
        "visual.class_embedding": theirs[f"{vision}embeddings.class_embedding"],
        "visual.conv1.weight": theirs[f"{vision}embeddings.patch_embedding.weight"],
        "visual.positional_embedding": theirs[f"{vision}embeddings.position_embedding.weight"],
        "visual.proj": theirs["visual_projection.weight"].T,
        "token_embedding.weight": theirs[f"{text}embeddings.token_embedding.weight"],
        "positional_embedding": theirs[f"{text}embeddings.position_embedding.weight"],
        "text_projection": theirs["text_projection.weight"].T,
    }
    for kind in ("weight", "bias"):
        state[f"visual.ln_pre.{kind}"] = theirs[f"{vision}pre_layrnorm.{kind}"]
        state[f"visual.ln_post.{kind}"] = theirs[f"{vision}post_layernorm.{kind}"]
        state[f"ln_final.{kind}"] = theirs[f"{text}final_layer_norm.{kind}"]
        for tower, prefix, n_layers in (
            (vision, "visual.", len(model.vision_model.encoder.layers)),
            (text, "", len(model.text_model.encoder.layers)),
        ):
            for layer in range(n_layers):
                block = f"{prefix}transformer.resblocks.{layer}"
                source = f"{tower}encoder.layers.{layer}"
                stacked = [theirs[f"{source}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                state[f"{block}.attn.in_proj_{kind}"] = torch.cat(stacked)
                state[f"{block}.attn.out_proj.{kind}"] = theirs[
                    f"{source}.self_attn.out_proj.{kind}"
                ]
                state[f"{block}.ln_1.{kind}"] = theirs[f"{source}.layer_norm1.{kind}"]
                state[f"{block}.ln_2.{kind}"] = theirs[f"{source}.layer_norm2.{kind}"]
                state[f"{block}.mlp.c_fc.{kind}"] = theirs[f"{source}.mlp.fc1.{kind}"]
                state[f"{block}.mlp.c_proj.{kind}"] = theirs[f"{source}.mlp.fc2.{kind}"]
    return {name: tensor.clone().contiguous() for name, tensor in state.items()}


def save_hugging_face(model: CLIPModel, folder: Path, *, max_shard_size: str = "5GB") -> None:
    """Write the folder that a CLIP on the hub is."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    CLIPImageProcessorPil().save_pretrained(folder)
    clip_tokenizer().save(folder / "tokenizer.json")


def save_torchscript(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as OpenAI does: the archive of a traced module, with its sizes."""
    sizes = {
        "input_resolution": state["visual.conv1.weight"].shape[-1] * 4,
        "context_length": state["positional_embedding"].shape[0],
        "vocab_size": state["token_embedding.weight"].shape[0],
    }
    module = _Traced()
    for name, tensor in state.items():
        *folders, leaf = name.split(".")
        owner: nn.Module = module
        for folder in folders:
            if folder not in dict(owner.named_children()):
                owner.add_module(folder, nn.Module())
            owner = owner.get_submodule(folder)
        owner.register_parameter(leaf, nn.Parameter(tensor))
    for name, size in sizes.items():
        module.register_buffer(name, torch.tensor(size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
        traced = torch.jit.trace(module, torch.ones(1))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path)


class _Traced(nn.Module):
    """A module whose code does not matter, for only its weights are read."""

    def forward(self, x: Tensor) -> Tensor:
        """Return something that can be traced."""
        return x + 1


@torch.no_grad()
def assert_same_logits(
    clip: Clip, reference: CLIPModel, *, mean: Colour = OPENAI_MEAN, std: Colour = OPENAI_STD
) -> None:
    """Compare the logits of random images and the captions with those of transformers."""
    size = clip.config.image.image_size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(5))
    ids = clip.tokenize(CAPTIONS)
    image_embeddings, text_embeddings = clip.encode_image(pixels), clip.encode_text(ids)
    logits = clip.logit_scale.exp() * image_embeddings @ text_embeddings.T
    normalised = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    expected = reference(input_ids=ids, pixel_values=normalised).logits_per_image
    assert expected.std() > 0.01  # the captions and images are told apart
    assert_close(logits, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))


class Hostile:
    """Pickles to a call that leaves a file behind."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.evidence}",)


def refused(source: Path, message: str) -> None:
    """Assert that conversion ends in one line that matches, and writes nothing."""
    out = source.parent / "out"
    with pytest.raises(CheckpointError, match=message) as raised:
        convert(source, out, None if source.is_dir() else tiny_architecture())
    assert "\n" not in str(raised.value)
    assert str(source) in str(raised.value)
    assert not out.exists()
