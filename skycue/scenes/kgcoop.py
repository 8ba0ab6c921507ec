"""KgCoOp: CoOp held near the class embeddings of hand-written templates.

An independent implementation of Yao, Zhang and Xu, "Visual-Language Prompt Tuning with
Knowledge-guided Context Optimization", CVPR 2023, https://arxiv.org/abs/2303.13283, section 3.2.
The paper's L_kg is the mean squared distance between learned and template embeddings, the released
code's one minus their mean cosine. Embeddings have unit length, so the first is twice the second:
we compute the second, with the release's weight, and the paper's formula is `weight: 16`. The
templates are our ensemble for aerial images (released: one template for each dataset, such as
`template: "a centered satellite photo of {}."`).
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.scenes.base import ImageInputs
from skycue.scenes.context import ContextConfig
from skycue.scenes.coop import CoOp
from skycue.scenes.frozen_text import FrozenText, TemplateConfig


class KgCoOpConfig(ContextConfig, TemplateConfig):
    """Options of KgCoOp, under `method:` in a configuration."""

    name: Literal["kgcoop"] = "kgcoop"
    weight: float = Field(default=8.0, ge=0)
    """Factor on the distance from the templates' class embeddings, lambda; 0 is CoOp."""


class KgCoOp(CoOp):
    """Context tokens whose class embeddings stay near those of the templates."""

    def __init__(self, clip: Clip, config: KgCoOpConfig) -> None:
        super().__init__(clip, config)
        self.weight = config.weight
        self._templates = FrozenText(clip, config.template)

    def distance(self, class_embeddings: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return 1 - mean_i cos(w_i, w_i^clip), a scalar in [0, 2].

        Args:
            class_embeddings: Of the learned prompts, unit length, [C, D].
            class_names: The C classes that they belong to.
        """
        frozen = self._templates.class_embeddings(class_names)  # [C, D]
        return 1 - (class_embeddings * frozen).sum(dim=-1).mean()

    def loss(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return L = L_ce + lambda L_kg, a scalar; the prompts are encoded once for both."""
        classes = self.class_embeddings(class_names)
        logits = self.cosine_logits(self.image_embeddings(inputs), classes)
        distance = self.distance(classes, class_names)
        return self.classification_loss(logits, labels) + self.weight * distance
