"""Stand-ins for weights and data of a recipe, so that it can be tried without either.

What is tried is small: pretrained parts stand as random ones of the widths that the recipe writes
beside their names, but of few layers and on coarse grids; the frozen image encoder stands as
`mini`, and images are drawn. What is counted is a network of the full size, on the meta device,
which takes no memory.
"""

import torch

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.language import (
    SCRATCH,
    LanguageModel,
    language_model_from_hf_config,
    prepare,
)
from skycue.backbones.sam import SamSettings
from skycue.backbones.text import TextConfig
from skycue.backbones.vit import ImageConfig
from skycue.region_recipe import RegionDataConfig, RegionTrainingConfig, RenderedSource
from skycue.regions.clvnet import ClvNet
from skycue.regions.region_encoder import RegionEncoderConfig

FAKE_LAYERS = 2
"""Of the language model and of SAM's encoder; the last one of SAM's looks at the whole image."""
FAKE_INPUT = 256
"""Side of SAM's input in pixels."""
FAKE_CELLS = 12
"""Most cells along a side of the region encoder's levels."""
FAKE_IMAGES = RenderedSource(count=4, size=256, boxes=2)
CLIP_SIZES = {
    "openai/clip-vit-large-patch14-336": ClipConfig(
        embed_dim=768,
        image=ImageConfig(image_size=336, patch_size=14, width=1024, layers=24, heads=16),
        text=TextConfig(context_length=77, vocab_size=49408, width=768, layers=12, heads=12),
        activation="quick_gelu",
    )
}
"""Sizes of image encoders that recipes name; another one counts as `mini`."""


def with_fake_weights(config: RegionTrainingConfig) -> RegionTrainingConfig:
    """Return a recipe that needs no file: random weights of few layers, and drawn images."""
    model = config.model
    language = model.language.model_copy(
        update={"source": SCRATCH, "layers": min(FAKE_LAYERS, model.language.layers)}
    )
    changes: dict[str, object] = {
        "clip": "mini",
        "image_layer": None,
        "language": language,
        "region_layers": tuple(n % FAKE_LAYERS for n in range(len(model.region_layers))),
        "region_encoder": _coarse(model.region_encoder),
    }
    if isinstance(model.segmenter, SamSettings):
        layers = min(FAKE_LAYERS, model.segmenter.layers)
        sizes: dict[str, object] = {"source": SCRATCH, "layers": layers}
        sizes |= {"global_layers": (layers - 1,), "input_size": FAKE_INPUT}
        changes["segmenter"] = model.segmenter.model_copy(update=sizes)
    data = RegionDataConfig(rendered=FAKE_IMAGES, mask_cells=config.data.mask_cells)
    return config.model_copy(
        update={"model": model.model_copy(update=changes), "data": data, "start": None}
    )


def _coarse(config: RegionEncoderConfig) -> RegionEncoderConfig:
    """Return a region encoder with one exchange on coarse levels."""
    cells = config.cells and tuple(min(side, FAKE_CELLS) for side in config.cells)
    return config.model_copy(update={"cells": cells, "fuse_rounds": min(1, config.fuse_rounds)})


def full_network(config: RegionTrainingConfig, tried: ClvNet) -> ClvNet:
    """Return the network that a recipe describes on the meta device, where it takes no memory.

    Args:
        config: The recipe, without stand-ins.
        tried: The network that stands in for it, whose vocabulary is taken over.
    """
    model, language = config.model, tried.reasoner.language
    described = language.hf_config() | {"num_hidden_layers": model.language.layers}
    if model.language.source != SCRATCH or config.start is not None:
        described["vocab_size"] = model.language.vocab_size
    changes: dict[str, object] = {}
    if isinstance(model.segmenter, SamSettings):
        changes["segmenter"] = model.segmenter.model_copy(update={"source": SCRATCH})
    with torch.device("meta"):
        causal = language_model_from_hf_config(described)
        prepare(causal, model.language)
        clip = Clip(CLIP_SIZES.get(model.clip, tried.clip.config), tried.clip.tokenizer)
        whole = LanguageModel(causal, language.tokenizer)
        return ClvNet(model.model_copy(update=changes), clip, whole)
