"""Learned context tokens around a class name: how they start and how they are encoded."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.errors import ConfigError

CONTEXT_STD = 0.02
"""Deviation of context tokens that start from noise (Zhou et al., CoOp, IJCV 2022, section 4)."""


class ContextConfig(Config):
    """Options that all methods with context tokens share."""

    init_words: str = "a photo of a"
    """Words to start the context from; empty starts it from noise."""
    n_ctx: int | None = Field(default=None, ge=1)
    """Number of context tokens, M in the papers. Not given: as many as `init_words` has. More than
    that: the first ones start from noise."""
    class_position: Literal["end", "middle", "front"] = "end"
    """Where the class name stands among the context tokens."""
    text_memory_mb: int = Field(default=1024, ge=1)
    """Activations of the text encoder held at once, in MiB; lower it when memory runs out."""


def initial_context(clip: Clip, config: ContextConfig) -> Tensor:
    """Return the context at the start of training, [M, W].

    Raises:
        ConfigError: If neither words nor a number of tokens is given, or the words are too many.
    """
    table = clip.text.token_embedding.weight
    n_words = clip.tokenizer.count(config.init_words)
    n_ctx = n_words if config.n_ctx is None else config.n_ctx
    if n_ctx == 0:
        raise ConfigError("a context needs tokens: give init_words, or n_ctx of at least 1.")
    if n_words > n_ctx:
        raise ConfigError(
            f"init_words {config.init_words!r} has {n_words} tokens but n_ctx is {n_ctx}: raise "
            "n_ctx, leave it out, or use fewer words."
        )
    noise = torch.randn(n_ctx - n_words, table.shape[1]) * CONTEXT_STD
    ids = clip.tokenize([config.init_words])[0, 1 : 1 + n_words]
    return torch.cat([noise.to(table), clip.token_embedding(ids)])


def encode_with_context(
    clip: Clip,
    context: Tensor,
    class_names: Sequence[str],
    config: ContextConfig,
    *,
    deep_prompts: Sequence[Tensor] = (),
    normalize: bool = True,
) -> Tensor:
    """Encode the prompt of each class in each context.

    The prompt is [SOS] context name "." [EOT], with the name behind, amid or before the context.

    Args:
        clip: The backbone.
        context: Context tokens, [G, M, W]: one context for all images (G = 1), or one an image.
        class_names: C names as they are to be read.
        config: Where the name stands, and the memory to use.
        deep_prompts: For text block i + 1, what replaces the first M tokens of the context there,
            [M, W] or [G, M, W] each; the name stands at the end then.
        normalize: Give class embeddings unit length, or leave them as the text tower projects them.

    Returns:
        Class embeddings, [G, C, D].

    Raises:
        PromptTooLongError: If a prompt does not fit the text encoder.
    """
    ids = clip.tokenize([f"{name}." for name in class_names])  # [C, L]
    words = clip.token_embedding(ids)  # [C, L, W]
    eot_index = clip.eot_index(ids)  # [C], counted with [SOS] in front
    length = int(eot_index.max()) + 1
    words = words[:, :length]
    start = words[:1, :1].expand(len(context), -1, -1)  # [G, 1, W]
    n_before = {"end": context.shape[1], "middle": context.shape[1] // 2, "front": 0}
    before, after = context.tensor_split([n_before[config.class_position]], dim=1)
    prefix = torch.cat([start, before], dim=1)  # [G, 1 + M', W]
    suffix = words[None, :, 1:]  # [1, C, S, W]
    eot_index = eot_index - 1
    if after.shape[1]:
        name_length = eot_index - 1  # what stands before "." and EOT
        suffix = _insert_after_names(suffix, after, name_length)
        eot_index = eot_index + after.shape[1]
    max_bytes = config.text_memory_mb << 20
    encode = clip.encode_prompts if normalize else clip.text.encode_prompts
    return encode(prefix, suffix, eot_index, deep_prompts=deep_prompts, max_bytes=max_bytes)


def _insert_after_names(suffix: Tensor, after: Tensor, name_length: Tensor) -> Tensor:
    """Put the context's second part between each name and its ".".

    Args:
        suffix: Name, ".", EOT and padding, [1, C, S, W].
        after: The context's second part, [G, M'', W].
        name_length: Tokens of each name, [C].

    Returns:
        [G, C, S + M'', W].
    """
    groups, n_after = after.shape[:2]
    classes, length = suffix.shape[1:3]
    position = torch.arange(length + n_after, device=suffix.device)  # [S + M'']
    past_name = position[None] - name_length[:, None]  # [C, S + M'']
    is_context = (past_name >= 0) & (past_name < n_after)
    from_words = torch.where(past_name < 0, position, position - n_after).clamp(min=0)
    rows = torch.arange(classes, device=suffix.device)[:, None]
    words = suffix[0][rows, from_words]  # [C, S + M'', W]
    inserted = after[:, past_name.clamp(0, n_after - 1)]  # [G, C, S + M'', W]
    return torch.where(is_context[None, ..., None], inserted, words.expand(groups, -1, -1, -1))
