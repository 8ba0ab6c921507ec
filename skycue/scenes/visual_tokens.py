"""Visual tokens: shifts of the context tokens, from what the image tower saw at every depth.

APPLeNet and C-SAW share this part: the network of the architecture figure in Singha et al.,
"APPLeNet: Visual Attention Parameterized Prompt Learning for Few-Shot Remote Sensing Image
Generalization using CLIP", CVPRW 2023, https://arxiv.org/abs/2304.05995, whose equations were not
at hand. Where the authors' released code differs from the figure, `variant` chooses.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.clip import ClipConfig
from skycue.scenes.context import ContextConfig

REDUCTION = 16
"""Hidden widths are the shared width over this, if not given (released: 512 to 32)."""


class VisualTokenConfig(ContextConfig):
    """Options of the methods whose context tokens are shifted by visual tokens."""

    variant: Literal["paper", "released"] = "paper"
    """Two attention blocks and a linear layer for each of the M visual tokens, as the paper's
    figure has them; or one attention block used twice and one MLP, so that all M visual tokens are
    equal, as in the released code."""
    hidden: int | None = Field(default=None, ge=1)
    """Hidden width of the attention blocks and of the released MLP; not given, a sixteenth of the
    shared width as released."""
    style: Literal["image", "batch"] = "image"
    """Style token: the image's own embedding, as the released code computes it; or the mean over
    the images given together, as the paper says, which lets scores depend on the batch."""
    redundancy: Literal["cosine", "determinant"] = "cosine"
    """What keeps context tokens apart: the mean squared cosine between them, from 0 to 1; or a
    determinant, as released, which has no bound and is no number where its sign is wrong."""
    redundancy_weight: float = Field(default=0.05, ge=0)
    """Weight of that term in the loss."""
    init: Literal["zero", "released"] = "zero"
    """Start of the layer that gives the visual tokens: zero, so that training starts from the
    template, or PyTorch's default as released."""


class VisualTokens(nn.Module):
    """Content of every block and style of the image, fused by attention into M tokens."""

    def __init__(self, clip: ClipConfig, n_ctx: int, config: VisualTokenConfig) -> None:
        super().__init__()
        self.n_ctx, self.width, self.style = n_ctx, clip.text.width, config.style
        shared = clip.embed_dim
        hidden = config.hidden or max(shared // REDUCTION, 1)
        is_released = config.variant == "released"
        self.rescale = nn.ModuleList(
            nn.Linear(clip.image.width, shared) for _ in range(clip.image.layers)
        )
        self.attention = nn.ModuleList(
            _attention(shared, hidden) for _ in range(1 if is_released else 2)
        )
        self.merge = nn.ModuleList(nn.Linear(2 * shared, shared) for _ in range(2))
        last = (
            nn.Linear(hidden, self.width) if is_released else nn.Linear(shared, n_ctx * self.width)
        )
        if config.init == "zero":
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        before = [nn.Linear(shared, hidden), nn.ReLU()] if is_released else []
        self.tokens = nn.Sequential(*before, last)

    def scales(self, moments: Tensor) -> Tensor:
        """Return the mean token of each block in the shared width, [B, layers, D].

        Args:
            moments: Mean and deviation of the tokens after each block, [B, layers, 2, V].
        """
        means = moments[:, :, 0].unbind(dim=1)
        scaled = [linear(mean) for linear, mean in zip(self.rescale, means, strict=True)]
        return torch.stack(scaled, dim=1)

    def forward(self, scales: Tensor, embedding: Tensor) -> Tensor:
        """Return the visual tokens, [B, M, W].

        Args:
            scales: What `scales` returned, [B, layers, D].
            embedding: Image embeddings of unit length, [B, D].
        """
        style = embedding
        if self.style == "batch":
            style = embedding.mean(dim=0, keepdim=True).expand_as(embedding)
        fused = torch.cat([scales, style[:, None]], dim=1).mean(dim=1)  # [B, D]
        mixed = fused
        for index, merge in enumerate(self.merge):
            gate = self.attention[min(index, len(self.attention) - 1)](mixed)  # [B, D]
            mixed = merge(torch.cat([gate * fused, fused], dim=-1))  # [B, D]
        tokens: Tensor = self.tokens(mixed)  # [B, M * W], or [B, W] for all
        return tokens.view(len(tokens), -1, self.width).expand(-1, self.n_ctx, -1)


def _attention(width: int, hidden: int) -> nn.Sequential:
    """Return gates between 0 and 1 for each channel, from a bottleneck without biases."""
    return nn.Sequential(
        nn.Linear(width, hidden, bias=False),
        nn.ReLU(),
        nn.Linear(hidden, width, bias=False),
        nn.Sigmoid(),
    )


def mean_squared_cosine(contexts: Tensor) -> Tensor:
    """Return how alike the context tokens of an image are, a scalar from 0 to 1.

    Args:
        contexts: Context tokens, [B, M, W]; a single token is like no other: 0.
    """
    unit = F.normalize(contexts, dim=-1)
    cosines = (unit @ unit.mT).float()  # [B, M, M]
    n_ctx = contexts.shape[1]
    others = cosines - torch.diag_embed(torch.diagonal(cosines, dim1=1, dim2=2))
    return others.square().sum() / max(len(contexts) * n_ctx * (n_ctx - 1), 1)


def mean_determinant(contexts: Tensor) -> Tensor:
    """Return the mean over images of det(C C^T - I), the released penalty before its sign.

    Args:
        contexts: Context tokens C of each image, [B, M, W].
    """
    gram = (contexts @ contexts.mT).float()  # [B, M, M]
    determinants: Tensor = torch.linalg.det(gram - torch.eye(gram.shape[-1], device=gram.device))
    return determinants.mean()
