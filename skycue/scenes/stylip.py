"""StyLIP: context tokens made of the image's style, class embeddings mixed with its content.

An independent implementation of Bose et al., "StyLIP: Multi-Scale Style-Conditioned Prompt
Learning for CLIP-based Domain Generalization", WACV 2024, https://arxiv.org/abs/2302.09251, from
its abstract and a re-implementation by its authors' group; the paper's equations were not at hand.
Style is the mean and the deviation of the tokens after a block, content the means of all blocks.
By default it differs from the re-implementation: each context token reads the style of a block of
its own (there: the average over all blocks, repeated), class embeddings have unit length where they
enter and where they leave (there: as the text tower projects them, then normalised over the
classes, so that a class changes the scores of others), and training starts from the template.
`variant` brings that back.
"""

from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.scenes.base import ImageInputs, Need, PromptMethod
from skycue.scenes.context import ContextConfig, encode_with_context, initial_context

CONTENT_REDUCTION = 3
"""The content's width for each block is the image tower's width over this (there: 768 to 256)."""


class StyLIPConfig(ContextConfig):
    """Options of StyLIP, under `method:` in a configuration."""

    name: Literal["stylip"] = "stylip"
    variant: Literal["paper", "released"] = "paper"
    """M projectors, each of mean and deviation after one of M evenly spaced blocks; or, as the
    re-implementation has it, one for each block, averaged to a token that is repeated M times,
    and class embeddings normalised over the classes."""
    init: Literal["zero", "released"] = "zero"
    """Start: the template, with projectors whose weights are zero and whose biases are the
    context's words; or PyTorch's default, where of `init_words` only the number of tokens counts.
    """

    @model_validator(mode="after")
    def _equal_tokens_are_no_words(self) -> Self:
        if self.variant == "released" and self.init == "zero":
            raise ValueError(
                "variant: released makes all context tokens equal, so that they cannot start as "
                "words: add init: released"
            )
        return self


class StyLIP(PromptMethod):
    """Style projectors for context tokens, a content projector for class embeddings."""

    needs: frozenset[Need] = frozenset({"embedding", "moments"})

    def __init__(self, clip: Clip, config: StyLIPConfig) -> None:
        super().__init__(clip)
        self.config = config
        context = initial_context(clip, config)  # [M, W]
        self.n_ctx, width = context.shape
        image, shared = clip.config.image, clip.config.embed_dim
        statistics = 3 if config.variant == "released" else 2
        n_styles = image.layers if config.variant == "released" else self.n_ctx
        self.style = nn.ModuleList(
            nn.Linear(statistics * image.width, width) for _ in range(n_styles)
        )
        reduced = max(image.width // CONTENT_REDUCTION, 1)
        self.reduce = nn.Linear(image.width, reduced)
        self.content = nn.Linear(image.layers * reduced, shared)
        self.fuse = nn.Linear(2 * shared, shared)
        if config.init == "zero":
            for projector, word in zip(self.style, context, strict=True):
                nn.init.zeros_(projector.get_parameter("weight"))
                projector.get_parameter("bias").data.copy_(word)
            nn.init.zeros_(self.fuse.weight)
            nn.init.zeros_(self.fuse.bias)
            nn.init.eye_(self.fuse.weight[:, shared:])  # of the text alone

    def contexts(self, moments: Tensor) -> Tensor:
        """Return context tokens made of style, [B, M, W].

        Args:
            moments: Mean and deviation of the tokens after each block, [B, layers, 2, V].
        """
        if self.config.variant == "released":
            moments = torch.cat([moments, moments[:, :, :1]], dim=2)  # the mean once more
        read = self.blocks_read(moments.shape[1])
        tokens = [p(moments[:, n].flatten(1)) for p, n in zip(self.style, read, strict=True)]
        contexts = torch.stack(tokens, dim=1)
        if self.config.variant == "released":
            contexts = contexts.mean(dim=1, keepdim=True).expand(-1, self.n_ctx, -1)
        return contexts

    def blocks_read(self, n_layers: int) -> list[int]:
        """Return the block, from 0, whose style each projector reads; the last reads the last."""
        n_styles = len(self.style)
        return [-(-(n + 1) * n_layers // n_styles) - 1 for n in range(n_styles)]

    def content_of(self, moments: Tensor) -> Tensor:
        """Return the content of all blocks, c(x), [B, D], for moments [B, layers, 2, V]."""
        content: Tensor = self.content(self.reduce(moments[:, :, 0]).flatten(1))
        return content

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity of f(x) and the fused [c(x); T_c(x)] over temperature, [B, C].

        The fusion is linear, so that its half for the content is computed once an image.
        """
        moments = inputs.require("moments")
        is_released = self.config.variant == "released"
        texts = encode_with_context(
            self.clip,
            self.contexts(moments),
            class_names,
            self.config,
            normalize=not is_released,
        )  # [B, C, D]
        of_content, of_text = self.fuse.weight.chunk(2, dim=1)
        shift = F.linear(self.content_of(moments), of_content, self.fuse.bias)  # [B, D]
        fused = shift[:, None] + F.linear(texts, of_text)  # [B, C, D]
        classes = F.normalize(fused.float(), dim=1 if is_released else -1)
        return self.cosine_logits(inputs.require("embedding"), classes)
