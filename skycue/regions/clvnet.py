"""CLV-Net: a box on an image becomes a caption whose phrases each own a mask.

Zhang et al., "Cross-modal Context-aware Learning for Visual Prompt Guided Multimodal Image
Understanding in Remote Sensing", 2025, https://arxiv.org/abs/2512.11680. An independent
implementation guided by the abstract, on the stack of GLaMM (Rasheed et al., CVPR 2024,
https://arxiv.org/abs/2311.03356); no equation of the paper's body was at hand. Its parts stand in
`region_encoder.py`, `reasoner.py`, `mask_decoder.py` and `alignment.py`; this file joins them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.backbones.language import LanguageConfig, LanguageModel
from skycue.backbones.sam import SamSettings, load_sam
from skycue.backbones.segmenter import MaskFeatures, Segmenter
from skycue.backbones.small_segmenter import SmallSegmenter, SmallSegmenterConfig
from skycue.config import Config
from skycue.errors import ConfigError
from skycue.regions.alignment import RelationPairs
from skycue.regions.mask_decoder import (
    ContextAwareMaskDecoder,
    DecodedMasks,
    MaskDecoderConfig,
    View,
)
from skycue.regions.object_tokens import ObjectTokens
from skycue.regions.reasoner import Read, Reasoner, ReasonerConfig, Written
from skycue.regions.region_encoder import RegionEncoder, RegionEncoderConfig

POSITION_START = 0.2
"""Deviation of the learned positions of a view's cells at their start, about that of the cells."""


class ClvNetConfig(Config):
    """Shape of a CLV-Net, under `model:` in a configuration."""

    clip: str = "mini"
    """The frozen image encoder of the language model: `mini`, a folder or a hub name."""
    image_layer: int | None = None
    """Block of its image tower, from 0, whose patch tokens are read; None: the last one."""
    image_grid: int | None = Field(default=3, gt=0)
    """Pool the whole image's tokens to a grid of this side; None keeps all."""
    segmenter: SmallSegmenterConfig | SamSettings = SmallSegmenterConfig()
    """The grounding image encoder with its mask decoder."""
    windows: tuple[float, ...] = (1.6, 5.0)
    """Sides of the square windows around the box, over its longer side, the widest last; none: the
    segmenter sees the whole image."""
    small_box: float = Field(default=0.0, ge=0, lt=1)
    """Without windows: a box whose longer side is a smaller share of the image's is described on a
    window around it, as if that were the image; 0 never does."""
    small_box_window: float = Field(default=8.0, ge=1)
    """Side of that window over the longer side of the box."""
    view_grid: int = Field(default=6, ge=0)
    """Let the language model see the widest window as a grid of tokens of this side; 0 does not."""
    objects: int = Field(default=0, ge=0)
    """Let the language model see up to so many objects of the widest window, one token each, as the
    segmenter finds them (`model.segmenter.finds_objects`); 0 does not."""
    region_layers: tuple[int, ...] = ()
    """Blocks of the image tower that the region encoder reads; none: it reads the first window."""
    region_encoder: RegionEncoderConfig = RegionEncoderConfig()
    """Box to region token."""
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig()
    """The Context-Aware Mask Decoder."""
    reasoner: ReasonerConfig = ReasonerConfig()
    """Prompt and limits of the language model."""
    language: LanguageConfig = LanguageConfig()
    """The language model."""


class ImageTokens(NamedTuple):
    """A whole image as the frozen image encoder sees it.

    Attributes:
        tokens: For the language model, [B, N, V].
        levels: For a region encoder that reads the image encoder, each [B, V, h, w].
    """

    tokens: Tensor
    levels: tuple[Tensor, ...] = ()


class Cues(NamedTuple):
    """Boxes with all that is seen of their images.

    Attributes:
        images: Rows of the whole images, one a box, R.
        views: What the segmenter sees, the widest last.
        position: The boxes as shares of their images, [R, 4].
    """

    images: ImageTokens
    views: tuple[View, ...]
    position: Tensor


class Queries(NamedTuple):
    """What the language model asks masks for.

    Attributes:
        queries: One a phrase, padded, [R, K, D].
        phrase_mask: Which of them are phrases, [R, K] bool.
    """

    queries: Tensor
    phrase_mask: Tensor


class ClvNet(nn.Module):
    """Box and image to caption and masks."""

    def __init__(self, config: ClvNetConfig, clip: Clip, language: LanguageModel) -> None:
        super().__init__()
        self.config = config
        self.clip = clip.requires_grad_(False)
        self.segmenter: Segmenter = _build_segmenter(config.segmenter)
        image_width = clip.config.image.width
        self.reasoner = Reasoner(language, image_width, config.reasoner)
        width, query_width = language.width, self.segmenter.query_width
        levels = [image_width] * len(config.region_layers) or self._view_widths()
        self.region_encoder = RegionEncoder(levels, width, config.region_encoder)
        self.view_projection: nn.Linear | None = None
        if config.view_grid:
            self.view_projection = nn.Linear(self.segmenter.seen_width, image_width)
            cells = config.view_grid**2
            self.view_positions = nn.Parameter(POSITION_START * torch.randn(cells, image_width))
        self.object_tokens: ObjectTokens | None = None
        if config.objects:
            if not isinstance(self.segmenter, SmallSegmenter) or self.segmenter.finder is None:
                raise ConfigError(
                    f"model.objects is {config.objects}, but the segmenter finds none: set "
                    "model.segmenter.finds_objects, or model.objects to 0."
                )
            self.object_tokens = ObjectTokens(
                self.segmenter.seen_width, image_width, config.objects
            )
        self.query_projection = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, query_width)
        )
        self.mask_decoder = ContextAwareMaskDecoder(
            self.segmenter.width, query_width, width, config.mask_decoder
        )

    def _view_widths(self) -> list[int]:
        """Return the channels of the segmenter's levels that the region encoder reads."""
        if not isinstance(self.segmenter, SmallSegmenter):
            raise ConfigError(
                "model.region_layers is empty: with SAM, name blocks of the image encoder that the "
                "region encoder reads; only the small segmenter has levels of its own."
            )
        return [self.segmenter.width, self.segmenter.width]

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> ImageTokens:
        """Encode whole images by the frozen image encoder.

        Args:
            pixels: RGB in [0, 1], squashed to the image encoder's size, [B, 3, S, S].
        """
        config = self.config
        chosen = () if config.image_layer is None else (config.image_layer,)
        seen = self.clip.encode_image_tokens(pixels, layers=(*chosen, *config.region_layers))
        tokens = (seen.maps[0] if chosen else seen.tokens)[:, 1:]
        side = round(tokens.shape[1] ** 0.5)
        if config.image_grid and config.image_grid < side:
            grid = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
            tokens = F.adaptive_avg_pool2d(grid, config.image_grid).flatten(2).transpose(1, 2)
        levels = [level[:, 1:].transpose(1, 2) for level in seen.maps[len(chosen) :]]
        grids = [level.reshape(len(level), -1, side, side) for level in levels]
        return ImageTokens(tokens, tuple(grids))

    def look(self, images: ImageTokens, pixels: Tensor, boxes: Tensor, position: Tensor) -> Cues:
        """Encode the windows around boxes.

        Args:
            images: The boxes' images, R rows.
            pixels: RGB in [0, 1] of each window, [R, V, 3, S, S].
            boxes: The prompt box as shares of each window, [R, V, 4].
            position: The box as shares of the image, [R, 4].
        """
        rows, n_views = pixels.shape[:2]
        features = self.segmenter.encode(pixels.flatten(0, 1))
        index = torch.arange(rows, device=pixels.device) * n_views
        shown = boxes if self.config.reasoner.box_input == "token" else None
        views = [
            View(features.rows(index + v), None if shown is None else shown[:, v])
            for v in range(n_views)
        ]
        return Cues(images, tuple(views), position)

    def look_at_whole(
        self, images: ImageTokens, features: MaskFeatures, boxes: Tensor, position: Tensor
    ) -> Cues:
        """Join boxes with what the segmenter saw of their whole images.

        Args:
            images: The boxes' images, R rows.
            features: The same rows of the segmenter's features.
            boxes: The prompt box as shares of the segmenter's frame, [R, 4].
            position: The box as shares of the image, [R, 4].
        """
        shown = boxes if self.config.reasoner.box_input == "token" else None
        return Cues(images, (View(features, shown),), position)

    def region_tokens(self, cues: Cues) -> Tensor:
        """Return the region token of each box, [R, W]; zeros where the box enters otherwise."""
        rows = torch.arange(len(cues.position), device=cues.position.device)
        if self.config.reasoner.box_input != "token":
            return cues.position.new_zeros(len(rows), self.reasoner.language.width)
        if self.config.region_layers:
            return self._encode_regions(cues.images.levels, cues.position, rows, cues.position)
        view = cues.views[0]
        assert view.boxes is not None
        levels = (view.features.fine[0], view.features.coarse)
        return self._encode_regions(levels, view.boxes, rows, cues.position)

    def _encode_regions(
        self, levels: Sequence[Tensor], boxes: Tensor, rows: Tensor, position: Tensor
    ) -> Tensor:
        tokens: Tensor = self.region_encoder(levels, boxes, rows, position)
        return tokens

    def prompts(self, cues: Cues, regions: Tensor, question: str | None = None) -> Tensor:
        """Return what the language model reads of boxes, [R, P, W]."""
        tokens = cues.images.tokens
        if self.view_projection is not None:
            # The coarse map says what is around, the finest one says it cell by cell.
            features = cues.views[-1].features
            maps = (features.coarse, *features.fine[-1:])
            grid = torch.cat([F.adaptive_avg_pool2d(m, self.config.view_grid) for m in maps], 1)
            cells = self.view_projection(grid.flatten(2).transpose(1, 2))
            seen = cells + self.view_positions
            tokens = torch.cat([tokens, seen], dim=1)
        if self.object_tokens is not None:
            tokens = torch.cat([tokens, self._objects(cues.views[-1])], dim=1)
        return self.reasoner.embed_prompts(tokens, regions, cues.position, question)

    def _objects(self, view: View) -> Tensor:
        """Return tokens of the objects around the prompt box, or around the view's middle."""
        assert isinstance(self.segmenter, SmallSegmenter)
        assert self.segmenter.finder is not None
        assert self.object_tokens is not None
        boxes = view.boxes
        if boxes is None:
            boxes = view.features.coarse.new_tensor([[0.0, 0.0, 1.0, 1.0]])
        near = ((boxes[:, :2] + boxes[:, 2:]) / 2).expand(len(view.features.coarse), 2)
        found = self.segmenter.finder.find(view.features, self.config.objects, near)
        tokens: Tensor = self.object_tokens(found, near)
        return tokens

    def write(
        self,
        prompts: Tensor,
        *,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        watch: Callable[[Sequence[int]], None] | None = None,
    ) -> Written:
        """Write captions; see `Reasoner.write`."""
        return self.reasoner.write(
            prompts, temperature=temperature, generator=generator, watch=watch
        )

    def queries(self, read: Read, seg: Sequence[Sequence[int]]) -> Queries:
        """Turn the states that ask for masks into queries.

        Args:
            read: Of the answers.
            seg: Positions of each answer's [SEG].
        """
        states = read.before if self.config.reasoner.seg_state == "before" else read.states
        most = max(1, *(len(places) for places in seg))
        places = torch.zeros(len(seg), most, dtype=torch.int64, device=states.device)
        known = torch.zeros(len(seg), most, dtype=torch.bool, device=states.device)
        for row, positions in enumerate(seg):
            places[row, : len(positions)] = torch.tensor(positions, device=states.device)
            known[row, : len(positions)] = True
        picked = states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))
        return Queries(self.query_projection(picked), known)

    def decode(
        self, cues: Cues, regions: Tensor, asked: Queries, said: RelationPairs | None = None
    ) -> DecodedMasks:
        """Decode the masks of all phrases on all views, by the Context-Aware Mask Decoder.

        Args:
            cues: What is seen.
            regions: Region tokens of the boxes, [R, W].
            asked: A query for each phrase.
            said: What the answers say between two phrases; `mask_decoder.context: gated` needs it.
        """
        decoded: DecodedMasks = self.mask_decoder(
            self.segmenter, cues.views, asked.queries, asked.phrase_mask, regions, said
        )
        return decoded


def _build_segmenter(config: SmallSegmenterConfig | SamSettings) -> Segmenter:
    if isinstance(config, SmallSegmenterConfig):
        return SmallSegmenter(config)
    return load_sam(config)
