"""APPLeNet: a context shifted by visual tokens of all depths of the image tower.

An independent implementation of Singha et al., "APPLeNet: Visual Attention Parameterized Prompt
Learning for Few-Shot Remote Sensing Image Generalization using CLIP", CVPRW 2023,
https://arxiv.org/abs/2304.05995, from its figure and the authors' released code. By default it
differs from the release: each context token has a visual token of its own, as in the figure
(released: one for all); tokens are kept apart by their cosines (released: log10 of a negative
determinant, which is no number where the determinant is positive); and training starts from the
template. `variant`, `redundancy` and `init` bring the release back.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.scenes.base import ImageInputs, Need, PromptMethod
from skycue.scenes.context import encode_with_context, initial_context
from skycue.scenes.visual_tokens import (
    VisualTokenConfig,
    VisualTokens,
    mean_determinant,
    mean_squared_cosine,
)

LEAST_PENALTY = 1e-6
"""Below this, and where the determinant has the wrong sign, the released penalty gives no
gradient; the release takes the logarithm all the same."""


class APPLeNetConfig(VisualTokenConfig):
    """Options of APPLeNet, under `method:` in a configuration."""

    name: Literal["applenet"] = "applenet"


class APPLeNet(PromptMethod):
    """Context tokens c_m + v_m(x), with v_m of content at all depths and of style."""

    needs: frozenset[Need] = frozenset({"embedding", "moments"})

    def __init__(self, clip: Clip, config: APPLeNetConfig) -> None:
        super().__init__(clip)
        self.config = config
        self.context = nn.Parameter(initial_context(clip, config))  # [M, W]
        self.visual_tokens = VisualTokens(clip.config, len(self.context), config)

    def contexts(self, inputs: ImageInputs) -> Tensor:
        """Return c_m + v_m(x), [B, M, W]."""
        scales = self.visual_tokens.scales(inputs.require("moments"))
        shifts: Tensor = self.visual_tokens(scales, inputs.require("embedding"))
        return self.context + shifts

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity over temperature, [B, C]."""
        return self._logits(self.contexts(inputs), inputs, class_names)

    def loss(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return cross-entropy plus the weighted penalty on redundant context tokens, a scalar."""
        contexts = self.contexts(inputs)
        logits = self._logits(contexts, inputs, class_names)
        penalty = self.config.redundancy_weight * self.redundancy(contexts)
        return self.classification_loss(logits, labels) + penalty

    def redundancy(self, contexts: Tensor) -> Tensor:
        """Return the penalty of context tokens [B, M, W], a scalar.

        Either the mean squared cosine between tokens of an image, or log10(-mean det(C C^T - I)).
        """
        if self.config.redundancy == "cosine":
            return mean_squared_cosine(contexts)
        return torch.log10((-mean_determinant(contexts)).clamp(min=LEAST_PENALTY))

    def _logits(self, contexts: Tensor, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        classes = encode_with_context(self.clip, contexts, class_names, self.config)  # [B, C, D]
        return self.cosine_logits(inputs.require("embedding"), classes)
