"""C-SAW: visual tokens learned while the image is a puzzle of its own tiles.

An independent implementation of Bhattacharya et al., "C-SAW: Self-Supervised Prompt Learning for
Image Generalization in Remote Sensing", ICVGIP 2023, https://arxiv.org/abs/2311.15812, from its
abstract and figure and the authors' released code; the paper's equations were not at hand. Context
tokens are shifted as in APPLeNet. Training cuts each image into 3 x 3 tiles, shuffles them and
classifies the puzzle; the whole image is to be told from the puzzle (reconstruction), and both are
to agree channel by channel (self-supervision). Answers need no puzzle: the whole image is scored.

In the released code both of these terms read frozen embeddings, and the up-sampling network is
given to no optimiser, so that they change nothing that is learned. Here, by default, they read
embeddings moved by a learned projector, one of those that the abstract speaks of, which classifies
too, and the network learns. `variant: released` leaves out the projector and both terms, which is
what the release trains; it scores test images as puzzles too, which is left out, since an image
would then have as many answers as there are orders.
"""

import itertools
from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.scenes.base import ImageInputs, Need, PromptMethod
from skycue.scenes.context import encode_with_context, initial_context
from skycue.scenes.visual_tokens import (
    VisualTokenConfig,
    VisualTokens,
    mean_determinant,
    mean_squared_cosine,
)

SIDE = 3
"""Tiles along a side of the puzzle (released)."""
CROSS_WEIGHT = 5e-3
"""Weight of correlations between different channels (Zbontar et al., "Barlow Twins", ICML 2021,
section 2.1, https://arxiv.org/abs/2103.03230; C-SAW's code has the same)."""
MOST_LAYERS = 4
"""Layers of the up-sampling network (released)."""
SMALLEST_DEVIATION = 1e-6
"""Least deviation of a channel over a batch that channels are divided by."""


class CSAWConfig(VisualTokenConfig):
    """Options of C-SAW, under `method:` in a configuration."""

    name: Literal["c-saw"] = "c-saw"
    variant: Literal["paper", "released"] = "paper"
    """A projector of the image embeddings, learned with self-supervision and reconstruction, and
    visual tokens as in APPLeNet's figure; or no projector, since neither term trains anything in
    the released code, and the visual tokens of that code."""
    redundancy_weight: float = Field(default=0.02, ge=0)
    """Weight of the term that keeps context tokens apart, before `self_supervised_share`."""
    self_supervised_share: float = Field(default=0.6, ge=0, le=1)
    """Weight of self-supervision and reconstruction; one minus it is that of redundancy."""
    agreement_weight: float = Field(default=0.002, ge=0)
    """Weight of the agreement of whole and puzzle beside the reconstruction."""


class View(NamedTuple):
    """What is made of images, whole or as puzzles.

    Attributes:
        embedding: Image embeddings of unit length, after the projector if there is one, [B, D].
        contexts: Context tokens, [B, M, W].
    """

    embedding: Tensor
    contexts: Tensor


class CSAW(PromptMethod):
    """APPLeNet's prompts on a puzzle and on the whole image, with a learned image projector."""

    needs: frozenset[Need] = frozenset({"embedding", "moments"})
    loss_needs: ClassVar[frozenset[Need]] = frozenset({"pixels"})

    def __init__(self, clip: Clip, config: CSAWConfig) -> None:
        super().__init__(clip)
        self.config = config
        self.context = nn.Parameter(initial_context(clip, config))  # [M, W]
        self.visual_tokens = VisualTokens(clip.config, len(self.context), config)
        self.has_projector = config.variant == "paper"
        if not self.has_projector:
            return
        shared = clip.config.embed_dim
        last = nn.Linear(2 * shared, shared)
        if config.init == "zero":
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        n_parts = clip.config.image.layers + 1
        self.projector = nn.Sequential(nn.Linear(n_parts * shared, 2 * shared), nn.ReLU(), last)
        self.decoder = UpsamplingDecoder(shared, clip.config.image.image_size)

    def learned_state(self) -> dict[str, Tensor]:
        """Return what answers need: all but the backbone and the decoder, which only trains."""
        state = super().learned_state()
        return {name: t for name, t in state.items() if not name.startswith("decoder.")}

    def image_embeddings(self, inputs: ImageInputs) -> Tensor:
        """Return image embeddings after the projector, of unit length, [B, D]."""
        return self.view(inputs).embedding

    def view(self, inputs: ImageInputs) -> View:
        """Return embeddings and context tokens of images or puzzles."""
        embedding = inputs.require("embedding")
        scales = self.visual_tokens.scales(inputs.require("moments"))  # [B, layers, D]
        contexts = self.context + self.visual_tokens(scales, embedding)
        if self.has_projector:
            parts = torch.cat([scales, embedding[:, None]], dim=1).flatten(1)  # [B, (layers + 1) D]
            embedding = F.normalize((embedding + self.projector(parts)).float(), dim=-1)
        return View(embedding, contexts)

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity over temperature of whole images, [B, C]."""
        embedding, contexts = self.view(inputs)
        classes = encode_with_context(self.clip, contexts, class_names, self.config)  # [B, C, D]
        return self.cosine_logits(embedding, classes)

    def loss(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return L_ce + a (w_s L_agreement + L_reconstruction) + (1 - a) w_r L_redundancy.

        The puzzle's embedding is compared with the mean of the class embeddings that the whole
        image and the puzzle ask for, as released. Tiles are shuffled by `chance`.

        Raises:
            ConfigError: If there is a projector and the batch has one image.
        """
        config, pixels = self.config, inputs.require("pixels")
        whole, puzzled = self.view(inputs), self.view(self.puzzled_inputs(pixels))
        contexts = torch.cat([whole.contexts, puzzled.contexts])  # [2 B, M, W]
        classes = encode_with_context(self.clip, contexts, class_names, config)
        of_whole, of_puzzle = classes.chunk(2)  # [B, C, D] each
        logits = self.cosine_logits(puzzled.embedding, (of_whole + of_puzzle) / 2)
        share = config.self_supervised_share
        penalty = (1 - share) * config.redundancy_weight * self.redundancy(puzzled.contexts)
        loss = self.classification_loss(logits, labels) + penalty
        if not self.has_projector:
            return loss
        agreement = cross_correlation_loss(whole.embedding, puzzled.embedding)
        reconstruction = F.mse_loss(self.decoder(puzzled.embedding).float(), pixels)
        return loss + share * (config.agreement_weight * agreement + reconstruction)

    def redundancy(self, contexts: Tensor) -> Tensor:
        """Return the penalty of context tokens [B, M, W], a scalar.

        Either the mean squared cosine between tokens of an image, or -mean det(C C^T - I), without
        the logarithm of APPLeNet's.
        """
        if self.config.redundancy == "cosine":
            return mean_squared_cosine(contexts)
        return -mean_determinant(contexts)

    @torch.no_grad()
    def puzzled_inputs(self, pixels: Tensor) -> ImageInputs:
        """Shuffle the tiles of images and encode them.

        Args:
            pixels: RGB in [0, 1], [B, 3, S, S].
        """
        order = torch.rand(len(pixels), SIDE**2, generator=self.chance).argsort(dim=1)
        layers = range(self.clip.config.image.layers)
        encoded = self.clip.encode_image_tokens(puzzle(pixels, order), layers=layers)
        return ImageInputs(embedding=encoded.embedding, moments=encoded.moments)


class UpsamplingDecoder(nn.Module):
    """An image embedding to an image: transposed convolutions, then bilinear scaling.

    The convolutions are those released, as many as the image needs and four at most: sides grow as
    1, 7, 25, 79, 241 pixels. Unlike there the embedding enters with channels of mean square 1, for
    at unit length it is lost beside the biases; and a sigmoid ends it, since pixels lie in [0, 1]
    (there a ReLU is compared with normalised pixels, many of which are negative).
    """

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        side, widths = 1, [width]
        while side < image_size and len(widths) <= MOST_LAYERS:
            side, widths = 3 * side + 4, [*widths, max(widths[-1] // 2, 1)]
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 7, stride=3, padding=1, output_padding=2)
            for before, after in itertools.pairwise([*widths[:-1], 3])
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Return RGB in [0, 1], [B, 3, S, S], for image embeddings of unit length, [B, D]."""
        x = embedding[..., None, None] * embedding.shape[1] ** 0.5
        for index, layer in enumerate(self.layers):
            x = layer(x if index == 0 else x.relu())
        return F.interpolate(x, size=2 * (self.image_size,), mode="bilinear").sigmoid()


def puzzle(pixels: Tensor, order: Tensor) -> Tensor:
    """Put the tiles of images into another order; pixels beyond the last tile stay.

    Args:
        pixels: RGB, [B, 3, H, W].
        order: The tile that comes to each place, row by row, [B, 9].

    Returns:
        [B, 3, H, W].
    """
    height, width = pixels.shape[-2] // SIDE, pixels.shape[-1] // SIDE
    cut = pixels[..., : SIDE * height, : SIDE * width]
    grid = cut.reshape(-1, 3, SIDE, height, SIDE, width)
    tiles = grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # [B, 9, 3, h, w]
    rows = torch.arange(len(tiles), device=tiles.device)[:, None]
    tiles = tiles[rows, order.to(tiles.device)]
    grid = tiles.view(-1, SIDE, SIDE, 3, height, width).permute(0, 3, 1, 4, 2, 5)
    shuffled = pixels.clone()
    shuffled[..., : SIDE * height, : SIDE * width] = grid.reshape(cut.shape)
    return shuffled


def cross_correlation_loss(first: Tensor, second: Tensor) -> Tensor:
    """Return how far channels are from agreeing with themselves and with no other, a scalar.

    Barlow Twins, eq. 1: the sum of (C_ii - 1)^2 plus `CROSS_WEIGHT` times that of C_ij^2, where C
    correlates the channels of two views over the batch.

    Args:
        first: Embeddings of one view, [B, D].
        second: Those of the other, [B, D].

    Raises:
        ConfigError: If there is one image.
    """
    if len(first) < 2:
        raise ConfigError(
            "a batch of 1 image has no correlations: c-saw needs train.batch_size of at least 2 "
            "and train.drop_last."
        )
    standard = [
        (view - view.mean(dim=0)) / view.std(dim=0).clamp(min=SMALLEST_DEVIATION)
        for view in (first, second)
    ]
    correlation = (standard[0].T @ standard[1]).float() / len(first)  # [D, D]
    own = torch.diagonal(correlation)
    cross = correlation.square().sum() - own.square().sum()
    return (own - 1).square().sum() + CROSS_WEIGHT * cross
