"""PromptSRC: prompts in both towers, held close to what the frozen CLIP says.

An independent implementation of Khattak et al., "Self-regulating Prompts: Foundational Model
Adaptation without Forgetting", ICCV 2023, https://arxiv.org/abs/2307.06948, section 3.2. Its three
parts: losses that tie embeddings and logits to the frozen model (3.2.1, here), a mean of the
prompts over epochs (3.2.2, `train.epoch_average`), and many templates for the frozen class
embeddings (3.2.3, `template`). The distances are means over all numbers, as in the authors'
released code, where the paper writes sums; `distance: sum` takes those.

Two things differ from the release. Its 60 templates were made for photos of things; ours are for
aerial images. It averages embeddings of different lengths over the templates; we bring them to unit
length first, as CLIP's own ensembles do, and `template_mean: released` brings its way back. With
the three weights at 0 this is independent vision-language prompting (IVLP), which asks nothing of
the frozen model.
"""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.scenes.base import ImageInputs, Need
from skycue.scenes.deep import DeepContextConfig, DeepContextMethod, depths_of, noise_prompts
from skycue.scenes.frozen_text import FrozenText, TemplateConfig

PUBLISHED_DEPTH = 9
"""Blocks with prompts in the base-to-new comparison (section 4.1); 3 across datasets."""


class PromptSRCConfig(DeepContextConfig, TemplateConfig):
    """Options of PromptSRC, under `method:` in a configuration."""

    name: Literal["promptsrc"] = "promptsrc"
    n_ctx: int | None = Field(default=4, ge=1)
    """Learned tokens in each text block. Further words of `init_words` stay fixed behind them; of
    more tokens than words the first start from noise."""
    n_image_ctx: int = Field(default=4, ge=1)
    """Learned tokens in each image block."""
    text_weight: float = Field(default=25.0, ge=0)
    """Weight of the distance between class embeddings and frozen ones."""
    image_weight: float = Field(default=10.0, ge=0)
    """Weight of the distance between image embeddings and frozen ones."""
    logit_weight: float = Field(default=1.0, ge=0)
    """Weight of the divergence of the probabilities from frozen ones."""
    template_mean: Literal["unit", "released"] = "unit"
    """Average frozen class embeddings of unit length over templates, or as the tower gives them."""
    distance: Literal["mean", "sum"] = "mean"
    """Distances of embeddings as means over their D numbers and the divergence as a mean over the C
    classes, as released; or as sums over them, as in the paper, D and C times as large."""

    @property
    def needs(self) -> frozenset[Need]:
        """Fields of `ImageInputs` that are read: frozen embeddings only where something weighs."""
        weighs = self.text_weight or self.image_weight or self.logit_weight
        return frozenset({"patches", "embedding"} if weighs else {"patches"})


class PromptSRC(DeepContextMethod):
    """Text prompts and image prompts with no link but the loss."""

    def __init__(self, clip: Clip, config: PromptSRCConfig) -> None:
        depths = depths_of(clip, config.depth, published=PUBLISHED_DEPTH)
        super().__init__(clip, config, depths.text)
        self.needs, self.weights = config.needs, config
        self.image_prompts = noise_prompts(
            depths.image, config.n_image_ctx, clip.config.image.width
        )
        self._frozen_text = FrozenText(
            clip, config.template, unit_length=config.template_mean == "unit"
        )

    @classmethod
    def needs_with(cls, config: Config) -> frozenset[Need]:
        """Return what is read under a configuration."""
        assert isinstance(config, PromptSRCConfig)
        return config.needs

    def prompts_for_images(self) -> list[Tensor]:
        """Return the tokens of each image block with a prompt, [M, V] each."""
        return list(self.image_prompts)

    def loss(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return cross-entropy + 25 |g - g0| / D + 10 |f - f0| / D + KL(p0 || p) / C, a scalar.

        f and g are the image and class embeddings and p the probabilities; f0, g0 and p0 are those
        of the frozen CLIP. |.| sums over the D numbers of an embedding; each term is a mean over
        images or classes. `distance: sum` divides by neither D nor C. Where images show several
        classes the divergence is still that of the softmax, CLIP's odds between classes.
        """
        images, classes = self.image_embeddings(inputs), self.class_embeddings(class_names)
        logits = self.cosine_logits(images, classes)
        loss = self.classification_loss(logits, labels)
        if "embedding" not in self.needs:
            return loss
        frozen_images = inputs.require("embedding")
        frozen_classes = self._frozen_text.class_embeddings(class_names)
        frozen_logits = self.cosine_logits(frozen_images, frozen_classes)
        divergence = F.kl_div(
            logits.log_softmax(-1), frozen_logits.log_softmax(-1), log_target=True, reduction="sum"
        )
        weights, is_sum = self.weights, self.weights.distance == "sum"
        width = classes.shape[-1] if is_sum else 1
        return (
            loss
            + weights.text_weight * width * F.l1_loss(classes, frozen_classes)
            + weights.image_weight * width * F.l1_loss(images, frozen_images)
            + weights.logit_weight * divergence / (len(logits) if is_sum else logits.numel())
        )
