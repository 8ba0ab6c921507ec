"""CoCoOp: a context that shifts with the image.

Zhou et al., "Conditional Prompt Learning for Vision-Language Models", CVPR 2022,
https://arxiv.org/abs/2203.05557, section 3.2. The meta-net reads the normalised image embedding.
Unlike the published start, its last layer starts at zero, so that training starts from the
template; `init: released` gives the published start.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.context import ContextConfig, encode_with_context, initial_context

REDUCTION = 16
"""The meta-net's hidden width is the shared width over this (section 4, "Training details")."""


class CoCoOpConfig(ContextConfig):
    """Options of CoCoOp, under `method:` in a configuration."""

    name: Literal["cocoop"] = "cocoop"
    hidden: int | None = Field(default=None, ge=1)
    """Hidden width of the meta-net; not given, a sixteenth of the shared width as published."""
    init: Literal["zero", "released"] = "zero"
    """Start of the meta-net's last layer: zero, or PyTorch's default as published."""


class CoCoOp(PromptMethod):
    """Context tokens v_m plus one shift pi = h(x) for all of them."""

    def __init__(self, clip: Clip, config: CoCoOpConfig) -> None:
        super().__init__(clip)
        self.config = config
        self.context = nn.Parameter(initial_context(clip, config))  # [M, W]
        shared = clip.config.embed_dim
        hidden = config.hidden or max(shared // REDUCTION, 1)
        last = nn.Linear(hidden, clip.config.text.width)
        if config.init == "zero":
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.meta_net = nn.Sequential(nn.Linear(shared, hidden), nn.ReLU(), last)

    def contexts(self, embedding: Tensor) -> Tensor:
        """Return v_m(x) = v_m + h(x), [B, M, W], for image embeddings [B, D]."""
        shift: Tensor = self.meta_net(embedding)  # [B, W]
        return self.context + shift[:, None]

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity over temperature (eq. 5 before its softmax), [B, C]."""
        embedding = inputs.require("embedding")
        contexts = self.contexts(embedding)
        classes = encode_with_context(self.clip, contexts, class_names, self.config)  # [B, C, D]
        return self.cosine_logits(embedding, classes)
