"""ProGrad: CoOp that learns only what does not contradict zero-shot CLIP.

An independent implementation of Zhu et al., "Prompt-aligned Gradient for Prompt Tuning", ICCV 2023,
https://arxiv.org/abs/2205.14865, section 3.2. Where the gradient of the classification loss would
raise the distance from the zero-shot predictions, its part along that distance's gradient is
taken off. The rule holds for each parameter tensor by itself, as in the released code; here that
is one, the context.

Differs from the release: the context starts from the words "a photo of a" alone, the setting in
which CoOp and its heirs are compared; with `n_ctx: 16`, the release's number, the tokens before the
words start from noise (released: zeros, `init: released`). The zero-shot predictions are those of
our ensemble of templates for aerial images (released: one template for each dataset, such as
`template: "a centered satellite photo of {}."`).
"""

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.scenes.base import ImageInputs
from skycue.scenes.context import ContextConfig
from skycue.scenes.coop import CoOp
from skycue.scenes.frozen_text import FrozenText, TemplateConfig


class ProGradConfig(ContextConfig, TemplateConfig):
    """Options of ProGrad, under `method:` in a configuration."""

    name: Literal["prograd"] = "prograd"
    strength: float = Field(default=1.0, ge=0)
    """Share of the contradicting part that is taken off, lambda; 0 is CoOp."""
    temperature: float = Field(default=1.0, gt=0)
    """Both predictions are compared after their logits were divided by this, T."""
    init: Literal["noise", "released"] = "noise"
    """Start of the context tokens before `init_words`: noise, or zeros as released."""

    @model_validator(mode="after")
    def _zeros_stand_before_words(self) -> Self:
        if self.init == "released" and self.n_ctx is None:
            raise ValueError(
                "init: released is of tokens before init_words: say by n_ctx how many there are "
                "in all, such as 16"
            )
        return self


class ProGrad(CoOp):
    """Context tokens whose gradient is projected so that it keeps general knowledge."""

    def __init__(self, clip: Clip, config: ProGradConfig) -> None:
        super().__init__(clip, config)
        self.strength, self.temperature = config.strength, config.temperature
        if config.init == "released":
            n_words = clip.tokenizer.count(config.init_words)
            self.context.data[: len(self.context) - n_words] = 0
        self._templates = FrozenText(clip, config.template)

    def general_loss(self, logits: Tensor, zero_shot_logits: Tensor) -> Tensor:
        """Return L_kl, the cross-entropy of predictions under those of zero-shot CLIP, a scalar.

        It is the Kullback-Leibler divergence (section 3.2) but for a constant, times T^2. Where
        images show several classes it is still that of the softmax, CLIP's odds between classes.

        Args:
            logits: Of the learned prompts, [B, C].
            zero_shot_logits: Of the templates, [B, C].
        """
        t = self.temperature
        expected = (zero_shot_logits / t).softmax(dim=-1)
        return -t * t * (expected * (logits / t).log_softmax(dim=-1)).sum(dim=-1).mean()

    def loss(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return a scalar of the value L_ce whose gradient is G_prograd of this batch.

        The training loop needs to know nothing of the rule. Where it adds up the gradients of
        several batches a step (`train.accumulate`), each batch's is projected by itself and the
        step goes along their mean, which may still point against the mean of the general gradients;
        the rule holds for a step as a whole only with one batch a step, as published.
        """
        embeddings = self.image_embeddings(inputs)
        logits = self.cosine_logits(embeddings, self.class_embeddings(class_names))
        templates = self._templates.class_embeddings(class_names)
        own = self.classification_loss(logits, labels)
        general = self.general_loss(logits, self.cosine_logits(embeddings, templates))
        parameters = list(self.learned_parameters().values())
        of_own = torch.autograd.grad(own, parameters, retain_graph=True)
        of_general = torch.autograd.grad(general, parameters)
        surrogate = own.detach()
        for parameter, g_own, g_general in zip(parameters, of_own, of_general, strict=True):
            gradient = projected(g_own, g_general, self.strength)
            surrogate = surrogate + (gradient * (parameter - parameter.detach())).sum()
        return surrogate


def projected(own: Tensor, general: Tensor, strength: float) -> Tensor:
    """Return G_prograd: G_d, or where it contradicts G_g, G_d - lambda (G_d.G_g / |G_g|^2) G_g.

    Args:
        own: Gradient of the classification loss, G_d, of any shape.
        general: Gradient of the loss against zero-shot CLIP, G_g, of the same shape.
        strength: lambda, at least 0.
    """
    contradiction = (own * general).sum().clamp(max=0)  # 0 where the angle is at most 90 degrees
    length = general.square().sum().clamp(min=torch.finfo(general.dtype).tiny)
    return own - strength * contradiction / length * general
