"""CLIP's image tower: a vision transformer over patches, or over the cells of a small network.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, https://arxiv.org/abs/2010.11929,
with the layer norm before the blocks that CLIP adds. Prompts can enter at any layer and the token
map of any layer can be read; what they are for is not known here.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor, nn

from skycue.backbones.transformer import Activation, Block


class ImageConfig(BaseModel, frozen=True, extra="forbid"):
    """Shape of the image tower."""

    image_size: int = Field(gt=0)
    """Side of the square input in pixels."""
    patch_size: int = Field(gt=0)
    """Pixels along the side of a grid cell: of a patch, or the stride of the stem network."""
    width: int = Field(gt=0)
    """Width of the tokens, V."""
    layers: int = Field(gt=0)
    """Number of transformer blocks."""
    heads: int = Field(gt=0)
    """Attention heads; divides `width`."""
    mlp_ratio: float = Field(default=4.0, gt=0)
    """Hidden width of a block's MLP over `width`."""
    stem: Literal["patch", "efficientnet_lite0"] = "patch"
    """What turns pixels into grid cells: one strided convolution, or a convolutional network."""

    @property
    def grid(self) -> int:
        """Cells along a side of the token grid, h = w; N is its square."""
        return -(-self.image_size // self.patch_size)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ImageConfig":
        if self.width % self.heads:
            raise ValueError(f"image heads {self.heads} must divide width {self.width}")
        return self


class ImageTokens(NamedTuple):
    """What the image tower returns.

    Attributes:
        projected: The class token in the shared space, not normalised, [B, D].
        tokens: Class token and patch tokens after the last block, before its norm, [B, 1+N, V].
        maps: The same after the layers asked for, in their order, each [B, 1+N, V].
    """

    projected: Tensor
    tokens: Tensor
    maps: tuple[Tensor, ...]


class ImageTower(nn.Module):
    """Pixels to the class token's projection and to all tokens of the last layer."""

    def __init__(
        self, config: ImageConfig, embed_dim: int, activation: Activation, eps: float
    ) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.stem = _build_stem(config)
        scale = width**-0.5
        self.class_embedding = nn.Parameter(scale * torch.randn(width))  # [V]
        self.positional_embedding = nn.Parameter(scale * torch.randn(1 + config.grid**2, width))
        self.ln_pre = nn.LayerNorm(width, eps=eps)
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.mlp_ratio, activation, eps)
            for _ in range(config.layers)
        )
        self.ln_post = nn.LayerNorm(width, eps=eps)
        self.projection = nn.Parameter(scale * torch.randn(width, embed_dim))  # [V, D]

    def forward(
        self, pixels: Tensor, *, prompts: Sequence[Tensor] = (), layers: Sequence[int] = ()
    ) -> ImageTokens:
        """Encode normalised pixels: `embed`, then `encode_patches`.

        Args:
            pixels: Images with the checkpoint's mean taken off and divided by its deviation,
                [B, 3, S, S]. Another S than the configured one resamples the positions.
            prompts: See `encode_patches`.
            layers: Blocks, counted from 0, whose token maps are returned as well.
        """
        return self.encode_patches(self.embed(pixels), prompts=prompts, layers=layers)

    def embed(self, pixels: Tensor) -> Tensor:
        """Return what enters the first block, before its norm, [B, 1+N, V].

        Args:
            pixels: Normalised images, [B, 3, S, S].
        """
        x = self.stem(pixels)  # [B, V, h, w]
        positions = resample_positions(self.positional_embedding, (x.shape[-2], x.shape[-1]))
        x = x.flatten(2).transpose(1, 2)  # [B, N, V]
        return torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], dim=1) + positions

    def encode_patches(
        self, patches: Tensor, *, prompts: Sequence[Tensor] = (), layers: Sequence[int] = ()
    ) -> ImageTokens:
        """Run the blocks.

        Args:
            patches: What `embed` returned, [B, 1+N, V].
            prompts: Extra tokens after the patch tokens, [M, V] or [B, M, V] each: the first enters
                before the first block, the i-th replaces the extra tokens before block i.
            layers: Blocks, counted from 0, whose token maps are returned as well.

        Returns:
            The projected class token and the token maps.
        """
        x, n_tokens = patches, patches.shape[1]
        maps: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks):
            x = block(self._entering(x, index, prompts, n_tokens))
            if index in layers:
                maps[index] = x[:, :n_tokens]
        tokens = x[:, :n_tokens]
        return ImageTokens(self._project(x[:, 0]), tokens, tuple(maps[layer] for layer in layers))

    def project_patches(self, patches: Tensor, *, prompts: Sequence[Tensor] = ()) -> Tensor:
        """Return only the projected class token that `encode_patches` gives, [B, D].

        The last block then computes the class token alone, which only reads the other tokens.

        Args:
            patches: What `embed` returned, [B, 1+N, V].
            prompts: See `encode_patches`.
        """
        x, n_tokens, last = patches, patches.shape[1], len(self.blocks) - 1
        for index, block in enumerate(self.blocks[:-1]):
            x = block(self._entering(x, index, prompts, n_tokens))
        x = self._entering(x, last, prompts, n_tokens)
        last_block = self.blocks[last]
        assert isinstance(last_block, Block)
        class_token = torch.zeros(x.shape[0], 1, dtype=torch.long, device=x.device)  # its position
        return self._project(last_block.read(x, class_token, seen=None)[:, 0])

    def _entering(self, x: Tensor, index: int, prompts: Sequence[Tensor], n_tokens: int) -> Tensor:
        """Return the states that enter block `index`, with its prompt behind the image's tokens."""
        if index < len(prompts):
            prompt = prompts[index].expand(x.shape[0], -1, -1)  # [B, M, V]
            x = torch.cat([x[:, :n_tokens], prompt.to(x.dtype)], dim=1)
        normed: Tensor = self.ln_pre(x) if index == 0 else x
        return normed

    def _project(self, class_token: Tensor) -> Tensor:
        projected: Tensor = self.ln_post(class_token) @ self.projection
        return projected


def _build_stem(config: ImageConfig) -> nn.Module:
    """Return the module that maps [B, 3, S, S] to [B, V, h, w]."""
    if config.stem == "patch":
        return nn.Conv2d(3, config.width, config.patch_size, config.patch_size, bias=False)
    from skycue.backbones.stem import build_stem

    network = build_stem(config)
    return nn.Sequential(network, nn.Conv2d(network.out_channels, config.width, 1))


def resample_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Fit position embeddings to another grid by bicubic interpolation.

    Args:
        positions: Class position first, then a square grid row by row, [1 + n * n, V].
        grid: Cells wanted, (h, w).

    Returns:
        [1 + h * w, V]; the very same tensor where the grid already fits.
    """
    side = round((len(positions) - 1) ** 0.5)
    if grid == (side, side):
        return positions
    cells = positions[1:].T.reshape(1, -1, side, side)
    cells = F.interpolate(cells, size=grid, mode="bicubic", align_corners=False, antialias=True)
    return torch.cat([positions[:1], cells.flatten(2)[0].T])
