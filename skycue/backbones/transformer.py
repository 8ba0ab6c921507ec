"""The pre-norm transformer block of CLIP, with keys and values that can be shared.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4, https://arxiv.org/abs/2103.00020. Both towers use this block; the text tower also
continues a prefix whose keys and values were computed once (`KeyValue`).
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["quick_gelu", "gelu"]

QUICK_GELU_SLOPE = 1.702
"""Slope of the sigmoid that stands for GELU in OpenAI's CLIP."""


class KeyValue(NamedTuple):
    """Keys and values of a prefix, one entry of a layer.

    Attributes:
        key: [G, heads, K, d].
        value: [G, heads, K, d].
    """

    key: Tensor
    value: Tensor


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that OpenAI's CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x * sigmoid(1.702 x), any shape."""
        return x * torch.sigmoid(QUICK_GELU_SLOPE * x)


class Attention(nn.Module):
    """Multi-head self-attention; queries, keys and values come from one stacked projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, L, d]

    def forward(self, x: Tensor, *, causal: bool = False) -> tuple[Tensor, KeyValue]:
        """Attend within each sequence.

        Args:
            x: States, [B, L, W].
            causal: Let a position see only itself and what precedes it.

        Returns:
            New states [B, L, W], and the keys and values for whoever continues the sequence.
        """
        q, k, v = (self._split(part) for part in self.in_proj(x).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), KeyValue(k, v)

    def read(self, x: Tensor, position: Tensor, prefix: KeyValue | None) -> Tensor:
        """Attend from one position of each sequence only, causally.

        Args:
            x: States after the prefix, [G * C, S, W], images outermost.
            position: The position in S that asks, [G * C].
            prefix: Keys and values before `x`, shared by the C sequences of each of G groups.

        Returns:
            The new state at that position, [G * C, 1, W].
        """
        width = x.shape[-1]
        weight, bias = self.in_proj.weight, self.in_proj.bias
        asking = x[torch.arange(len(x), device=x.device), position].unsqueeze(1)  # [GC, 1, W]
        q = self._split(F.linear(asking, weight[:width], bias[:width]))
        keys_values = F.linear(x, weight[width:], bias[width:]).chunk(2, dim=-1)
        k, v = (self._split(part) for part in keys_values)
        seen = torch.arange(x.shape[1], device=x.device) <= position[:, None]  # [GC, S]
        mixed = _attend_after(q, KeyValue(k, v), prefix, seen[:, None, None])
        return self.out_proj(mixed.transpose(1, 2).flatten(2))

    def extend(self, x: Tensor, prefix: KeyValue) -> Tensor:
        """Attend from states that follow a shared prefix, causally.

        Args:
            x: States after the prefix, [G * C, S, W], images outermost.
            prefix: Keys and values of the prefix of each of the G groups.

        Returns:
            New states, [G * C, S, W].
        """
        q, k, v = (self._split(part) for part in self.in_proj(x).chunk(3, dim=-1))
        length = x.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mixed = _attend_after(q, KeyValue(k, v), prefix, seen)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def _attend_after(q: Tensor, own: KeyValue, prefix: KeyValue | None, seen: Tensor) -> Tensor:
    """Attend to a prefix shared within a group, and to the sequence's own keys.

    The prefix is never copied for each sequence: its scores are one matrix product a group.

    Args:
        q: Queries, [G * C, heads, Q, d].
        own: Keys and values of the sequences, [G * C, heads, S, d].
        prefix: Keys and values of the groups, [G, heads, K, d], or None.
        seen: Which own keys a query sees, broadcastable to [G * C, heads, Q, S].

    Returns:
        Mixed values, [G * C, heads, Q, d].
    """
    q = q * q.shape[-1] ** -0.5
    own_scores = (q @ own.key.transpose(-1, -2)).masked_fill(~seen, float("-inf"))
    if prefix is None:
        return own_scores.softmax(dim=-1) @ own.value
    groups, n_prefix = len(prefix.key), prefix.key.shape[2]
    sequences, heads, asked, d = q.shape
    grouped = q.view(groups, sequences // groups, heads, asked, d).transpose(1, 2).flatten(2, 3)
    scores = grouped @ prefix.key.transpose(-1, -2)  # [G, heads, C * Q, K]
    scores = scores.unflatten(2, (-1, asked)).transpose(1, 2).flatten(0, 1)  # [GC, heads, Q, K]
    attention = torch.cat([scores, own_scores], dim=-1).softmax(dim=-1)
    to_prefix, to_own = attention.split([n_prefix, attention.shape[-1] - n_prefix], dim=-1)
    to_prefix = to_prefix.unflatten(0, (groups, -1)).transpose(1, 2).flatten(2, 3)
    from_prefix = (to_prefix @ prefix.value).unflatten(2, (-1, asked))  # [G, heads, C, Q, d]
    return from_prefix.transpose(1, 2).flatten(0, 1) + to_own @ own.value


class Mlp(nn.Module):
    """Two linear layers with the activation between them."""

    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.fc = nn.Linear(width, hidden)
        self.activation = QuickGELU() if activation == "quick_gelu" else nn.GELU()
        self.proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return new states, [..., W]."""
        hidden: Tensor = self.proj(self.activation(self.fc(x)))
        return hidden


class Block(nn.Module):
    """Attention and MLP, each after a layer norm and added to the states."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, activation: Activation, eps: float
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, int(width * mlp_ratio), activation)

    def _after_attention(self, x: Tensor) -> Tensor:
        states: Tensor = x + self.mlp(self.ln_2(x))
        return states

    def forward(self, x: Tensor, *, causal: bool = False) -> tuple[Tensor, KeyValue]:
        """Return new states [B, L, W] and the keys and values of this layer."""
        update, keys_values = self.attention(self.ln_1(x), causal=causal)
        return self._after_attention(x + update), keys_values

    def extend(self, x: Tensor, prefix: KeyValue) -> Tensor:
        """Return new states of sequences that follow a shared prefix, [G * C, S, W]."""
        return self._after_attention(x + self.attention.extend(self.ln_1(x), prefix))

    def read(self, x: Tensor, position: Tensor, prefix: KeyValue | None = None) -> Tensor:
        """Return the new state of one position of each sequence, [G * C, W].

        What a last layer needs: the other positions' queries and MLPs are never computed.
        """
        update = self.attention.read(self.ln_1(x), position, prefix)  # [GC, 1, W]
        own = x[torch.arange(len(x), device=x.device), position].unsqueeze(1)
        return self._after_attention(own + update).squeeze(1)
