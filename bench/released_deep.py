"""The released way of methods with prompts inside the towers: see `bench/released_ways.py`.

Both towers compute every token in every block.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.reference import encode_padded, logits_of
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.deep import DeepContextMethod, DeepMethod
from skycue.scenes.promptsrc import PromptSRC
from skycue.scenes.vpt import VPT


def image_embeddings(method: DeepMethod, inputs: ImageInputs) -> Tensor:
    """Run the image tower with the prompts in it, [B, D]."""
    patches, prompts = inputs.require("patches"), method.prompts_for_images()
    return method.clip.encode_patches(patches, prompts=prompts).embedding


def class_embeddings(method: DeepContextMethod, class_names: Sequence[str]) -> Tensor:
    """Encode the written-out prompts, whose first words are learned, over 77 tokens, [C, D]."""
    ids = method.clip.tokenize([f"{method.config.init_words} {name}." for name in class_names])
    words, n_ctx = method.clip.token_embedding(ids), len(method.context)
    shared = method.context.expand(len(class_names), -1, -1)
    prompts = torch.cat([words[:, :1], shared, words[:, 1 + n_ctx :]], dim=1)  # [C, 77, W]
    return encode_padded(
        method.clip, prompts, method.clip.eot_index(ids), list(method.deep_prompts)
    )


def two_tower_logits(
    method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]
) -> Tensor:
    """Run both towers with prompts in them: MaPLe, and PromptSRC when it scores."""
    assert isinstance(method, DeepContextMethod)
    classes = class_embeddings(method, class_names)
    return logits_of(method.clip, image_embeddings(method, inputs), classes)


def vpt_logits(method: PromptMethod, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Run the image tower; the class embeddings are known before training."""
    assert isinstance(method, VPT)
    classes = method.class_embeddings(class_names)
    return logits_of(method.clip, image_embeddings(method, inputs), classes)


def promptsrc_loss(
    method: PromptMethod, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]
) -> Tensor:
    """Add the three distances from the frozen CLIP; its class embeddings are known before."""
    assert isinstance(method, PromptSRC)
    images, frozen_images = image_embeddings(method, inputs), inputs.require("embedding")
    classes = class_embeddings(method, class_names)
    frozen_classes = method._frozen_text.class_embeddings(class_names)
    logits = logits_of(method.clip, images, classes)
    expected = logits_of(method.clip, frozen_images, frozen_classes)
    divergence = F.kl_div(
        logits.log_softmax(dim=-1), expected.log_softmax(dim=-1), reduction="sum", log_target=True
    )
    return (
        F.cross_entropy(logits, labels)
        + method.weights.text_weight * (classes - frozen_classes).abs().mean()
        + method.weights.image_weight * (images - frozen_images).abs().mean()
        + method.weights.logit_weight * divergence / logits.numel()
    )
