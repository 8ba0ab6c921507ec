"""CLIP's text tower, and its exact fast way to encode many prompts with a common beginning.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4, https://arxiv.org/abs/2103.00020. The tower is causal, so two savings change no value:
padding behind the longest end-of-text token (EOT) is cut, and what precedes the class name is
computed once and its keys and values serve every class (`TextTower.encode_prompts`).
"""

from collections.abc import Iterator, Sequence

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skycue.backbones.transformer import Activation, Block, KeyValue
from skycue.errors import PromptTooLongError

DEFAULT_MAX_BYTES = 1 << 30
"""Activations that encoding may hold at once, where the caller does not say."""

KEPT_PER_TOKEN = 22
"""Activations of one token in one block, in widths, that the backward pass needs (measured)."""


class TextConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of the text tower."""

    context_length: int = Field(gt=2)
    """Most tokens of a text, start and end included, L."""
    vocab_size: int = Field(gt=2)
    """Rows of the token table."""
    width: int = Field(gt=0)
    """Width of the states, W."""
    layers: int = Field(gt=0)
    """Number of transformer blocks."""
    heads: int = Field(gt=0)
    """Attention heads; divides `width`."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden width of a block's MLP over `width`."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TextConfig":
        if self.width % self.heads:
            raise ValueError(f"text heads {self.heads} must divide width {self.width}")
        return self


class TextTower(nn.Module):
    """Token embeddings to the projected state of each text's end-of-text token."""

    def __init__(
        self, config: TextConfig, embed_dim: int, activation: Activation, eps: float
    ) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(config.context_length, width))
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.mlp_ratio, activation, eps)
            for _ in range(config.layers)
        )
        self.ln_final = nn.LayerNorm(width, eps=eps)
        self.projection = nn.Parameter(width**-0.5 * torch.randn(width, embed_dim))  # [W, D]
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, embeddings: Tensor, eot_index: Tensor) -> Tensor:
        """Encode whole texts.

        Args:
            embeddings: Token embeddings without positions, [C, L, W].
            eot_index: Position of each text's end-of-text token, [C].

        Returns:
            Projected states at EOT, not normalised, [C, D].

        Raises:
            PromptTooLongError: If a text is longer than the context length.
        """
        length = int(eot_index.max()) + 1  # causal: what follows the last EOT changes nothing
        self._check_length(length)
        x = embeddings[:, :length] + self.positional_embedding[:length]
        for block in self.blocks[:-1]:
            x, _ = block(x, causal=True)
        return self._project(self.blocks[-1].read(x, eot_index))

    def encode_prompts(
        self,
        prefix: Tensor,
        suffix: Tensor,
        eot_index: Tensor,
        *,
        deep_prompts: Sequence[Tensor] = (),
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> Tensor:
        """Encode every suffix after every prefix, computing each prefix once.

        Equal to encoding the G * C whole texts one by one, outputs and gradients alike.

        Args:
            prefix: Token embeddings of what precedes the class name, start token included,
                [G, K, W]; a group is an image, or there is one for all.
            suffix: Token embeddings of the rest, padded behind EOT, [G or 1, C, S, W].
            eot_index: Position of EOT in each suffix, [C].
            deep_prompts: For block i + 1, states that replace positions 1 to M of the prefix,
                [M, W] or [G, M, W] each.
            max_bytes: Bound of the activations held at once. Work beyond it is done in chunks,
                which the backward pass computes a second time.

        Returns:
            Projected states at EOT, not normalised, [G, C, D].

        Raises:
            PromptTooLongError: If prefix and suffix together exceed the context length.
        """
        groups, n_prefix = prefix.shape[:2]
        classes = suffix.shape[1]
        self._check_length(n_prefix + int(eot_index.max()) + 1)
        shared = self._prefix_keys_values(prefix, deep_prompts)
        chunks = list(self._chunks(groups, eot_index, max_bytes))
        recompute = len(chunks) > 1 and torch.is_grad_enabled()
        rows = []
        for images, picked in chunks:
            length = int(eot_index[picked].max()) + 1
            own = suffix if len(suffix) == 1 else suffix[images]
            own = own[:, picked, :length].expand(images.stop - images.start, -1, -1, -1)
            keys_values = [part[images] for pair in shared for part in pair]
            arguments = (own, eot_index[picked], n_prefix, *keys_values)
            if recompute:
                rows.append(checkpoint(self._encode_suffixes, *arguments, use_reentrant=False))
            else:
                rows.append(self._encode_suffixes(*arguments))
        return _join_chunks(rows, chunks, groups, classes)

    def _prefix_keys_values(self, prefix: Tensor, deep: Sequence[Tensor]) -> list[KeyValue]:
        """Return the keys and values of the prefix in every layer."""
        x = prefix + self.positional_embedding[: prefix.shape[1]]
        shared = []
        for index, block in enumerate(self.blocks):
            if 0 < index <= len(deep):
                states = deep[index - 1].expand(len(x), -1, -1).to(x.dtype)  # [G, M, W]
                x = torch.cat([x[:, :1], states, x[:, 1 + states.shape[1] :]], dim=1)
            x, keys_values = block(x, causal=True)
            shared.append(keys_values)
        return shared

    def _encode_suffixes(
        self, suffix: Tensor, eot_index: Tensor, n_prefix: int, *keys_values: Tensor
    ) -> Tensor:
        """Return projected EOT states of one chunk, [g, c, D]; its suffix is [g, c, S, W]."""
        groups, classes, length = suffix.shape[:3]
        positions = self.positional_embedding[n_prefix : n_prefix + length]
        x = (suffix + positions).flatten(0, 1)  # [g * c, S, W]
        shared = [KeyValue(*pair) for pair in zip(keys_values[::2], keys_values[1::2], strict=True)]
        for block, prefix in zip(self.blocks[:-1], shared[:-1], strict=True):
            x = block.extend(x, prefix)
        read = self.blocks[-1].read(x, eot_index.repeat(groups), shared[-1])
        return self._project(read).unflatten(0, (groups, classes))

    def _chunks(
        self, groups: int, eot_index: Tensor, max_bytes: int
    ) -> Iterator[tuple[slice, Tensor]]:
        """Cut groups x classes into pieces within the budget; long names are put together."""
        order = eot_index.argsort(stable=True)
        lengths = (eot_index[order] + 1).tolist()
        kept = self.config.layers if torch.is_grad_enabled() else 1
        token_bytes = 4 * KEPT_PER_TOKEN * self.config.width * kept
        if groups * len(lengths) * lengths[-1] * token_bytes <= max_bytes:
            yield slice(0, groups), torch.arange(len(order), device=order.device)
            return
        n_tokens = max(max_bytes // token_bytes, 1)
        n_images = max(1, min(groups, n_tokens // sum(lengths)))
        start = 0
        while start < len(lengths):
            stop = start + 1
            while stop < len(lengths) and (stop + 1 - start) * n_images * lengths[stop] <= n_tokens:
                stop += 1
            for image in range(0, groups, n_images):
                yield slice(image, min(image + n_images, groups)), order[start:stop]
            start = stop

    def _project(self, states: Tensor) -> Tensor:
        projected: Tensor = self.ln_final(states) @ self.projection
        return projected

    def _check_length(self, length: int) -> None:
        if length > self.config.context_length:
            raise PromptTooLongError(
                f"a prompt needs {length} tokens; the text encoder holds "
                f"{self.config.context_length}. Use a shorter class name or fewer context tokens."
            )


def _join_chunks(
    rows: Sequence[Tensor], chunks: Sequence[tuple[slice, Tensor]], groups: int, classes: int
) -> Tensor:
    """Put the chunks' [g, c, D] back to [G, C, D] in the order of images and classes."""
    if len(rows) == 1:
        return rows[0]
    flat = torch.cat([row.flatten(0, 1) for row in rows])  # [G * C, D], in the chunks' order
    device = flat.device
    where = [
        (torch.arange(images.start, images.stop, device=device)[:, None] * classes + picked).ravel()
        for images, picked in chunks
    ]
    return flat[torch.cat(where).argsort()].unflatten(0, (groups, classes))
