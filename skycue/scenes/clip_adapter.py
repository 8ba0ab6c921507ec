"""CLIP-Adapter: a small network behind a frozen encoder, mixed with what the encoder gave.

An independent implementation of Gao et al., "CLIP-Adapter: Better Vision-Language Models with
Feature Adapters", IJCV 2024, https://arxiv.org/abs/2110.04544, section 3.2.

The released code has a second ReLU behind the adapter, so that it can only raise coordinates; the
paper's formula, our default, has none, and `last_relu` brings it back. The release adapts
embeddings before they get unit length, we after: layers without biases scale with what they read,
so both give the same logits and the same gradients.
"""

from collections.abc import Sequence
from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.scenes.base import ImageInputs, SharedClassMethod
from skycue.scenes.frozen_text import FrozenText, TemplateConfig


class ClipAdapterConfig(TemplateConfig):
    """Options of CLIP-Adapter, under `method:` in a configuration."""

    name: Literal["clip-adapter"] = "clip-adapter"
    image_ratio: float = Field(default=0.2, ge=0, le=1)
    """Share of the adapter in image embeddings, alpha; at 0 there is none."""
    text_ratio: float = Field(default=0.0, ge=0, le=1)
    """Share of the adapter in class embeddings, beta; at 0, as released, there is none."""
    reduction: int = Field(default=4, ge=1)
    """The adapter's hidden width is the shared width over this."""
    last_relu: bool = False
    """A second ReLU behind the adapter, as released."""
    init: Literal["released", "zero"] = "released"
    """Start of the adapter's last layer: PyTorch's default as released, which moves zero-shot
    predictions a little, or zero, which leaves them and learns more slowly."""

    @model_validator(mode="after")
    def _can_learn(self) -> Self:
        if self.image_ratio == self.text_ratio == 0:
            raise ValueError("image_ratio and text_ratio cannot both be 0; use zero-shot instead")
        if self.last_relu and self.init == "zero":
            raise ValueError(
                "last_relu passes no gradient to a last layer of zeros: use init: released"
            )
        return self


class ClipAdapter(SharedClassMethod):
    """Embeddings mixed with what a bottleneck of two layers makes of them."""

    def __init__(self, clip: Clip, config: ClipAdapterConfig) -> None:
        super().__init__(clip)
        width = clip.config.embed_dim
        if width < config.reduction:
            raise ConfigError(f"reduction {config.reduction} exceeds the shared width {width}.")
        self.config = config
        self._text = FrozenText(clip, config.template)
        if config.image_ratio:
            self.image_adapter = _bottleneck(width, config)
        if config.text_ratio:
            self.text_adapter = _bottleneck(width, config)

    def image_embeddings(self, inputs: ImageInputs) -> Tensor:
        """Return f* = alpha A_v(f) + (1 - alpha) f, brought to unit length, [B, D]."""
        embeddings = inputs.require("embedding")
        if not self.config.image_ratio:
            return embeddings
        return _mix(self.image_adapter(embeddings), embeddings, self.config.image_ratio)

    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Return W* = beta A_t(W) + (1 - beta) W, brought to unit length, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """
        frozen = self._text.class_embeddings(class_names)
        if not self.config.text_ratio:
            return frozen
        return _mix(self.text_adapter(frozen), frozen, self.config.text_ratio)


def _bottleneck(width: int, config: ClipAdapterConfig) -> nn.Sequential:
    """Return A(f) = W_2 ReLU(W_1 f), of width D."""
    hidden = width // config.reduction
    first = nn.Linear(width, hidden, bias=False)
    last = nn.Linear(hidden, width, bias=False)
    if config.init == "zero":
        nn.init.zeros_(last.weight)
    layers = (first, nn.ReLU(), last)
    return nn.Sequential(*layers, nn.ReLU()) if config.last_relu else nn.Sequential(*layers)


def _mix(adapted: Tensor, original: Tensor, share: float) -> Tensor:
    return F.normalize(share * adapted + (1 - share) * original, dim=-1)
