"""What methods share that put learned tokens into the blocks of CLIP's towers.

Such tokens are deep prompts: those of block 1 enter beside the input, those of a later block
replace what the earlier ones came to, and behind the last block with prompts of its own they flow
on. They are never read as the result: only the class token and the end-of-text token are.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.scenes.base import ImageInputs, Need, SharedClassMethod
from skycue.scenes.context import (
    CONTEXT_STD,
    ContextConfig,
    encode_with_context,
    initial_context,
)

IMAGES_AT_ONCE = 64
"""Images in the image tower at once where no gradient is asked for."""


class DeepContextConfig(ContextConfig):
    """Options of methods with deep prompts in the text tower."""

    class_position: Literal["end"] = "end"
    """Deep prompts replace the beginning of the prompt, so the class name stands behind them."""
    depth: int | None = Field(default=None, ge=1)
    """Blocks of each tower, from the first one, that have prompts of their own, J in the papers.
    Not given: 9 as published, or all blocks of a tower that has fewer."""


class DeepMethod(SharedClassMethod):
    """A method whose images pass the image tower anew, with prompts in it."""

    needs: frozenset[Need] = frozenset({"patches"})

    @abstractmethod
    def prompts_for_images(self) -> list[Tensor]:
        """Return the tokens for the first blocks of the image tower, [M, V] each."""

    def image_embeddings(self, inputs: ImageInputs) -> Tensor:
        """Encode images with the prompts in the image tower.

        Returns:
            Image embeddings of unit length, [B, D].
        """
        return self.clip.embed_patches(inputs.require("patches"), prompts=self.prompts_for_images())

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity over temperature, [B, C]."""
        scorer = self.class_scorer(class_names)
        n_images = inputs.n_images
        size = n_images if torch.is_grad_enabled() else IMAGES_AT_ONCE
        parts = (inputs.select(slice(at, at + size)) for at in range(0, n_images, size))
        return torch.cat([scorer(self.image_embeddings(part)) for part in parts])


class DeepContextMethod(DeepMethod):
    """A method with prompts in both towers: context tokens, and deep prompts behind them.

    Args:
        clip: The backbone.
        config: How the context starts.
        depth: Blocks of the text tower that have prompts, the first one included.
    """

    fixed_words: Tensor

    def __init__(self, clip: Clip, config: DeepContextConfig, depth: int) -> None:
        super().__init__(clip)
        self.config = config
        context, fixed_words = initial_and_fixed_context(clip, config)
        self.context = nn.Parameter(context)  # [M, W]
        self.register_buffer("fixed_words", fixed_words, persistent=False)  # [F, W]
        self.deep_prompts = noise_prompts(depth - 1, *context.shape)

    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Encode [SOS] context, fixed words, name, "." [EOT], with deep prompts from block 2 on.

        Returns:
            Class embeddings of unit length, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """
        context = torch.cat([self.context, self.fixed_words])[None]  # [1, M + F, W]
        classes = encode_with_context(
            self.clip, context, class_names, self.config, deep_prompts=list(self.deep_prompts)
        )
        return classes[0]


class Depths(NamedTuple):
    """Blocks with prompts of their own in each tower."""

    image: int
    text: int


def depths_of(clip: Clip, depth: int | None, *, published: int) -> Depths:
    """Return how many blocks of each tower get prompts.

    Args:
        clip: The backbone.
        depth: As many in both towers; None for the published number, cut to the blocks there are.
        published: What None means.

    Raises:
        ConfigError: If a tower has fewer blocks than were asked for.
    """
    image = image_depth(clip, depth, published=published)
    layers = clip.config.text.layers
    _refuse_more_than(layers, depth, "text")
    return Depths(image, min(published, layers) if depth is None else depth)


def image_depth(clip: Clip, depth: int | None, *, published: int) -> int:
    """Return how many blocks of the image tower get prompts; see `depths_of`."""
    layers = clip.config.image.layers
    _refuse_more_than(layers, depth, "image")
    return min(published, layers) if depth is None else depth


def _refuse_more_than(layers: int, depth: int | None, tower: str) -> None:
    if depth is not None and depth > layers:
        raise ConfigError(
            f"method.depth {depth} is more than the {layers} blocks of the {tower} tower: lower "
            "it, or leave it out to use those there are, at most as many as published."
        )


def noise_prompts(n_blocks: int, n_tokens: int, width: int) -> nn.ParameterList:
    """Return the start of the prompts of some blocks, [M, width] each: N(0, 0.02^2)."""
    blocks = (CONTEXT_STD * torch.randn(n_tokens, width) for _ in range(n_blocks))
    return nn.ParameterList([nn.Parameter(tokens) for tokens in blocks])


def initial_and_fixed_context(clip: Clip, config: ContextConfig) -> tuple[Tensor, Tensor]:
    """Return the learned context at the start, [M, W], and the fixed words behind it, [F, W].

    Of words that are more than `n_ctx` the first are learned and the others stay, as in MaPLe.

    Raises:
        ConfigError: If neither words nor a number of tokens is given.
    """
    ids = clip.tokenize([config.init_words])[0]
    words = clip.token_embedding(ids[1 : 1 + clip.tokenizer.count(config.init_words)])
    if config.n_ctx is None or config.n_ctx >= len(words):
        return initial_context(clip, config), words[:0]
    return words[: config.n_ctx].clone(), words[config.n_ctx :]
