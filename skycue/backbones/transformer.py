"""The pre-norm transformer block of CLIP's two towers.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 2.4, https://arxiv.org/abs/2103.00020.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["quick_gelu", "gelu"]

QUICK_GELU_SLOPE = 1.702
"""Slope of the sigmoid that stands for GELU in OpenAI's CLIP."""


class Attention(nn.Module):
    """Multi-head self-attention; queries, keys and values come from one stacked projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)  # [B, heads, L, d]

    def _join(self, mixed: Tensor) -> Tensor:
        states: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return states  # [B, L, W]

    def forward(self, x: Tensor, *, causal: bool = False, seen: Tensor | None = None) -> Tensor:
        """Attend within each sequence.

        Args:
            x: States, [B, L, W].
            causal: Let a position see only itself and what precedes it.
            seen: Which positions each one sees, in place of `causal`, bool [B or 1, L, L].

        Returns:
            New states, [B, L, W].
        """
        q, k, v = (self._split(part) for part in self.in_proj(x).chunk(3, dim=-1))
        mask = None if seen is None else seen[:, None]
        return self._join(F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal))

    def read(self, x: Tensor, asking: Tensor, seen: Tensor | None) -> Tensor:
        """Attend from a few positions of each sequence only.

        Args:
            x: States, [B, L, W].
            asking: The positions that ask, [B, A].
            seen: Which positions each of them sees, bool [B, A, L]; None for all.

        Returns:
            New states of those positions, [B, A, W].
        """
        width = x.shape[-1]
        weight, bias = self.in_proj.weight, self.in_proj.bias
        q = self._split(F.linear(pick(x, asking), weight[:width], bias[:width]))
        keys_values = F.linear(x, weight[width:], bias[width:]).chunk(2, dim=-1)
        k, v = (self._split(part) for part in keys_values)
        mask = None if seen is None else seen[:, None]
        return self._join(F.scaled_dot_product_attention(q, k, v, mask))


def pick(x: Tensor, positions: Tensor) -> Tensor:
    """Return the states at some positions of each sequence, [B, A, W] of x [B, L, W]."""
    return x[torch.arange(x.shape[0], device=x.device)[:, None], positions]


class Mlp(nn.Module):
    """Two linear layers with the activation between them."""

    def __init__(self, width: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.fc = nn.Linear(width, hidden)
        self.activation = activation
        self.proj = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return new states, [..., W]."""
        if self.activation == "gelu":
            states: Tensor = self.proj(F.gelu(self.fc(x)))
            return states
        # Quick GELU, x sigmoid(s x) = silu(s x) / s, with both factors in the matrix products.
        slope, rows = QUICK_GELU_SLOPE, x.flatten(0, -2)
        scaled = torch.addmm(self.fc.bias, rows, self.fc.weight.T, beta=slope, alpha=slope)
        out = torch.addmm(self.proj.bias, F.silu(scaled), self.proj.weight.T, alpha=1 / slope)
        return out.view(x.shape)


class Block(nn.Module):
    """Attention and MLP, each after a layer norm and added to the states."""

    def __init__(
        self, width: int, heads: int, mlp_ratio: float, activation: Activation, eps: float
    ) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, round(width * mlp_ratio), activation)

    def _after_attention(self, x: Tensor) -> Tensor:
        states: Tensor = x + self.mlp(self.ln_2(x))
        return states

    def forward(self, x: Tensor, *, causal: bool = False, seen: Tensor | None = None) -> Tensor:
        """Return new states, [B, L, W]; the arguments are those of `Attention.forward`."""
        return self._after_attention(x + self.attention(self.ln_1(x), causal=causal, seen=seen))

    def read(self, x: Tensor, asking: Tensor, seen: Tensor | None) -> Tensor:
        """Return the new states of a few positions, [B, A, W]; see `Attention.read`.

        What a last layer needs: the other positions' queries and MLPs are never computed.
        """
        update = self.attention.read(self.ln_1(x), asking, seen)
        return self._after_attention(pick(x, asking) + update)
