"""GLaMM's checkpoints into one folder of ours: `skycue convert`.

Rasheed et al., "GLaMM: Pixel Grounding Large Multimodal Model", CVPR 2024,
https://arxiv.org/abs/2311.03356; published as MBZUAI/GLaMM-* in the layout of LLaVA, pickled in
parts. What is written is a region model whose masks know no context, which is GLaMM; as the start
of a training it becomes CLV-Net. Of the checkpoint

- the Llama becomes `reasoner.language.model.*`, with one row more for <image>, no token there
- `mm_projector` becomes `reasoner.projector` (GLaMM's V-L projection)
- `text_hidden_fcs.0` becomes `query_projection` (its L-P projection)
- `region_encoder` becomes `region_encoder`, whose docstring names each counterpart
- `grounding_encoder` becomes `segmenter`: SAM, as `SamSegmenter` names its parts

The image encoder is CLIP ViT-L/14 at 336 pixels as published: it is named, not copied.
"""

import json
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save_file
from torch import Tensor

from skycue.backbones.convert.layout import Renames, read_config, renamed
from skycue.backbones.convert.segment_anything import measure_sam, segmenter_state
from skycue.backbones.hub import explain_loading, load_part
from skycue.backbones.vocabulary import REGION_TOKENS, add_region_words
from skycue.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ARCHITECTURE = "GLaMMForCausalLM"
"""What `architectures` in config.json says."""
FORMAT = "skycue-region-1"
"""Layout of the folder that is written."""
CLIP_LAYERS = {"openai/clip-vit-large-patch14-336": 24}
"""Image encoders that a GLaMM may name, and their layers."""
CLIP_GRID = 24
"""Patches along each side of an image."""
LEVEL_STEP = 3
"""Layers between two levels of the region encoder."""
GROUPS = 64
"""Groups of the region encoder's norms."""
ROI_SAMPLES = 2
"""Samples along each side of a bin."""
PROMPT = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions. USER: The"
    "<im_start><image><im_end> provides an overview of the picture.\n{question} ASSISTANT:"
)
"""The conversation that GLaMM was trained on ("llava_v1").

Its tokenizer cut the blanks around special tokens; ours cuts none, so none is written before one.
"""
QUESTION = (
    "Can you provide me with a detailed description of the region in the picture marked by region1"
    "<bbox>? Please respond with interleaved segmentation masks for the corresponding parts of the "
    "answer."
)
"""Its question about a region, and how it asks for masks."""
SMALL_BOX = 0.125
"""A box under this share of the image's longer side is answered on a window around it, where it is
as large a share: 3 of CLIP's patches along a side, 8 of SAM's. Our choice; GLaMM sees it whole."""
MAX_TOKENS, MAX_PHRASES = 512, 32
"""Its limit for an answer, and ours for the phrases in one."""

PARTS: Renames = (
    ("model.mm_projector.", "reasoner.projector."),
    ("model.text_hidden_fcs.0.", "query_projection."),
    ("model.region_encoder.", "region_encoder."),
    ("model.grounding_encoder.", "segmenter."),
    ("model.", "reasoner.language.model.model."),
    ("lm_head.", "reasoner.language.model.lm_head."),
)
"""Beginnings of their names and of ours; the first that fits counts."""
DROPPED = ("model.vision_tower.",)
"""Beginnings of what is not copied: the published CLIP."""
COUNTERS = ".rotary_emb.inv_freq"
"""Ends the names of what older files hold beside the weights."""
REGION_RENAMES: Renames = (
    ("mlvl_fuse.input_conv.", "level_inputs."),
    ("mlvl_fuse.fuse_convs.", "rounds."),
    (".gn.", ".norm."),
    ("roi_align.pconvs.", "roi_convs."),
    ("roi_align.flatten_linear.", "region."),
    ("roi_align.pos_embedd.", "position."),
    ("roi_align.updims.", "output."),
)
"""Parts of the region encoder's names, GLaMM's and ours."""
TABLES = (
    "reasoner.language.model.model.embed_tokens.weight",
    "reasoner.language.model.lm_head.weight",
)
"""What has a row for each token."""


class GlammConfig(BaseModel):
    """What a GLaMM's config.json says, as far as it is read."""

    model_config = ConfigDict(extra="ignore")

    architectures: tuple[str, ...] = ()
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float = 10000.0
    mm_vision_tower: str
    mm_vision_select_layer: int = -2
    bbox_token_idx: int | None = None


class ConvertedGlamm(NamedTuple):
    """A GLaMM in our layout.

    Attributes:
        config: What config.json of a region model says.
        state: Its weights, in the number format of the checkpoint.
        tokenizer: With all region tokens.
    """

    config: dict[str, object]
    state: dict[str, Tensor]
    tokenizer: "PreTrainedTokenizerFast"

    def save(self, folder: Path) -> None:
        """Write the folder of a region model."""
        self.tokenizer.save_pretrained(str(folder))
        save_file(self.state, folder / "model.safetensors")
        text = json.dumps(self.config, indent=1) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")


def is_glamm(folder: Path) -> bool:
    """Tell whether a folder's config.json describes a GLaMM."""
    path = folder / "config.json"
    return path.is_file() and ARCHITECTURE in path.read_text(encoding="utf-8", errors="replace")


def convert_glamm(folder: Path, state: Mapping[str, Tensor]) -> ConvertedGlamm:
    """Turn a GLaMM into our layout.

    Args:
        folder: With its config.json and tokenizer.
        state: All its weights.

    Raises:
        CheckpointError: If a part is missing, unknown, or does not fit the others.
    """
    config = read_config(GlammConfig, folder / "config.json")
    if config.mm_vision_tower not in CLIP_LAYERS:
        raise CheckpointError(
            f"{folder} sees through {config.mm_vision_tower!r}, which is not read: "
            f"{', '.join(CLIP_LAYERS)} is."
        )
    ours = _renamed_state(state, folder)
    tokenizer = _load_words(folder, config)
    for name in TABLES:
        ours[name] = _with_rows(ours[name], len(tokenizer))
    described: dict[str, object] = {
        "format": FORMAT,
        "model": _model_config(config, ours),
        "language": _language_config(config, tokenizer, len(ours[TABLES[0]])),
        "clip_fingerprint": "",
        "trained_on": {"weights": f"GLaMM, from {folder.name}"},
    }
    return ConvertedGlamm(described, ours, tokenizer)


def _renamed_state(state: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Return the weights under our names.

    Raises:
        CheckpointError: If a weight belongs to no part or a part has none.
    """
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(DROPPED) or name.endswith(COUNTERS):
            continue
        begins = next((pair for pair in PARTS if name.startswith(pair[0])), None)
        if begins is None:
            raise CheckpointError(f"{folder} holds {name}, which is no weight of a GLaMM.")
        ours[begins[1] + name.removeprefix(begins[0])] = tensor.contiguous()
    for theirs, beginning in PARTS:
        if not any(name.startswith(beginning) for name in ours):
            raise CheckpointError(
                f"{folder} lacks {theirs}*: it is no whole GLaMM. Merge LoRA and parts first, as "
                "in the folders MBZUAI/GLaMM-*."
            )
    ours |= _replaced(ours, "region_encoder.", REGION_RENAMES)
    sam = {name: ours.pop(name) for name in list(ours) if name.startswith("segmenter.")}
    bare = {name.removeprefix("segmenter."): tensor for name, tensor in sam.items()}
    return ours | {f"segmenter.{name}": t for name, t in segmenter_state(bare).items()}


def _replaced(ours: dict[str, Tensor], beginning: str, renames: Renames) -> dict[str, Tensor]:
    """Take a part out of a state dict and return it with its names changed."""
    names = [name for name in ours if name.startswith(beginning)]
    return {renamed(name, renames): ours.pop(name) for name in names}


def _load_words(folder: Path, config: GlammConfig) -> "PreTrainedTokenizerFast":
    """Read the tokenizer and add the token of an image.

    Raises:
        CheckpointError: If it is no GLaMM's.
    """
    from transformers import LlamaTokenizer, PreTrainedTokenizerFast

    is_fast = (folder / "tokenizer.json").is_file()  # older folders hold tokenizer.model alone
    kind = PreTrainedTokenizerFast if is_fast else LlamaTokenizer
    with explain_loading(str(folder), "tokenizer", "give a folder"):
        loaded = load_part(kind.from_pretrained, str(folder))
    tokenizer = cast("PreTrainedTokenizerFast", loaded)
    known = tokenizer.get_vocab()
    absent = [token for token in REGION_TOKENS if token != "<image>" and token not in known]
    if absent:
        raise CheckpointError(f"the tokenizer of {folder} lacks {', '.join(absent)}: get GLaMM's.")
    if config.bbox_token_idx not in (None, known["<bbox>"]):
        raise CheckpointError(
            f"{folder} has <bbox> at {config.bbox_token_idx} in its configuration and at "
            f"{known['<bbox>']} in its tokenizer; get both from one place."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    add_region_words(tokenizer)
    return tokenizer


def _with_rows(table: Tensor, n_tokens: int) -> Tensor:
    """Add rows to a table of tokens, [V, W], each the mean of those that are there."""
    n_new = max(0, n_tokens - len(table))
    mean = table.float().mean(dim=0).to(table.dtype)
    return torch.cat([table, mean.expand(n_new, -1)])


def _model_config(config: GlammConfig, state: Mapping[str, Tensor]) -> dict[str, object]:
    """Describe the network, as `model:` of a configuration does."""
    last = CLIP_LAYERS[config.mm_vision_tower] + config.mm_vision_select_layer
    n_levels = sum(
        name.startswith("region_encoder.level_inputs.") and name.endswith(".weight")
        for name in state
    )
    sam = {
        name.removeprefix("segmenter."): tensor
        for name, tensor in state.items()
        if name.startswith("segmenter.")
    }
    return {
        "clip": config.mm_vision_tower,
        "image_layer": last,
        "image_grid": None,
        "segmenter": measure_sam(sam).model_dump(mode="json"),
        "windows": [],
        "small_box": SMALL_BOX,
        "small_box_window": 1 / SMALL_BOX,
        "view_grid": 0,
        "region_layers": [last - LEVEL_STEP * back for back in reversed(range(n_levels))],
        "region_encoder": _region_config(state, n_levels),
        "mask_decoder": {"context": "off"},
        "reasoner": {
            "prompt": PROMPT,
            "question": QUESTION,
            "takes_questions": True,
            "box_input": "token",
            "seg_state": "before",
            "max_tokens": MAX_TOKENS,
            "max_phrases": MAX_PHRASES,
        },
        "language": {"source": "scratch", "frozen": True, "train_embeddings": False},
    }


def _region_config(state: Mapping[str, Tensor], n_levels: int) -> dict[str, object]:
    """Describe the region encoder by the shapes of its weights."""
    part = "region_encoder."
    width = len(state[f"{part}level_inputs.0.weight"])
    region_width, flat = state[f"{part}region.weight"].shape
    names = [name for name in state if name.startswith(f"{part}rounds.")]
    return {
        "width": width,
        "cells": [CLIP_GRID * 2**level for level in reversed(range(n_levels))],
        "fuse_rounds": sum(name.endswith(".conv.weight") for name in names),
        "groups": GROUPS,
        "roi_size": isqrt(flat // width),
        "sampling_ratio": ROI_SAMPLES,
        "region_width": region_width,
        "position_width": len(state[f"{part}position.0.weight"]),
        "geometry": "glamm_224",
    }


def _language_config(
    config: GlammConfig, tokenizer: "PreTrainedTokenizerFast", n_rows: int
) -> dict[str, object]:
    """Describe the language model as `transformers` does."""
    return {
        "model_type": "llama",
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads or config.num_attention_heads,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "vocab_size": n_rows,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
