"""The region encoder: one vector for what lies under a box, from several levels of features.

Zhang et al., "GPT4RoI: Instruction Tuning Large Language Model on Region-of-Interest", 2023,
https://arxiv.org/abs/2307.03601, section 3, as GLaMM uses it (Rasheed et al., "GLaMM: Pixel
Grounding Large Multimodal Model", CVPR 2024, https://arxiv.org/abs/2311.03356). All widths and grid
sizes are configured; the mapping from boxes to cells is right at any of them.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from skycue.config import Config
from skycue.errors import ConfigError
from skycue.regions.roi_align import roi_align

GLAMM_BOX_SCALE = 224 / 336
"""GLaMM scales boxes to 224 pixels where its feature maps show 336."""


class RegionEncoderConfig(Config):
    """Shape of the region encoder, under `model.region_encoder`."""

    width: int = Field(default=96, gt=0, multiple_of=4)
    """Channels of all levels once they are joined; a quarter of them comes from each neighbour."""
    cells: tuple[int, ...] | None = None
    """Side of each level's grid after resizing, earliest level first; none keeps what comes in."""
    fuse_rounds: int = Field(default=1, ge=0)
    """Rounds in which neighbouring levels exchange channels."""
    groups: int = Field(default=8, gt=0)
    """Groups of each group norm; divides `width`."""
    roi_size: int = Field(default=7, gt=0)
    """Bins along each side of a region."""
    sampling_ratio: int = Field(default=2, gt=0)
    """Samples along each side of a bin."""
    region_width: int = Field(default=96, gt=0)
    """Width of a region's vector before the output layer."""
    position_width: int = Field(default=64, gt=0)
    """Hidden width of what reads the box itself."""
    normalise: bool = False
    """Normalise a region's vector before the code of its position is added, which it else drowns
    where it is learned from scratch; GLaMM's weights have no such layer."""
    geometry: Literal["full", "glamm_224"] = "full"
    """`glamm_224` looks at two thirds of each coordinate, as GLaMM's weights have learned."""

    @model_validator(mode="after")
    def _check_groups(self) -> "RegionEncoderConfig":
        if self.width % self.groups:
            raise ValueError(f"groups {self.groups} do not divide width {self.width}")
        return self


class RegionEncoder(nn.Module):
    """Feature levels and a box to one vector.

    Each level is resized, gets two channels of coordinates and a 1 x 1 convolution; then neighbours
    exchange channels for some rounds. RoIAlign cuts the box out of each level, a convolution for
    each level reads it, their sum is flattened to a vector, and a code of the box's position in the
    image is added. Against GLaMM, only `geometry: full` differs: its boxes address the upper left
    two thirds of the maps, a leftover of a smaller CLIP.

    Parameters, with those of GLaMM's `MLVLROIQueryModule` that they hold (i a level, n a round):

    - `level_inputs.i`: `mlvl_fuse.input_conv.i`, a convolution with bias
    - `rounds.n.conv`, `rounds.n.norm`: `mlvl_fuse.fuse_convs.n.conv` (no bias) and `.gn`
    - `roi_convs.i`: `roi_align.pconvs.i`
    - `region`: `roi_align.flatten_linear`, its inputs in the order channel, row, column
    - `position.0`, `.2`, `.3`, `.5`: `roi_align.pos_embedd` with the same numbers
    - `output`: `roi_align.updims`
    """

    def __init__(
        self, level_widths: Sequence[int], out_width: int, config: RegionEncoderConfig
    ) -> None:
        super().__init__()
        if config.cells is not None and len(config.cells) != len(level_widths):
            raise ConfigError(
                f"region_encoder.cells holds {len(config.cells)} grid sizes, but the image encoder "
                f"gives {len(level_widths)} levels: write one size a level, or none."
            )
        self.config = config
        width, region_width = config.width, config.region_width
        self.level_inputs = nn.ModuleList(nn.Conv2d(w + 2, width, 1) for w in level_widths)
        self.rounds = nn.ModuleList(
            _ExchangeRound(width, config.groups) for _ in range(config.fuse_rounds)
        )
        self.roi_convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in level_widths)
        self.region = nn.Linear(width * config.roi_size**2, region_width)
        self.region_norm = nn.LayerNorm(region_width) if config.normalise else nn.Identity()
        self.position = nn.Sequential(
            nn.Linear(4, config.position_width),
            nn.ReLU(),
            nn.LayerNorm(config.position_width),
            nn.Linear(config.position_width, region_width),
            nn.ReLU(),
            nn.LayerNorm(region_width),
        )
        self.output = nn.Linear(region_width, out_width)

    def forward(
        self, levels: Sequence[Tensor], boxes: Tensor, image_index: Tensor, position: Tensor
    ) -> Tensor:
        """Return a vector for each box, [R, out_width].

        Args:
            levels: Feature maps of B images, earliest layer first, each [B, D_l, h_l, w_l]; all
                show the same frame.
            boxes: Corners as shares of that frame, [R, 4].
            image_index: Which image each box lies on, int64 [R].
            position: Corners as shares of the whole image, [R, 4]; the same as `boxes` where the
                frame shows the whole image.
        """
        return self.encode_boxes(self.join_levels(levels), boxes, image_index, position)

    def join_levels(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels after their exchange, each [B, width, h_l, w_l].

        It depends on no box: many boxes of an image share it.
        """
        sizes = self.config.cells or [None] * len(levels)
        joined = [
            convolve(_with_coordinates(_resized(level, None if size is None else (size, size))))
            for convolve, level, size in zip(self.level_inputs, levels, sizes, strict=True)
        ]
        for exchange in self.rounds:
            joined = exchange(joined)
        return joined

    def encode_boxes(
        self, joined: Sequence[Tensor], boxes: Tensor, image_index: Tensor, position: Tensor
    ) -> Tensor:
        """Return a vector for each box, [R, out_width], from what `join_levels` returned."""
        if self.config.geometry == "glamm_224":
            boxes = boxes * GLAMM_BOX_SCALE
        size, ratio = self.config.roi_size, self.config.sampling_ratio
        read = [
            conv(roi_align(level, boxes, image_index, size=size, sampling_ratio=ratio))
            for conv, level in zip(self.roi_convs, joined, strict=True)
        ]
        total = torch.stack(read).sum(dim=0)  # [R, width, k, k]
        region = self.region(total.relu().flatten(1))  # [R, region_width]
        vectors: Tensor = self.output(self.region_norm(region) + self.position(position))
        return vectors


class _ExchangeRound(nn.Module):
    """Neighbouring levels exchange channels, then one convolution reads each level.

    A level keeps the first half of its channels and gets the last quarter of the level after it,
    then the third quarter of the level before it. The outermost levels are their own neighbours.
    """

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(groups, width)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        quarter = levels[0].shape[1] // 4
        half = levels[0].shape[1] - 2 * quarter
        mixed = []
        for place, level in enumerate(levels):
            after = levels[min(place + 1, len(levels) - 1)][:, half + quarter :]
            before = levels[max(place - 1, 0)][:, half : half + quarter]
            size = (level.shape[-2], level.shape[-1])
            parts = [level[:, :half], _resized(after, size), _resized(before, size)]
            mixed.append(self.norm(self.conv(torch.cat(parts, dim=1))).relu())
        return mixed


def _with_coordinates(level: Tensor) -> Tensor:
    """Add two channels, x and y of each cell from -1 to 1, [B, D + 2, h, w]."""
    n_images, _, height, width = level.shape
    x = torch.linspace(-1, 1, width, device=level.device, dtype=level.dtype)
    y = torch.linspace(-1, 1, height, device=level.device, dtype=level.dtype)
    planes = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)])  # [2, h, w]
    return torch.cat([level, planes.expand(n_images, -1, -1, -1)], dim=1)


def _resized(level: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Resize a map so that its corner cells stay its corner cells, as GLaMM does."""
    if size is None or (level.shape[-2], level.shape[-1]) == size:
        return level
    return F.interpolate(level, size=size, mode="bilinear", align_corners=True)
