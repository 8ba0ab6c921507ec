"""SAM, prompted by query vectors: a text prompt in place of points and boxes, as in GLaMM.

Kirillov et al., "Segment Anything", ICCV 2023, https://arxiv.org/abs/2304.02643, as `transformers`
has it; Rasheed et al., "GLaMM", CVPR 2024, https://arxiv.org/abs/2311.03356: each query is the
only sparse prompt of one mask, the dense prompt is the learned "no mask", and the first of SAM's
mask tokens answers. The queries of an image are decoded in one pass and never see each other.

The encoder and the prompt encoder are frozen, the mask decoder learns (GLaMM's choice).
"""

from typing import TYPE_CHECKING, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.hub import check_name, explain_loading, load_model
from skycue.backbones.segmenter import MaskFeatures, MaskOutput, Segmenter
from skycue.config import Config

if TYPE_CHECKING:
    from transformers import SamModel

SCRATCH = "scratch"
"""Source of a network with random weights, whose sizes the configuration gives."""
SAM_MEAN = (0.485, 0.456, 0.406)
"""Mean of the RGB channels in [0, 1] that SAM was trained with."""
SAM_STD = (0.229, 0.224, 0.225)
"""Standard deviation of the RGB channels."""
SAM_PADDING = (round(255 * SAM_MEAN[0]), round(255 * SAM_MEAN[1]), round(255 * SAM_MEAN[2]))
"""The same in levels of 0 to 255: the colour that normalisation makes zero."""
CPU_QUERIES = 1
"""Queries that a CPU decodes at once: the maps of more do not fit its caches."""
_MASK_SCALE = 4  # the decoder's masks are four times as fine as its map
_WHAT = "SAM"
_DECODER_EPSILON = 1e-5  # segment-anything's; the default of `SamMaskDecoderConfig` is 1e-6
_INITIALIZER_RANGE = 0.02  # of plain ViTs; the default of `SamVisionConfig` is 1e-10


class SamSettings(Config):
    """Which SAM, and what it looks at; the sizes are those of ViT-B by default."""

    kind: Literal["sam"] = "sam"
    """Tells it from other segmenters in a configuration."""
    source: str = "facebook/sam-vit-base"
    """A folder, a hub name, or "scratch" for random weights of the sizes below."""
    box_prompt: bool = False
    """Let the decoder see the prompt box too, as SAM's two corner tokens; GLaMM does not."""
    input_size: int = Field(default=1024, ge=16)
    """From scratch: side of the input in pixels."""
    patch_size: int = Field(default=16, ge=2)
    """From scratch: side of a patch in pixels."""
    hidden_size: int = Field(default=768, ge=4)
    """From scratch: width of the encoder."""
    layers: int = Field(default=12, ge=1)
    """From scratch: layers of the encoder."""
    heads: int = Field(default=12, ge=1)
    """From scratch: attention heads of the encoder; divides `hidden_size`."""
    global_layers: tuple[int, ...] = (2, 5, 8, 11)
    """From scratch: layers that attend to the whole image, the others to a window."""
    window: int = Field(default=14, ge=1)
    """From scratch: side of a window in patches."""
    decoder_width: int = Field(default=256, ge=16, multiple_of=16)
    """From scratch: width of the map, of a query and of the decoder."""
    decoder_hidden: int = Field(default=2048, ge=8)
    """From scratch: width inside the decoder's MLPs."""


SAM_SIZES = {
    "base": SamSettings(),
    "large": SamSettings(
        source="facebook/sam-vit-large",
        hidden_size=1024,
        layers=24,
        heads=16,
        global_layers=(5, 11, 17, 23),
    ),
    "huge": SamSettings(
        source="facebook/sam-vit-huge",
        hidden_size=1280,
        layers=32,
        heads=16,
        global_layers=(7, 15, 23, 31),
    ),
}
"""The three published sizes; GLaMM has the last."""


class SamSegmenter(Segmenter):
    """SAM's encoder and mask decoder, asked by vectors.

    Its input is an image in the upper left of a square (`Frame.padded`). SAM pads after the
    normalisation, with zeros; `padding` becomes just that, to half a level.
    """

    padding = SAM_PADDING

    def __init__(self, sam: "SamModel", *, box_prompt: bool = False) -> None:
        """Take over the parts of a SAM of `transformers`; all but the mask decoder is frozen."""
        super().__init__()
        self.vision_encoder = sam.vision_encoder.requires_grad_(False)
        self.prompt_encoder = sam.prompt_encoder.requires_grad_(False)
        self.mask_decoder = sam.mask_decoder.requires_grad_(True)
        self.box_prompt = box_prompt
        self.input_size = int(self.prompt_encoder.input_image_size)
        self.width = int(self.prompt_encoder.hidden_size)
        self.query_width = self.seen_width = self.width
        self.mean: Tensor
        self.std: Tensor
        for name, colour in (("mean", SAM_MEAN), ("std", SAM_STD)):
            values = torch.tensor(colour)[:, None, None]  # [3, 1, 1]
            self.register_buffer(name, values, persistent=False)

    def encode(self, pixels: Tensor) -> MaskFeatures:
        """Encode RGB in [0, 1], [B, 3, S, S], to one map [B, D, S/16, S/16]."""
        encoded = self.vision_encoder((pixels - self.mean) / self.std)
        return MaskFeatures(encoded.last_hidden_state)

    def decode(
        self, features: MaskFeatures, queries: Tensor, boxes: Tensor | None = None
    ) -> MaskOutput:
        """Turn queries [B, K, D] into masks of a quarter of the input's resolution.

        `boxes` are looked at only with `box_prompt`.
        """
        maps = features.coarse
        n_images, n_queries = queries.shape[:2]
        if n_images == 0 or n_queries == 0:
            height, width = (_MASK_SCALE * side for side in maps.shape[-2:])
            empty = maps.new_zeros(n_images, 0, height, width)
            return MaskOutput(empty, maps.new_zeros(n_images, 0))
        prompts = queries[:, :, None]  # [B, K, 1, D]
        if self.box_prompt and boxes is not None:
            corners = self._corners(boxes).expand(-1, n_queries, -1, -1)  # [B, K, 2, D]
            prompts = torch.cat([corners.to(prompts.dtype), prompts], dim=2)  # [B, K, 3, D]
        if maps.device.type != "cpu":
            return self._decode(maps, self._positions(maps), prompts)
        places = self._positions(maps[:1])  # alike for all images
        outputs = [
            self._decode(image[None], places, part[None])
            for image, asked in zip(maps, prompts, strict=True)
            for part in asked.split(CPU_QUERIES)
        ]
        logits = torch.cat([output.logits[0] for output in outputs])  # [B K, h', w']
        iou = torch.cat([output.iou[0] for output in outputs])
        return MaskOutput(
            logits.view(n_images, n_queries, *logits.shape[1:]), iou.view(n_images, n_queries)
        )

    def _decode(self, maps: Tensor, places: Tensor, prompts: Tensor) -> MaskOutput:
        """Decode prompts [B, K, P, D] on maps and positions of cells [B, D, h, w] in one pass."""
        no_mask = self.prompt_encoder.no_mask_embed.weight[0, :, None, None]  # [D, 1, 1]
        masks, iou = self.mask_decoder(
            image_embeddings=maps,
            image_positional_embeddings=places,
            sparse_prompt_embeddings=prompts,
            dense_prompt_embeddings=no_mask.expand_as(maps),
            multimask_output=False,
        )  # [B, K, 1, h', w'], [B, K, 1]
        return MaskOutput(masks[:, :, 0], iou[:, :, 0])

    def _corners(self, boxes: Tensor) -> Tensor:
        """Return SAM's tokens of the corners of boxes [B, 4] in shares, as [B, 1, 2, D]."""
        pixels = boxes[:, None] * self.input_size  # [B, 1, 4]
        corners, _ = self.prompt_encoder(None, None, pixels, None)
        return cast("Tensor", corners)

    def _positions(self, maps: Tensor) -> Tensor:
        """Return the position vectors of the centres of a map's cells, [B, D, h, w]."""
        height, width = maps.shape[-2:]
        y = (torch.arange(height, device=maps.device) + 0.5) / height
        x = (torch.arange(width, device=maps.device) + 0.5) / width
        centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [h, w, 2]
        vectors = self.prompt_encoder.shared_embedding(centres.to(maps.dtype))  # [h, w, D]
        return cast("Tensor", vectors.permute(2, 0, 1).expand_as(maps))


def load_sam(
    settings: SamSettings,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> SamSegmenter:
    """Load a SAM, or build one with random weights.

    Args:
        settings: Which one.
        device: Where the weights go; None takes PyTorch's default.
        dtype: Number format of the weights.

    Raises:
        CheckpointError: If it cannot be loaded.
    """
    from transformers import SamModel

    if settings.source == SCRATCH:
        sam = _random_sam(settings)
        nn.Module.to(sam, device, dtype)
    else:
        check_name(settings.source, _WHAT)
        with explain_loading(settings.source, _WHAT, "give a folder"):
            load = SamModel.from_pretrained
            where = device or torch.get_default_device()
            loaded = load_model(load, settings.source, dtype=dtype, device=where)
            sam = cast("SamModel", loaded)
    return SamSegmenter(sam, box_prompt=settings.box_prompt)


def _random_sam(settings: SamSettings) -> "SamModel":
    """Build a SAM of any sizes."""
    from transformers import (
        SamConfig,
        SamMaskDecoderConfig,
        SamModel,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    vision = SamVisionConfig(
        hidden_size=settings.hidden_size,
        output_channels=settings.decoder_width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        image_size=settings.input_size,
        patch_size=settings.patch_size,
        mlp_dim=4 * settings.hidden_size,
        global_attn_indexes=list(settings.global_layers),
        window_size=settings.window,
        num_pos_feats=settings.decoder_width // 2,
        initializer_range=_INITIALIZER_RANGE,
    )
    prompts = SamPromptEncoderConfig(
        hidden_size=settings.decoder_width,
        image_size=settings.input_size,
        patch_size=settings.patch_size,
    )
    decoder = SamMaskDecoderConfig(
        hidden_size=settings.decoder_width,
        mlp_dim=settings.decoder_hidden,
        layer_norm_eps=_DECODER_EPSILON,
    )
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )
    return SamModel(config)
