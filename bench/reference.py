"""The straightforward way to do what Skycue does fast: what it is compared with.

It is the way of CoCoOp's and BiMoRS's released code, written anew: for one image at a time, the
prompts of all classes go through the text tower as whole padded sequences of 77 tokens; the visual
bottleneck is applied to every token before the mean; nothing is kept from one step to the next.
It uses the same blocks with PyTorch's fused causal attention, the same threads and number format.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.scenes.base import ImageInputs
from skycue.scenes.bimors import BiMoRS


def encode_classes(clip: Clip, contexts: Tensor, class_names: Sequence[str]) -> Tensor:
    """Encode the prompt of each class for each image, one image at a time over 77 tokens.

    Args:
        clip: The backbone.
        contexts: Context tokens of each image, [B, M, W].
        class_names: C names, put behind the context.

    Returns:
        Class embeddings of unit length, [B, C, D].
    """
    n_ctx, n_classes = contexts.shape[1], len(class_names)
    ids = clip.tokenize([f"{'X ' * n_ctx}{name}." for name in class_names])  # [C, 77]
    words = clip.token_embedding(ids)  # [C, 77, W]
    eot_index = clip.eot_index(ids)
    images = []
    for context in contexts:
        shared = context.expand(n_classes, -1, -1)
        x = torch.cat([words[:, :1], shared, words[:, 1 + n_ctx :]], dim=1)  # [C, 77, W]
        images.append(encode_padded(clip, x, eot_index))
    return torch.stack(images)


def encode_padded(
    clip: Clip, prompts: Tensor, eot_index: Tensor, deep_prompts: Sequence[Tensor] = ()
) -> Tensor:
    """Encode whole padded prompts, every token of them.

    Args:
        clip: The backbone.
        prompts: Token embeddings, [C, 77, W].
        eot_index: Position of each end-of-text token, [C].
        deep_prompts: For block i + 1, what replaces the tokens behind the first one, [M, W] each.

    Returns:
        Class embeddings of unit length, [C, D].
    """
    n_classes = len(prompts)
    x = prompts + clip.text.positional_embedding
    for index, block in enumerate(clip.text.blocks):
        if 0 < index <= len(deep_prompts):
            own = deep_prompts[index - 1].expand(n_classes, -1, -1)  # [C, M, W]
            x = torch.cat([x[:, :1], own, x[:, 1 + own.shape[1] :]], dim=1)
        x = block(x, causal=True)
    x = clip.text.ln_final(x)
    projected = x[torch.arange(n_classes), eot_index] @ clip.text.projection  # [C, D]
    return F.normalize(projected, dim=-1)


def logits_of(clip: Clip, embeddings: Tensor, classes: Tensor) -> Tensor:
    """Return cosines over the temperature, [B, C], of unit vectors [B, D] and [C, D]."""
    return clip.logit_scale.exp() * embeddings @ classes.T


def bimors_contexts(method: BiMoRS, inputs: ImageInputs) -> Tensor:
    """Return the contexts of BiMoRS, [B, M, W], with the bottleneck on every visual token."""
    hidden = method.reduce(inputs.require("tokens")).relu()  # [B, 1+N, hidden]
    visual = method.expand(hidden).mean(dim=1, keepdim=True)  # [B, 1, W]
    caption = method.caption_projection(inputs.require("caption"))[:, None]  # [B, 1, W]
    key_value = method.ln_key_value(torch.cat([visual, caption], dim=1))
    context = method.context.expand(len(visual), -1, -1)
    update, _ = method.attention(method.ln_query(context), key_value, key_value)
    contexts: Tensor = context + update
    return contexts


def bimors_logits(method: BiMoRS, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
    """Return the logits of BiMoRS, [B, C]."""
    contexts = bimors_contexts(method, inputs)
    return image_by_image(method.clip, inputs.require("embedding"), contexts, class_names)


def image_by_image(
    clip: Clip, embeddings: Tensor, contexts: Tensor, class_names: Sequence[str]
) -> Tensor:
    """Score each image with its own class embeddings, [B, C].

    Args:
        clip: The backbone.
        embeddings: Image embeddings, [B, D].
        contexts: Context tokens of each image, [B, M, W].
        class_names: C names, put behind the context.
    """
    classes = encode_classes(clip, contexts, class_names)
    rows = [
        clip.logit_scale.exp() * own @ embedding
        for embedding, own in zip(embeddings, classes, strict=True)
    ]
    return torch.stack(rows)
