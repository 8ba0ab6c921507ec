"""Token after token from a causal language model, with what was read kept.

A step of a small language model is mostly bookkeeping: masks that hide nothing from a single new
token, caches that grow by copying, hooks that nobody set. For models of the Llama kind the step is
therefore written out here (`LlamaDecoding`); it has the same states as that of `transformers`,
which takes all other models (`CachedDecoding`).
"""

from typing import TYPE_CHECKING, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import LlamaModel
    from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer

FIXED_ROTATIONS = frozenset({"default", "linear", "llama3", "yarn"})
"""Kinds of rotary positions whose angles do not depend on how long the text has become."""


class Decoding(Protocol):
    """A text that is being written, for R rows at once.

    Attributes:
        states: Last-layer states of the newest position, [R, W].
    """

    states: Tensor

    def advance(self, embedded: Tensor) -> None:
        """Read one more token of each row, given as its token embedding, [R, W]."""


def start_decoding(model: nn.Module, prompts: Tensor, limit: int, *, keep: bool = True) -> Decoding:
    """Read prompts.

    Args:
        model: A causal language model without its head.
        prompts: Token embeddings, [R, P, W].
        limit: Most tokens that will be read after them.
        keep: Keep keys and values; without, all is read again for each token.
    """
    if not keep:
        return UncachedDecoding(model, prompts)
    if is_plain_llama(model):
        return LlamaDecoding(cast("LlamaModel", model), prompts, limit)
    return CachedDecoding(model, prompts)


def is_plain_llama(model: nn.Module) -> bool:
    """Say whether `LlamaDecoding` knows the layers of a model; those with LoRA inside count too."""
    from transformers import LlamaModel

    if type(model) is not LlamaModel:
        return False
    rope: dict[str, object] = getattr(model.config, "rope_parameters", None) or {}
    return rope.get("rope_type", "default") in FIXED_ROTATIONS


class UncachedDecoding:
    """Reads everything again for each token."""

    def __init__(self, model: nn.Module, prompts: Tensor) -> None:
        self._model, self._read = model, prompts
        self.states = self._decode()

    def advance(self, embedded: Tensor) -> None:
        """Read one more token of each row, [R, W]."""
        self._read = torch.cat([self._read, embedded[:, None]], dim=1)
        self.states = self._decode()

    def _decode(self) -> Tensor:
        output = self._model(inputs_embeds=self._read, use_cache=False)
        return cast("Tensor", output.last_hidden_state[:, -1])


class CachedDecoding:
    """Leaves keys and values to `transformers`."""

    def __init__(self, model: nn.Module, prompts: Tensor) -> None:
        from transformers import DynamicCache

        self._model, self._cache = model, DynamicCache()
        self.states = self._decode(prompts)

    def advance(self, embedded: Tensor) -> None:
        """Read one more token of each row, [R, W]."""
        self.states = self._decode(embedded[:, None])

    def _decode(self, embedded: Tensor) -> Tensor:
        output = self._model(inputs_embeds=embedded, use_cache=True, past_key_values=self._cache)
        return cast("Tensor", output.last_hidden_state[:, -1])


class LlamaDecoding:
    """A Llama, one token at a time.

    The layers are those of `transformers`; only their order of work is written out. Touvron et al.,
    "LLaMA: Open and Efficient Foundation Language Models", 2023, https://arxiv.org/abs/2302.13971
    (section 2.2); heads that share keys: Ainslie et al., https://arxiv.org/abs/2305.13245.
    """

    def __init__(self, model: "LlamaModel", prompts: Tensor, limit: int) -> None:
        from transformers import DynamicCache

        cache = DynamicCache()
        output = model(inputs_embeds=prompts, use_cache=True, past_key_values=cache)
        self.states: Tensor = output.last_hidden_state[:, -1]
        self._layers = cast("list[LlamaDecoderLayer]", list(model.layers))
        self._last_norm = model.norm
        self._n_read = n_prompt = prompts.shape[1]
        places = torch.arange(n_prompt, n_prompt + limit, device=prompts.device)
        cos, sin = model.rotary_emb(prompts, position_ids=places[None])  # [1, limit, d] each
        half = cos.shape[-1] // 2
        self._angles = list(
            zip(cos[0], torch.cat([-sin[0, :, :half], sin[0, :, half:]], -1), strict=True)
        )
        self._kept = [_Kept(layer, limit) for layer in cache.layers]
        self._start = n_prompt

    def advance(self, embedded: Tensor) -> None:
        """Read one more token of each row, [R, W]."""
        angle = self._angles[self._n_read - self._start]
        self._n_read += 1
        x = embedded
        for layer, kept in zip(self._layers, self._kept, strict=True):
            x = x + self._attend(layer.self_attn, _norm(layer.input_layernorm, x), kept, angle)
            x = x + layer.mlp(_norm(layer.post_attention_layernorm, x))
        self.states = _norm(self._last_norm, x)

    def _attend(
        self, attention: "LlamaAttention", x: Tensor, kept: "_Kept", angle: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Let the new token look at all tokens up to itself, [R, W]."""
        rows, n_kv, _, head_width = kept.keys.shape
        # The new token is the last: nothing is hidden from it, so heads that share keys are rows.
        query = _rotate(attention.q_proj(x).view(rows, n_kv, -1, head_width), *angle)
        key = _rotate(attention.k_proj(x).view(rows, n_kv, head_width), *angle)
        kept.keys[:, :, self._n_read - 1] = key
        kept.values[:, :, self._n_read - 1] = attention.v_proj(x).view(rows, n_kv, head_width)
        found = F.scaled_dot_product_attention(
            query.to(kept.keys.dtype),
            kept.keys[:, :, : self._n_read],
            kept.values[:, :, : self._n_read],
        )  # [R, kv heads, heads a kv head, d]
        output: Tensor = attention.o_proj(found.reshape(rows, -1))
        return output


class _Kept:
    """Keys and values of a layer, with room for what comes: [R, kv heads, P + limit, d]."""

    def __init__(self, read: object, limit: int) -> None:
        room = (0, 0, 0, limit)
        self.keys, self.values = (F.pad(getattr(read, name), room) for name in ("keys", "values"))


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a root mean square norm."""
    weight = cast("Tensor", norm.weight)
    return F.rms_norm(x, weight.shape, weight, cast("float", norm.variance_epsilon))


def _rotate(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """Turn pairs (i, i + d / 2) of [..., d] by the angles of a position (RoFormer, equation 34)."""
    return x * cos + x.roll(x.shape[-1] // 2, dims=-1) * signed_sin
