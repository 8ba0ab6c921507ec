"""The released way of methods whose context depends on the image: see `bench/released_ways.py`.

All classes are encoded anew for each image, one image at a time, over 77 tokens.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.reference import bimors_logits, encode_classes, image_by_image, logits_of
from skycue.scenes.applenet import APPLeNet
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.bimors import BiMoRS
from skycue.scenes.cocoop import CoCoOp
from skycue.scenes.csaw import CSAW, cross_correlation_loss
from skycue.scenes.stylip import StyLIP


def cocoop_logits(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Encode all classes anew for each image, whose embedding shifts the context."""
    assert isinstance(method, CoCoOp)
    embedding = inputs.require("embedding")
    contexts = method.context + method.meta_net(embedding)[:, None]  # [B, M, W]
    return image_by_image(method.clip, embedding, contexts, class_names)


def bimors(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Let the context attend to every visual token and the caption."""
    assert isinstance(method, BiMoRS)
    return bimors_logits(method, inputs, class_names)


def applenet_logits(
    method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]
) -> Tensor:
    """Shift the context by visual tokens."""
    assert isinstance(method, APPLeNet)
    contexts = method.contexts(inputs)
    return image_by_image(method.clip, inputs.require("embedding"), contexts, class_names)


def applenet_loss(
    method: PromptMethod, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]
) -> Tensor:
    """Add the penalty on tokens of an image that are alike."""
    assert isinstance(method, APPLeNet)
    penalty = method.config.redundancy_weight * method.redundancy(method.contexts(inputs))
    return F.cross_entropy(applenet_logits(method, inputs, class_names), labels) + penalty


def csaw_logits(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Shift the context by visual tokens; the image embedding passes the projector."""
    assert isinstance(method, CSAW)
    view = method.view(inputs)
    return image_by_image(method.clip, view.embedding, view.contexts, class_names)


def csaw_loss(
    method: PromptMethod, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]
) -> Tensor:
    """Encode the classes of each whole image and of its puzzle; the tower sees the puzzle anew."""
    assert isinstance(method, CSAW)
    config, pixels = method.config, inputs.require("pixels")
    whole, puzzled = method.view(inputs), method.view(method.puzzled_inputs(pixels))
    logits, redundancy = [], method.redundancy(puzzled.contexts)
    for of_whole, of_puzzle, embedding in zip(
        whole.contexts, puzzled.contexts, puzzled.embedding, strict=True
    ):
        first, second = (
            encode_classes(method.clip, context[None], class_names)[0]
            for context in (of_whole, of_puzzle)
        )
        logits.append(logits_of(method.clip, embedding[None], (first + second) / 2)[0])
    share = config.self_supervised_share
    agreement = cross_correlation_loss(whole.embedding, puzzled.embedding)
    reconstruction = F.mse_loss(method.decoder(puzzled.embedding), pixels)
    return (
        F.cross_entropy(torch.stack(logits), labels)
        + (1 - share) * config.redundancy_weight * redundancy
        + share * (config.agreement_weight * agreement + reconstruction)
    )


def stylip_logits(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Fuse each image's content with each of its class embeddings."""
    assert isinstance(method, StyLIP)
    moments = inputs.require("moments")
    texts = encode_classes(method.clip, method.contexts(moments), class_names)  # [B, C, D]
    content = method.content_of(moments)[:, None].expand_as(texts)
    fused = F.normalize(method.fuse(torch.cat([content, texts], dim=-1)), dim=-1)
    rows = [
        logits_of(method.clip, embedding[None], own)[0]
        for embedding, own in zip(inputs.require("embedding"), fused, strict=True)
    ]
    return torch.stack(rows)
