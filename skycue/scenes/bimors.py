"""BiMoRS: a context conditioned on the image's caption and CLIP's visual tokens by cross-attention.

An independent implementation of Kashyap, Singha and Banerjee, "Bi-Modal Textual Prompt Learning for
Vision-Language Models in Remote Sensing", ICASSP 2026, https://arxiv.org/abs/2601.20675. The
network is the one of the authors' released code, since the paper's equations were not at hand. By
default it differs from the release in two ways: the caption projection is trained (released: random
and frozen), and the attention's output projection starts at zero, so that training starts from
the template (released: PyTorch's default). `init` and `caption_projection` bring both back.
"""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.errors import ConfigError
from skycue.scenes.base import ImageInputs, Need, PromptMethod
from skycue.scenes.context import ContextConfig, encode_with_context, initial_context

BERT_WIDTH = 768
"""Width of bert-base-uncased, the sentence encoder of the release."""
REDUCTION = 16
"""The bottleneck's hidden width is the image tower's width over this (released: 768 to 48)."""


class BiMoRSConfig(ContextConfig):
    """Options of BiMoRS, under `method:` in a configuration."""

    name: Literal["bimors"] = "bimors"
    heads: int = Field(default=4, ge=1)
    """Heads of the cross-attention; divides the text width."""
    bottleneck: int | None = Field(default=None, ge=1)
    """Hidden width of the visual bottleneck; not given, a sixteenth of the image width."""
    caption_width: int = Field(default=BERT_WIDTH, ge=1)
    """Width of the caption vectors, S; `fit` sets it from the sentence encoder."""
    use_caption: bool = True
    """Give the attention the caption token."""
    use_visual: bool = True
    """Give the attention the visual token."""
    caption_projection: Literal["trained", "frozen"] = "trained"
    """Train the caption projection, or keep it random as released. It is saved either way."""
    init: Literal["zero", "released"] = "zero"
    """Start of the attention's output projection: zero, or PyTorch's default as released."""

    @property
    def needs(self) -> frozenset[Need]:
        """Fields of `ImageInputs` that are read: not what is switched off."""
        conditions: dict[Need, bool] = {"tokens": self.use_visual, "caption": self.use_caption}
        return frozenset({"embedding", *(field for field, used in conditions.items() if used)})

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        if not (self.use_caption or self.use_visual):
            raise ValueError("use_caption and use_visual cannot both be false; use coop instead")
        return self


class BiMoRS(PromptMethod):
    """Context tokens that attend to one visual token and one caption token of the image."""

    needs: frozenset[Need] = frozenset({"embedding", "tokens", "caption"})

    def __init__(self, clip: Clip, config: BiMoRSConfig) -> None:
        super().__init__(clip)
        width = clip.config.text.width
        if width % config.heads:
            raise ConfigError(f"heads {config.heads} must divide the text width {width}.")
        self.needs = config.needs
        self.config = config
        self.context = nn.Parameter(initial_context(clip, config))  # [M, W]
        if config.use_visual:
            image_width = clip.config.image.width
            hidden = config.bottleneck or max(image_width // REDUCTION, 1)
            self.reduce = nn.Linear(image_width, hidden)
            self.expand = nn.Linear(hidden, width)
        if config.use_caption:
            self.caption_projection = nn.Linear(config.caption_width, width)
            self.caption_projection.requires_grad_(config.caption_projection == "trained")
        self.ln_query = nn.LayerNorm(width)
        self.ln_key_value = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        if config.init == "zero":
            nn.init.zeros_(self.attention.out_proj.weight)
            nn.init.zeros_(self.attention.out_proj.bias)

    @classmethod
    def needs_with(cls, config: Config) -> frozenset[Need]:
        """Return what is read under a configuration: not what is switched off."""
        assert isinstance(config, BiMoRSConfig)
        return config.needs

    def visual_token(self, tokens: Tensor) -> Tensor:
        """Pass every token through the bottleneck and average, [B, 1, W] (steps f and g).

        The last linear map commutes with the mean, so it is applied once an image.

        Args:
            tokens: Class token and patch tokens after the last block, [B, 1+N, V].
        """
        averaged = self.reduce(tokens).relu().mean(dim=1, keepdim=True)  # [B, 1, hidden]
        expanded: Tensor = self.expand(averaged)
        return expanded

    def contexts(self, inputs: ImageInputs) -> Tensor:
        """Return P = ctx + MHA(LN(ctx), LN([v; t]), LN([v; t])), [B, M, W] (steps d to j)."""
        pieces = []
        if self.config.use_visual:
            pieces.append(self.visual_token(inputs.require("tokens")))
        if self.config.use_caption:
            pieces.append(self.caption_projection(inputs.require("caption"))[:, None])
        key_value = self.ln_key_value(torch.cat(pieces, dim=1))  # [B, 1 or 2, W]
        context = self.context.expand(len(key_value), -1, -1)  # [B, M, W]
        query = self.ln_query(context)
        update, _ = self.attention(query, key_value, key_value, need_weights=False)
        contexts: Tensor = context + update
        return contexts

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity over temperature, [B, C] (steps k to m)."""
        contexts = self.contexts(inputs)
        classes = encode_with_context(self.clip, contexts, class_names, self.config)  # [B, C, D]
        return self.cosine_logits(inputs.require("embedding"), classes)
