"""What a training step of a region model keeps for its backward pass, part by part.

The language model is told by formula, the rest is measured on one box and multiplied. Boxes are
taken at their longest: all tokens and phrases that an answer may have.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from skycue.backbones.memory_estimate import (
    kept_for_backward,
    language_activations,
    mask_activations,
)
from skycue.backbones.segmenter import MaskFeatures, Segmenter
from skycue.backbones.small_segmenter import SmallSegmenter
from skycue.region_recipe import RegionStageConfig
from skycue.regions.clvnet import ClvNet


class RegionActivations(NamedTuple):
    """Bytes that parts of a region model keep for the backward pass of a batch."""

    language_model: int
    mask_decoder: int
    region_encoder: int
    segmenter: int


def region_activations(
    network: ClvNet,
    segmenter: Segmenter,
    stage: RegionStageConfig,
    *,
    checkpointing: bool,
    half: bool,
) -> RegionActivations:
    """Estimate what a batch of a stage keeps.

    Args:
        network: Of the full size; it may be on the meta device. What learns is set.
        segmenter: With the same decoder, on a real device.
        stage: Its batch size and its kind.
        checkpointing: The language model's layers keep their inputs alone.
        half: Products are computed in half precision; what is measured is measured in float32.
    """
    rows, config = stage.train.batch_size, network.config
    n_views = max(1, len(config.windows))
    features = _empty_features(network, segmenter)
    seen = 0
    if isinstance(segmenter, SmallSegmenter):
        seen = rows * n_views * _encoder_bytes(segmenter)
    if stage.kind == "masks":
        masks = mask_activations(segmenter, features, rows=rows * n_views, phrases=1)
        return RegionActivations(0, masks, 0, seen)
    passes = n_views + (network.mask_decoder.relations is not None)
    answer = config.reasoner.max_tokens
    return RegionActivations(
        language_activations(
            network.reasoner.language,
            rows=rows,
            length=_prompt_length(network) + answer,
            answer=answer,
            checkpointing=checkpointing,
            half=half,
        ),
        mask_activations(
            segmenter, features, rows=rows * passes, phrases=config.reasoner.max_phrases
        ),
        rows * _region_bytes(network, features),
        seen,
    )


def _empty_features(network: ClvNet, segmenter: Segmenter) -> MaskFeatures:
    """Return features of one image as the full network has them, on the other's device."""
    device = next(segmenter.parameters()).device
    if isinstance(segmenter, SmallSegmenter):
        with torch.no_grad():
            return _encode(segmenter)
    patch = network.config.segmenter.patch_size  # type: ignore[union-attr]
    side = network.segmenter.input_size // patch
    return MaskFeatures(torch.zeros(1, segmenter.width, side, side, device=device))


def _encode(segmenter: SmallSegmenter) -> MaskFeatures:
    """Encode one black image, without telling the batch norms."""
    side, was_training = segmenter.input_size, segmenter.training
    pixels = torch.zeros(1, 3, side, side, device=next(segmenter.parameters()).device)
    features = segmenter.eval().encode(pixels)
    segmenter.train(was_training)
    return features


def _encoder_bytes(segmenter: SmallSegmenter) -> int:
    return kept_for_backward(lambda: _encode(segmenter), segmenter.parameters())


def _region_bytes(network: ClvNet, features: MaskFeatures) -> int:
    """Return what the region encoder keeps of the levels of one image."""
    if network.config.reasoner.box_input != "token":
        return 0
    encoder = network.region_encoder
    device = next(encoder.parameters()).device
    levels: list[Tensor] = [features.fine[0], features.coarse] if features.fine else []
    if network.config.region_layers:
        image = network.clip.config.image
        shape = (1, image.width, image.grid, image.grid)
        levels = [torch.zeros(shape) for _ in network.config.region_layers]
    moved = [torch.zeros_like(level, device=device) for level in levels]
    return kept_for_backward(lambda: encoder.join_levels(moved), encoder.parameters())


def _prompt_length(network: ClvNet) -> int:
    """Return the tokens of a prompt: of the image, of the widest window, and words."""
    config = network.config
    grid = network.clip.config.image.grid
    shown = min(config.image_grid or grid, grid) ** 2 + config.view_grid**2 + config.objects
    words = config.reasoner.prompt.replace("{question}", config.reasoner.question)
    return shown + len(network.reasoner.language.tokenizer.encode(words))
