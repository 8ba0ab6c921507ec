"""OpenCLIP checkpoints, of which RemoteCLIP and GeoRSCLIP are two.

A file of weights under OpenAI's names, perhaps inside a training checkpoint's "state_dict" and
behind the "module." of distributed training; or a folder as on the hub, where
`open_clip_config.json` says what the weights do not. OpenCLIP trains many other networks under the
same roof; `REFUSED` tells them by their names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from torch import Tensor

from skycue.backbones.clip import OPENAI_MEAN, OPENAI_STD
from skycue.backbones.convert.architectures import Architecture, Colour, Shapes
from skycue.backbones.convert.layout import Described, Measured, read_config
from skycue.errors import CheckpointError

CONFIG_FILE = "open_clip_config.json"
SAFE_WEIGHTS = ("open_clip_model.safetensors",)
PICKLED_WEIGHTS = ("open_clip_pytorch_model.bin",)

REFUSED = {
    "visual.layer1.": "its image tower is a ResNet",
    "visual.trunk.": "its image tower is from timm",
    "visual.blocks.": "its image tower is an EVA",
    "visual.attn_pool.": "its image tower pools by attention (CoCa)",
    "text_decoder.": "it has a text decoder (CoCa)",
    "text.cls_emb": "its text tower pools at a class token (CoCa)",
    "logit_bias": "it is trained with a sigmoid loss, its text tower is not causal (SigLIP)",
    "text.transformer.embeddings.": "its text tower is a BERT or the like",
    "text.transformer.encoder.": "its text tower is a BERT or the like",
    "text.": "it has a text tower of its own, of which the weights do not say that it is causal",
    "vision_model.": "it has Hugging Face's names: give its folder with config.json instead",
    "image.stem.": "it has Skycue's names: give its folder to --backbone as it is",
}
"""Beginning of a name to why a network with such a name is not read."""

DISTRIBUTED_PREFIX = "module."
Off = Literal[False, None, 0]


class _Tower(BaseModel, extra="forbid"):
    """Options of both towers of which only the plain choice is read."""

    width: int
    layers: int
    mlp_ratio: float = 4.0
    ls_init_value: Off = None
    final_ln_after_pool: Off = False
    output_tokens: bool = False
    act_kwargs: Off = None
    norm_kwargs: Off = None
    block_type: Literal[None, "default"] = None
    qk_norm: Off = False
    scaled_cosine_attn: Off = False
    scale_heads: Off = False
    scale_attn_inner: Off = False
    scale_attn: Off = False
    scale_fc: Off = False


class _ImageTower(_Tower):
    """`vision_cfg`: a transformer over patches that reads its class token."""

    image_size: int
    patch_size: int
    head_width: int = Field(default=64, gt=0)
    patch_dropout: float = 0.0  # of training only
    attentional_pool: Off = False
    no_ln_pre: Off = False
    pos_embed_type: Literal["learnable"] = "learnable"
    pool_type: Literal["tok"] = "tok"
    timm_model_name: Off = None


class _TextTower(_Tower):
    """`text_cfg`: a causal transformer that reads its end-of-text token."""

    context_length: int = 77
    vocab_size: int = 49408
    heads: int = 8
    embed_cls: Off = False
    no_causal_mask: Off = False
    pool_type: Literal["argmax"] = "argmax"
    proj_bias: Off = False
    proj_type: Literal["linear"] = "linear"
    hf_model_name: Off = None
    hf_tokenizer_name: Off = None
    tokenizer_kwargs: Off = None


class _Network(BaseModel, extra="forbid"):
    """`model_cfg`."""

    embed_dim: int
    vision_cfg: _ImageTower
    text_cfg: _TextTower
    quick_gelu: bool = False
    custom_text: Off = False


class _Preprocessing(BaseModel):
    """`preprocess_cfg`: CLIP's resize and crop, any normalisation."""

    mean: Colour = OPENAI_MEAN
    std: Colour = OPENAI_STD
    interpolation: Literal["bicubic"] = "bicubic"
    resize_mode: Literal["shortest"] = "shortest"


class _Config(BaseModel):
    """What we read of an `open_clip_config.json`."""

    model_cfg: _Network
    preprocess_cfg: _Preprocessing


def state_dict_of(loaded: object, path: Path) -> dict[str, Tensor]:
    """Return the state dict in what a file held: itself, or the entry of a training checkpoint.

    Raises:
        CheckpointError: If there is none.
    """
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path} holds no state dict but {type(loaded).__name__}.")
    state: dict[str, Tensor] = {}
    for name, tensor in loaded.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{path} holds no state dict: {name!r} is {type(tensor).__name__}, not a tensor."
            )
        state[str(name)] = tensor
    if all(name.startswith(DISTRIBUTED_PREFIX) for name in state):
        return {name.removeprefix(DISTRIBUTED_PREFIX): state[name] for name in state}
    return state


def refuse_other_networks(state: Mapping[str, Tensor], path: Path) -> None:
    """Stop at networks that are no CLIP of two plain transformers.

    Raises:
        CheckpointError: With the reason and the weight that shows it.
    """
    for beginning, reason in REFUSED.items():
        for name in state:
            if name.startswith(beginning):
                raise CheckpointError(
                    f"{path} is not supported: {reason} ({name}). CLIPs of two transformers are: "
                    "ViT image tower, causal text tower read at EOT."
                )


def describe(folder: Path) -> Described:
    """Return what the `open_clip_config.json` in a folder says.

    Raises:
        CheckpointError: If it is damaged or describes a network that is not read.
    """
    config = read_config(_Config, folder / CONFIG_FILE)
    image, text = config.model_cfg.vision_cfg, config.model_cfg.text_cfg
    shapes = Shapes(
        patch_size=image.patch_size,
        image_width=image.width,
        image_layers=image.layers,
        text_width=text.width,
        text_layers=text.layers,
        embed_dim=config.model_cfg.embed_dim,
    )
    architecture = Architecture(
        shapes,
        activation="quick_gelu" if config.model_cfg.quick_gelu else "gelu",
        image_heads=image.width // image.head_width,
        text_heads=text.heads,
        mean=config.preprocess_cfg.mean,
        std=config.preprocess_cfg.std,
    )
    measured = Measured(
        shapes,
        image_size=image.image_size,
        image_hidden=int(image.width * image.mlp_ratio),
        context_length=text.context_length,
        vocab_size=text.vocab_size,
        text_hidden=int(text.width * text.mlp_ratio),
    )
    return Described(architecture, measured, folder / CONFIG_FILE)
