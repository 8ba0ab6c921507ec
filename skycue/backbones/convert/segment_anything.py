"""SAM under the names of the repository segment-anything, as GLaMM's checkpoints hold it.

Kirillov et al., "Segment Anything", ICCV 2023, https://arxiv.org/abs/2304.02643.
"""

from collections.abc import Mapping

from torch import Tensor

from skycue.backbones.convert.layout import Renames, renamed
from skycue.backbones.sam import SCRATCH, SamSettings
from skycue.errors import CheckpointError

NO_WEIGHTS = ("pixel_mean", "pixel_std")
"""Constants that some files hold beside the weights."""
RENAMES: Renames = (
    ("image_encoder.patch_embed.proj.", "vision_encoder.patch_embed.projection."),
    ("image_encoder.blocks.", "vision_encoder.layers."),
    ("image_encoder.neck.0.", "vision_encoder.neck.conv1."),
    ("image_encoder.neck.1.", "vision_encoder.neck.layer_norm1."),
    ("image_encoder.neck.2.", "vision_encoder.neck.conv2."),
    ("image_encoder.neck.3.", "vision_encoder.neck.layer_norm2."),
    ("image_encoder.", "vision_encoder."),
    (".pe_layer.positional_encoding_gaussian_matrix", ".shared_embedding.positional_embedding"),
    (".point_embeddings.", ".point_embed."),
    (".mask_downscaling.0.", ".mask_embed.conv1."),
    (".mask_downscaling.1.", ".mask_embed.layer_norm1."),
    (".mask_downscaling.3.", ".mask_embed.conv2."),
    (".mask_downscaling.4.", ".mask_embed.layer_norm2."),
    (".mask_downscaling.6.", ".mask_embed.conv3."),
    (".output_upscaling.0.", ".upscale_conv1."),
    (".output_upscaling.1.", ".upscale_layer_norm."),
    (".output_upscaling.3.", ".upscale_conv2."),
    (".norm_final_attn.", ".layer_norm_final_attn."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".norm3.", ".layer_norm3."),
    (".norm4.", ".layer_norm4."),
)
"""Parts of their names and of ours, applied in this order."""
HEADS = ("mask_decoder.output_hypernetworks_mlps.", "mask_decoder.iou_prediction_head.")
"""Small MLPs of three layers, whose first and last have names of their own in `transformers`."""
HEAD_RENAMES: Renames = (
    (".layers.0.", ".proj_in."),
    (".layers.1.", ".layers.0."),
    (".layers.2.", ".proj_out."),
)


def segmenter_name(name: str) -> str:
    """Return the name in `SamSegmenter` of a tensor of segment-anything."""
    return renamed(name, HEAD_RENAMES if name.startswith(HEADS) else RENAMES)


def segmenter_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of `SamSegmenter` that holds a state dict of segment-anything."""
    kept = {name: tensor for name, tensor in state.items() if name not in NO_WEIGHTS}
    return {segmenter_name(name): tensor for name, tensor in kept.items()}


def measure_sam(state: Mapping[str, Tensor]) -> SamSettings:
    """Read the sizes of a SAM off the weights of a `SamSegmenter`.

    Raises:
        CheckpointError: If a weight that tells a size is missing.
    """
    try:
        _, grid, _, hidden = state["vision_encoder.pos_embed"].shape
        patch = state["vision_encoder.patch_embed.projection.weight"].shape[-1]
        spans: list[int] = []  # side of what each layer attends to, in patches
        while f"vision_encoder.layers.{len(spans)}.attn.rel_pos_h" in state:
            table = state[f"vision_encoder.layers.{len(spans)}.attn.rel_pos_h"]  # [2 span - 1, d]
            spans.append((len(table) + 1) // 2)
        head_width = state["vision_encoder.layers.0.attn.rel_pos_h"].shape[1]
        decoder_width = state["prompt_encoder.no_mask_embed.weight"].shape[1]
        decoder_hidden = len(state["mask_decoder.transformer.layers.0.mlp.lin1.weight"])
    except KeyError as error:
        raise CheckpointError(f"the weights of SAM lack {error.args[0]}.") from error
    windows = [span for span in spans if span != grid]
    return SamSettings(
        source=SCRATCH,
        input_size=grid * patch,
        patch_size=patch,
        hidden_size=hidden,
        layers=len(spans),
        heads=hidden // head_width,
        global_layers=tuple(layer for layer, span in enumerate(spans) if span == grid),
        window=windows[0] if windows else SamSettings().window,
        decoder_width=decoder_width,
        decoder_hidden=decoder_hidden,
    )
