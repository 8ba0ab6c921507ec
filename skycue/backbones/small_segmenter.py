"""The small segmenter of `mini`: an EfficientNet-Lite0 pyramid, and queries that look at it.

The pyramid goes back up from stride 32 to stride 4 with lateral connections (Lin et al., "Feature
Pyramid Networks for Object Detection", CVPR 2017, https://arxiv.org/abs/1612.03144). A query looks
at the stride-16 map by cross-attention, then names its mask by a dot product with the stride-4 map
(Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation", NeurIPS
2021, https://arxiv.org/abs/2107.06278, section 3.2). The prompt box enters both maps as a dense
prompt that starts at zero: where each cell lies in units of the box.
"""

import math

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from skycue.backbones.object_finder import ObjectFinder
from skycue.backbones.segmenter import MaskFeatures, MaskOutput, Segmenter
from skycue.backbones.stem import IMAGENET_MEAN, IMAGENET_STD, EfficientNetLite0
from skycue.config import Config

TAPS = {4: (2, 24), 8: (4, 40), 16: (10, 112), 32: (15, 320)}
"""Stride in pixels: the block of EfficientNet-Lite0 that ends at it, and its channels."""
BOX_CHANNELS = 5
"""Inside or not, and the signed and absolute distance from the centre along x and y."""
FARTHEST = 4.0
"""Distances from the box's centre are cut at this many half extents."""
GROUPS = 8
"""Groups of each group norm."""
POSITION_BASE = 100.0
"""Longest over shortest wavelength of the position code; grids here have some ten cells."""


class SmallSegmenterConfig(Config):
    """Shape of the small segmenter, under `model.segmenter`."""

    input_size: int = Field(default=192, gt=0, multiple_of=32)
    """Side of the input in pixels."""
    width: int = Field(default=96, gt=0, multiple_of=GROUPS)
    """Channels of the coarse map and of the queries, D."""
    fine_width: int = Field(default=48, gt=0, multiple_of=GROUPS)
    """Channels of the fine map."""
    layers: int = Field(default=2, ge=1)
    """Rounds in which a query looks at the coarse map."""
    heads: int = Field(default=6, gt=0)
    """Attention heads; divides `width`."""
    box_prompt: bool = True
    """Let the maps know where the prompt box lies."""
    finds_objects: bool = False
    """Learn where the centres of objects are, for `model.objects`."""

    @model_validator(mode="after")
    def _check_heads(self) -> "SmallSegmenterConfig":
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} do not divide width {self.width}")
        return self


class SmallSegmenter(Segmenter):
    """An EfficientNet-Lite0 with a pyramid above it and query layers beside it."""

    def __init__(self, config: SmallSegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.width = self.query_width = config.width
        self.seen_width = config.width + config.fine_width
        self.input_size = config.input_size
        self.backbone = EfficientNetLite0()
        del self.backbone.head  # classifies ImageNet; nothing here reads it
        width, fine = config.width, config.fine_width
        self.lateral = nn.ModuleDict(
            {
                str(stride): nn.Conv2d(channels, fine if stride == 4 else width, 1)
                for stride, (_, channels) in TAPS.items()
            }
        )
        self.smooth = nn.ModuleDict({s: _conv3(width, width) for s in ("16", "8")})
        self.narrow = nn.Conv2d(width, fine, 1)
        self.smooth_fine = _conv3(fine, fine)
        self.box_coarse = _zero_conv(BOX_CHANNELS, width)
        self.box_fine = _zero_conv(BOX_CHANNELS, fine)
        self.mix_coarse = _conv3(width, width)
        self.mix_fine = _conv3(fine, fine)
        self.rounds = nn.ModuleList(_QueryRound(width, config.heads) for _ in range(config.layers))
        self.mask_vector = _mlp(width, fine + 1)
        self.iou_head = _mlp(width, 1)
        self.finder = ObjectFinder(fine, GROUPS) if config.finds_objects else None

    def encode(self, pixels: Tensor) -> MaskFeatures:
        """Encode RGB in [0, 1], [B, 3, S, S].

        Returns:
            Maps of stride 16, [B, D, S / 16, S / 16], and of stride 4.
        """
        x = (pixels - IMAGENET_MEAN) / IMAGENET_STD
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.relu6(self.backbone.first(x), inplace=True)
        taps: dict[int, Tensor] = {}
        for index, block in enumerate(self.backbone.blocks):
            x = block(x)
            for stride, (last, _) in TAPS.items():
                if index == last:
                    taps[stride] = self.lateral[str(stride)](x)
        coarse = self.smooth["16"](taps[16] + _upsample(taps[32]))  # [B, D, S/16, S/16]
        middle = self.smooth["8"](taps[8] + _upsample(coarse))  # [B, D, S/8, S/8]
        fine = self.smooth_fine(taps[4] + _upsample(self.narrow(middle)))  # [B, D', S/4, S/4]
        return MaskFeatures(coarse, (middle, fine))

    def decode(
        self, features: MaskFeatures, queries: Tensor, boxes: Tensor | None = None
    ) -> MaskOutput:
        """Turn queries [B, K, D] into mask logits of stride 4, [B, K, S / 4, S / 4]."""
        coarse, fine = features.coarse, features.fine[-1]
        if boxes is not None and self.config.box_prompt:
            coarse = coarse + self.box_coarse(box_maps(boxes, coarse.shape[-1]))
            fine = fine + self.box_fine(box_maps(boxes, fine.shape[-1]))
        coarse = coarse + self.mix_coarse(coarse)
        fine = fine + self.mix_fine(fine)
        seen = coarse.flatten(2).transpose(1, 2)  # [B, N, D]
        places = position_code(coarse.shape[-1], self.width, coarse)  # [N, D]
        for query_round in self.rounds:
            queries = query_round(queries, seen, places)
        vectors = self.mask_vector(queries)  # [B, K, D' + 1]
        logits = torch.einsum("bkd,bdhw->bkhw", vectors[..., :-1], fine)
        logits = logits / math.sqrt(fine.shape[1]) + vectors[..., -1, None, None]
        return MaskOutput(logits, self.iou_head(queries).squeeze(-1).sigmoid())


class _QueryRound(nn.Module):
    """A query looks at the map, then thinks; each query on its own."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_query, self.ln_think = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ln_seen = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.think = _mlp(width, width, hidden=2 * width)

    def forward(self, queries: Tensor, seen: Tensor, places: Tensor) -> Tensor:
        """Return new queries, [B, K, D]; `seen` is [B, N, D], `places` [N, D]."""
        seen = self.ln_seen(seen)
        split = (self.heads, -1)
        q = self.query(self.ln_query(queries)).unflatten(-1, split).transpose(1, 2)
        k = self.key(seen + places).unflatten(-1, split).transpose(1, 2)  # [B, heads, N, d]
        v = self.value(seen).unflatten(-1, split).transpose(1, 2)
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # [B, K, D]
        queries = queries + self.out(found)
        thought: Tensor = queries + self.think(self.ln_think(queries))
        return thought


def box_maps(boxes: Tensor, cells: int) -> Tensor:
    """Say of each cell of a square grid where it lies in units of a box.

    Args:
        boxes: Shares of the frame, [B, 4].
        cells: Along a side, h = w.

    Returns:
        Inside (1) or not (0), then signed and absolute distance from the centre in half extents of
        the box, along x and along y, at most 4; [B, 5, h, w].
    """
    centres = (torch.arange(cells, device=boxes.device, dtype=boxes.dtype) + 0.5) / cells  # [w]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2  # [B, 2]
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=1e-4)
    away = (centres - middle[..., None]) / half[..., None]  # [B, 2, cells]
    away = away.clamp(-FARTHEST, FARTHEST)
    x = away[:, 0, None, :].expand(-1, cells, -1)  # [B, h, w]
    y = away[:, 1, :, None].expand(-1, -1, cells)
    inside = ((x.abs() <= 1) & (y.abs() <= 1)).to(x.dtype)
    return torch.stack([inside, x, y, x.abs(), y.abs()], dim=1)


def position_code(cells: int, width: int, like: Tensor) -> Tensor:
    """Return sines and cosines of each cell's row and column, [cells * cells, width]."""
    n_waves = -(-width // 4)
    exponents = torch.arange(n_waves, device=like.device, dtype=like.dtype) / n_waves
    phase = torch.arange(cells, device=like.device, dtype=like.dtype)[:, None] * (
        POSITION_BASE**-exponents
    )  # [cells, n_waves]
    code = torch.cat([phase.sin(), phase.cos()], dim=-1)  # [cells, 2 n_waves]
    rows = code[:, None].expand(cells, cells, -1)
    columns = code[None].expand(cells, cells, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)[:, :width]


def _conv3(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.GroupNorm(GROUPS, outputs),
        nn.ReLU(),
    )


def _zero_conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 1)
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _mlp(inputs: int, outputs: int, hidden: int | None = None) -> nn.Module:
    width = hidden or inputs
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
