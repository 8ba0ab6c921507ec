"""CLIP's text tower, and its exact fast way to encode many prompts with a common beginning.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4, https://arxiv.org/abs/2103.00020. The tower is causal, so two savings change no value:
padding behind the end-of-text token (EOT) is never computed, and what precedes the class name is
computed once and serves every class (`TextTower.encode_prompts`).
"""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from skycue.backbones.packing import ROW_TOKENS, Rows, pack
from skycue.backbones.transformer import Activation, Block, pick
from skycue.errors import PromptTooLongError

DEFAULT_MAX_BYTES = 1 << 30
"""Activations that encoding may hold at once, where the caller does not say."""

KEPT_PER_TOKEN = 10
"""Activations of one token in one block, in widths, that the backward pass needs: the inputs of
both norms, queries, keys, values, what they mix to, and the input of the MLP's activation."""
PASSING_PER_TOKEN = 24
"""Further activations of one token, in widths, while a block is at work (measured)."""


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
            x = block(x, causal=True)
        seen = torch.arange(length, device=x.device) <= eot_index[:, None]  # [C, L]
        return self._project(self._last_block.read(x, eot_index[:, None], seen[:, None])[:, 0])

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
        self._check_length(n_prefix + int(eot_index.max()) + 1)
        budget = self._tokens_within(max_bytes)
        rows = pack(
            eot_index + 1,
            n_prefix=n_prefix,
            stride=suffix.shape[2],
            max_tokens=min(ROW_TOKENS, budget - n_prefix),
        )
        rows = Rows(*(index.to(prefix.device) for index in rows))
        n_rows, length = rows.position.shape
        numbers = torch.arange(groups * n_rows, device=prefix.device)
        chunks = torch.split(numbers, max(budget // length, 1))
        inputs = (rows, prefix, suffix, deep_prompts)
        states: list[Tensor] = []  # [rows of the chunk, A, D] each
        for chunk in chunks:
            if len(chunks) > 1 and torch.is_grad_enabled():
                recomputed = checkpoint(self._encode_rows, chunk, *inputs, use_reentrant=False)
                states.append(recomputed)
            else:
                states.append(self._encode_rows(chunk, *inputs))
        by_image = torch.cat(states).view(groups, rows.last.numel(), -1)  # [G, P * A, D]
        return by_image[:, rows.place]  # [G, C, D]

    def _encode_rows(
        self, chunk: Tensor, rows: Rows, prefix: Tensor, suffix: Tensor, deep: Sequence[Tensor]
    ) -> Tensor:
        """Return projected EOT states, [R, A, D], of R of the images' rows, numbered by `chunk`."""
        n_rows = len(rows.word)
        image, row = chunk // n_rows, chunk % n_rows  # [R]
        from_image = image if len(suffix) > 1 else torch.zeros_like(image)
        own = suffix.flatten(1, 2)[from_image[:, None], rows.word[row]]  # [R, T, W]
        x = torch.cat([prefix[image], own], dim=1) + self.positional_embedding[rows.position[row]]
        seen = rows.seen if n_rows == 1 else rows.seen[row]  # [R or 1, K + T, K + T]
        for index, block in enumerate(self.blocks[:-1]):
            x = block(self._with_deep_prompt(x, deep, index, image), seen=seen)
        x = self._with_deep_prompt(x, deep, len(self.blocks) - 1, image)
        asking = rows.last[row]  # [R, A]
        return self._project(self._last_block.read(x, asking, pick(rows.seen[row], asking)))

    @staticmethod
    def _with_deep_prompt(x: Tensor, deep: Sequence[Tensor], index: int, image: Tensor) -> Tensor:
        """Return the states that enter block `index`, with its deep prompt if it has one."""
        if not 0 < index <= len(deep):
            return x
        states = deep[index - 1].to(x.dtype)  # [M, W] or [G, M, W]
        states = states.expand(len(x), -1, -1) if states.dim() == 2 else states[image]
        return torch.cat([x[:, :1], states, x[:, 1 + states.shape[1] :]], dim=1)

    def _tokens_within(self, max_bytes: int) -> int:
        """Return how many tokens may be encoded at once."""
        kept = KEPT_PER_TOKEN * self.config.layers if torch.is_grad_enabled() else 0
        return max_bytes // (4 * self.config.width * (kept + PASSING_PER_TOKEN))

    @property
    def _last_block(self) -> Block:
        block = self.blocks[-1]
        assert isinstance(block, Block)
        return block

    def _project(self, states: Tensor) -> Tensor:
        projected: Tensor = self.ln_final(states) @ self.projection
        return projected

    def _check_length(self, length: int) -> None:
        if length > self.config.context_length:
            raise PromptTooLongError(
                f"a prompt needs {length} tokens; the text encoder holds "
                f"{self.config.context_length}. Use a shorter class name or fewer context tokens."
            )
