"""A global branch and a branch over image regions: for small objects, and several in an image.

Inspired by SSPA (arXiv 2407.20920, https://arxiv.org/abs/2407.20920), whose formulas are not
public: only its figure names the parts that are here. They are two learned contexts in front of the
class name, class descriptions as a second source of text, gated cross-attention between classes and
regions both ways, and a soft aggregation over regions. Ours are the formulas below; a region is a
patch token as CLIP's own head projects it; SSPA's quaternion layers and its class-aware prompts are
left out. Nothing said of SSPA holds for it.

    T = encode(context), T^r = encode(region context) + descriptions, of all classes, unit length
    T' = T^r + g attend(T^r, X), X' = X + g attend(X, T^r), with g = sigmoid(W [z; attend(z, .)])
    s_mc = cos(X'_m, T'_c) / temperature, and over regions r_c = sum_m softmax_m(s_mc / tau) s_mc
    loss = L(x T / temperature) + lambda L(r), and a logit is the mean of the two

The attention's output projections start at zero, so training starts from zero-shot CLIP.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.scenes.asymmetric import level_of
from skycue.scenes.base import ImageInputs, Need, PromptMethod
from skycue.scenes.context import ContextConfig, encode_with_context, initial_context
from skycue.scenes.frozen_text import FrozenText, checked_template


class RegionalConfig(ContextConfig):
    """Options of the region-aware method, under `method:` in a configuration."""

    name: Literal["regional"] = "regional"
    branches: Literal["global", "both"] = "both"
    """The global branch alone, which is CoOp, or the branch over regions beside it."""
    regions: Literal["patches", "mean"] = "patches"
    """What the region branch sees: every patch token, or one region that is their mean. The latter
    is a control: as many learned numbers, and nothing to look at apart."""
    descriptions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Sentences that describe a class, by its name as prompts read it; classes without any are
    described by the template."""
    template: str = "remote-sensing"
    """A named list of templates, or a template of one's own with {} for the class name."""
    attention_width: int = Field(default=64, ge=1)
    """Width of queries, keys and values."""
    tau: float = Field(default=1.0, gt=0)
    """Temperature of the aggregation: towards 0 the best region counts, towards infinity all."""
    region_weight: float = Field(default=1.0, gt=0)
    """Weight of the region branch in the loss, lambda."""

    _is_a_template = field_validator("template")(checked_template)

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> Self:
        if self.branches == "global" and (self.descriptions or self.regions != "patches"):
            raise ValueError(
                "branches: global reads no regions and no descriptions: leave out `regions` and "
                "`descriptions`, or take both branches"
            )
        return self


class GatedCrossAttention(nn.Module):
    """z + g attend(z, y), where a gate of z and of what it attends to says how much is taken.

    Args:
        dim: Width of z and y, D.
        width: Width of queries, keys and values.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, width)
        self.key = nn.Linear(dim, width)
        self.value = nn.Linear(dim, width)
        self.output = nn.Linear(width, dim)
        self.gate = nn.Linear(2 * dim, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Return z [B, P, D] with what it found in y [B, Q, D], [B, P, D]."""
        query, key, value = self.query(z), self.key(y), self.value(y)
        scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])  # [B, P, Q]
        found = self.output(scores.softmax(dim=-1) @ value)  # [B, P, D]
        gate = self.gate(torch.cat([z, found], dim=-1)).sigmoid()  # [B, P, 1]
        updated: Tensor = z + gate * found
        return updated


class BranchLogits(NamedTuple):
    """What the two branches say.

    Attributes:
        of_image: Of the whole image, [B, C].
        of_regions: Of its regions, aggregated, [B, C]; None without that branch.
    """

    of_image: Tensor
    of_regions: Tensor | None


class Regional(PromptMethod):
    """Learned contexts for the whole image and for its patch tokens."""

    needs: frozenset[Need] = frozenset({"embedding", "tokens"})

    def __init__(self, clip: Clip, config: RegionalConfig) -> None:
        super().__init__(clip)
        self.config = config
        self.needs = self.needs_with(config)
        self.region_level = 0.0
        """Taken off the logits of regions in the loss of several labels, as `level` off others."""
        self.context = nn.Parameter(initial_context(clip, config))  # [M, W]
        if config.branches == "both":
            self.region_context = nn.Parameter(initial_context(clip, config))  # [M, W]
            dim, width = clip.config.embed_dim, config.attention_width
            self.classes_to_regions = GatedCrossAttention(dim, width)
            self.regions_to_classes = GatedCrossAttention(dim, width)
            self._descriptions = FrozenText(clip, config.template, config.descriptions)

    @classmethod
    def needs_with(cls, config: Config) -> frozenset[Need]:
        """Return what is read under a configuration: token maps by the region branch alone."""
        assert isinstance(config, RegionalConfig)
        return cls.needs if config.branches == "both" else frozenset({"embedding"})

    def region_embeddings(self, tokens: Tensor) -> Tensor:
        """Return patch tokens in the shared space, of unit length, [B, N, D]; N = 1 for the mean.

        Args:
            tokens: Class token and patch tokens after the last block, [B, 1+N, V].
        """
        patches, tower = tokens[:, 1:], self.clip.image
        if self.config.regions == "mean":
            patches = patches.mean(dim=1, keepdim=True)
        return F.normalize(tower.ln_post(patches) @ tower.projection, dim=-1)

    def region_logits(self, tokens: Tensor, class_embeddings: Tensor) -> Tensor:
        """Relate regions and classes, and aggregate over regions, [B, C].

        Args:
            tokens: Class token and patch tokens after the last block, [B, 1+N, V].
            class_embeddings: Unit length, [C, D].
        """
        regions = self.region_embeddings(tokens)  # [B, N, D]
        classes = class_embeddings.expand(len(regions), -1, -1)  # [B, C, D]
        seen = F.normalize(self.classes_to_regions(classes, regions), dim=-1)  # [B, C, D]
        named = F.normalize(self.regions_to_classes(regions, classes), dim=-1)  # [B, N, D]
        scores = self.clip.logit_scale.exp() * named @ seen.transpose(1, 2)  # [B, N, C]
        return aggregate(scores, self.config.tau)

    def branch_logits(self, inputs: ImageInputs, class_names: Sequence[str]) -> BranchLogits:
        """Return the logits of both branches.

        Raises:
            PromptTooLongError: If a prompt or a description does not fit the text encoder.
        """
        embedding = inputs.require("embedding")
        if self.config.branches == "global":
            (classes,) = encode_with_context(
                self.clip, self.context[None], class_names, self.config
            )
            return BranchLogits(self.cosine_logits(embedding, classes), None)
        contexts = torch.stack([self.context, self.region_context])  # [2, M, W]
        classes, learned = encode_with_context(self.clip, contexts, class_names, self.config)
        described = self._descriptions.class_embeddings(class_names)  # [C, D]
        named = F.normalize(learned + described, dim=-1)
        return BranchLogits(
            self.cosine_logits(embedding, classes),
            self.region_logits(inputs.require("tokens"), named),
        )

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return the mean of the branches' logits, [B, C]."""
        of_image, of_regions = self.branch_logits(inputs, class_names)
        return of_image if of_regions is None else (of_image + of_regions) / 2

    def loss(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return the loss of the image plus lambda times that of its regions, a scalar."""
        of_image, of_regions = self.branch_logits(inputs, class_names)
        loss = self.classification_loss(of_image, labels)
        if of_regions is None:
            return loss
        shifted = of_regions + (self.level - self.region_level)
        return loss + self.config.region_weight * self.classification_loss(shifted, labels)

    @torch.no_grad()
    def set_level(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> None:
        """Set the level of each branch by the training images."""
        of_image, of_regions = self.branch_logits(inputs, class_names)
        self.level = level_of(of_image, labels)
        if of_regions is not None:
            self.region_level = level_of(of_regions, labels)


def aggregate(scores: Tensor, tau: float) -> Tensor:
    """Return sum_m softmax_m(s_mc / tau) s_mc, between the mean and the maximum over regions.

    Args:
        scores: Of regions and classes, [B, N, C].
        tau: Towards 0 the maximum, towards infinity the mean.

    Returns:
        [B, C].
    """
    return ((scores / tau).softmax(dim=1) * scores).sum(dim=1)
