"""How much faster are ten boxes on one image than `transformers`' SAM called ten times?

    python -m bench.sam_boxes

SAM of ViT-B's size with random weights, an image of 1024 px that the renderer draws. The reference
is the way of `transformers`' documentation for a box: processor, model, masks of the processor, all
of it once a box. Ours encodes the image once and decodes all boxes in one pass. A box comes with a
query in Skycue; here the query is SAM's own vector of the point in the box's middle, which the
reference gets as that point, so that both see the same prompts, and mask logits are equal. Both
ways end with masks of the image's size.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.peak_memory import peaks, run_alone
from bench.timing import Options, Result, largest_difference, read_options, report, speedup
from skycue.backbones.sam import SamSegmenter
from skycue.boxes import Box, Frame
from skycue.data.renderer.instance_scenes import render
from skycue.windows import cut_window, paste_masks

TARGET = 5.0
N_BOXES = 10
Size = Literal["ViT-B", "tiny"]
SIDES: dict[Size, int] = {"ViT-B": 1024, "tiny": 64}


class Sides:
    """Both ways to the masks of one image's boxes, on the same weights."""

    def __init__(self, size: Size, n_boxes: int = N_BOXES) -> None:
        """Build a SAM, draw an image and lay boxes on it."""
        side = SIDES[size]
        drawn = render(0, size=side).pixels  # [3, S, S]
        self.pixels: NDArray[np.uint8] = np.ascontiguousarray(drawn.transpose(1, 2, 0))
        self.boxes = boxes_on(side, n_boxes)
        self.model = random_sam(size)
        self.segmenter = SamSegmenter(self.model, box_prompt=True).eval()
        self.processor = _processor(side)

    @torch.no_grad()
    def ours(self) -> tuple[Tensor, NDArray[np.bool_]]:
        """Encode once, decode all; return mask logits [R, h, w] and masks [R, H, W]."""
        size = self.pixels.shape[:2]
        frame = Frame.padded((size[0], size[1]), self.segmenter.input_size)
        shown = torch.from_numpy(cut_window(self.pixels, frame)).permute(2, 0, 1)
        features = self.segmenter.encode(shown[None].float() / 255)
        corners = torch.tensor(self.boxes)
        rows = torch.zeros(len(corners), dtype=torch.int64)
        decoded = self.segmenter.decode(
            features.rows(rows), self._middles(corners), frame.to_unit(corners)
        )
        logits = decoded.logits[:, 0]  # [R, h, w]
        masks = paste_masks([logits], [frame], (size[0], size[1]))
        return logits, np.stack([mask.full() for mask in masks])

    def _middles(self, corners: Tensor) -> Tensor:
        """Return SAM's vector of the point in the middle of each box, [R, 1, D]."""
        points = (corners[:, None, None, :2] + corners[:, None, None, 2:]) / 2  # [R, 1, 1, 2]
        labels = torch.ones(points.shape[:3], dtype=torch.int64)
        encoder: Any = self.segmenter.prompt_encoder
        sparse, _ = encoder(points, labels, corners[:, None], None)  # [R, 1, 3, D]
        return sparse[:, :, 0]  # type: ignore[no-any-return]

    @torch.no_grad()
    def reference(self) -> tuple[Tensor, NDArray[np.bool_]]:
        """Call processor and model for each box, as their documentation does."""
        logits, masks = [], []
        for box in self.boxes:
            middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
            inputs = self.processor(
                self.pixels,
                input_points=[[middle]],
                input_labels=[[1]],
                input_boxes=[[list(box)]],
                return_tensors="pt",
            )
            outputs = self.model(**inputs, multimask_output=False)
            logits.append(outputs.pred_masks[0, 0])  # [1, h, w]
            found = self.processor.post_process_masks(
                outputs.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
            )
            masks.append(found[0][0])  # [1, H, W]
        return torch.cat(logits), torch.cat(masks).numpy()


def boxes_on(side: int, n_boxes: int) -> list[Box]:
    """Return boxes of several sizes inside a square image."""
    generator = np.random.default_rng(2)
    corners = generator.uniform(0.0, 0.6, (n_boxes, 2))
    extents = generator.uniform(0.05, 0.4, (n_boxes, 2))
    return [
        (side * x, side * y, side * (x + width), side * (y + height))
        for (x, y), (width, height) in zip(corners.tolist(), extents.tolist(), strict=True)
    ]


def random_sam(size: Size) -> Any:
    """Build a SAM of `transformers` with random weights, large enough to tell boxes apart."""
    import transformers

    vision: dict[str, object] = {}
    other: dict[str, object] = {}
    if size == "tiny":
        vision |= {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        vision |= {"output_channels": 16, "image_size": 64, "patch_size": 8, "mlp_dim": 32}
        vision |= {"global_attn_indexes": [1], "window_size": 3, "num_pos_feats": 8}
        other = {"hidden_size": 16}
    torch.manual_seed(1)
    config = transformers.SamConfig(
        vision_config=vision,
        prompt_encoder_config={**other, **({"image_size": 64, "patch_size": 8} if other else {})},
        mask_decoder_config={**other, **({"mlp_dim": 32} if other else {})},
    )
    model: Any = transformers.SamModel(config)
    model.eval().requires_grad_(False)
    for weight in model.parameters():
        if weight.dim() > 1:  # those of `transformers` are so small that all masks are alike
            weight.normal_(std=weight[0].numel() ** -0.5)
    return model


def _processor(side: int) -> Any:
    """Return the processor that needs no torchvision."""
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
    from transformers.models.sam.processing_sam import SamProcessor

    make: Any = SamProcessor
    padded = {"height": side, "width": side}
    return make(SamImageProcessorPil(size={"longest_edge": side}, pad_size=padded))


def measure(options: Options, *, size: Size = "ViT-B", n_boxes: int = N_BOXES) -> list[Result]:
    """Compare mask logits, then time both ways."""
    sides = Sides(size, n_boxes)
    difference = largest_difference([sides.ours()[0]], [sides.reference()[0]])
    timed: dict[str, Callable[[], object]] = {"reference": sides.reference, "ours": sides.ours}
    return [
        speedup(
            f"{n_boxes} boxes on an image of {SIDES[size]} px, SAM {size}: encoded once, against "
            f"`transformers` called {n_boxes} times",
            timed,
            options,
            target=TARGET,
            difference=difference,
        )
    ]


def measure_memory(options: Options, size: Size = "ViT-B") -> Result:
    """Let each way run in a process of its own."""
    found = {
        name: run_alone(run_once, name, size, options=options)[1] for name in ("ours", "reference")
    }
    return peaks(f"{N_BOXES} boxes on an image of {SIDES[size]} px, SAM {size}", found)


def run_once(name: Literal["ours", "reference"], size: Size) -> None:
    """Go one of the two ways."""
    sides = Sides(size)
    (sides.ours if name == "ours" else sides.reference)()


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report([*measure(chosen), measure_memory(chosen)], chosen)
