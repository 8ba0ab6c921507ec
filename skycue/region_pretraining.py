"""What the segmenter of a small region model learns first: masks and classes without language.

One learned query asks for the object in the prompt box, on every window; a linear layer names the
class of every cell, another one the class of the boxed object. The two layers and the query are
left behind afterwards.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skycue.backbones.segmenter import MaskFeatures, MaskOutput
from skycue.backbones.small_segmenter import SmallSegmenter
from skycue.region_samples import RegionSample

BCE_WEIGHT = 2.0
DICE_WEIGHT = 0.5
"""As GLaMM weighs its mask losses."""
CELL_WEIGHT = 0.5
CLASS_WEIGHT = 0.2
IOU_WEIGHT = 0.5
CENTRE_WEIGHT = 0.2
FULL = 255.0
"""Level of a cell that an object covers wholly."""


class MaskPretraining(nn.Module):
    """A segmenter with the query and the layers of its first training."""

    def __init__(self, segmenter: SmallSegmenter, n_classes: int) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.query = nn.Parameter(0.02 * torch.randn(segmenter.query_width))
        fine = segmenter.config.fine_width
        self.name_cells = nn.Conv2d(fine, 1 + n_classes, 1)
        self.name_box = nn.Linear(segmenter.width, 1 + n_classes)

    def forward(self, samples: Sequence[RegionSample]) -> dict[str, Tensor]:
        """Return the weighted loss terms of a batch, scalars."""
        device = self.query.device
        masks = torch.cat([sample.masks[prompted_row(sample)] for sample in samples])
        wanted = masks.to(device).float() / FULL  # [B V, T, T]
        classes = torch.cat([sample.classes for sample in samples]).to(device).long()
        target = torch.tensor([s.target for s in samples for _ in s.boxes], device=device)
        features, boxes, out = self._decode(samples)
        logits = F.interpolate(
            out.logits, size=wanted.shape[-2:], mode="bilinear", align_corners=False
        )[:, 0]
        bce = F.binary_cross_entropy_with_logits(logits, wanted)
        shares = logits.sigmoid()
        common = (shares * wanted).sum((-2, -1))
        dice = 1 - (2 * common + 1) / (shares.sum((-2, -1)) + wanted.sum((-2, -1)) + 1)
        found = (logits > 0).float()
        overlap = (found * wanted).sum((-2, -1)) / torch.maximum(found, wanted).sum((-2, -1)).clamp(
            min=1
        )
        cells = self.name_cells(features.fine[-1])
        small = F.interpolate(classes[:, None].float(), size=cells.shape[-2:], mode="nearest")
        named = self.name_box(_inside(features, boxes))
        terms = {
            "bce": BCE_WEIGHT * bce,
            "dice": DICE_WEIGHT * dice.mean(),
            "iou": IOU_WEIGHT * F.mse_loss(out.iou[:, 0], overlap),
            "cells": CELL_WEIGHT * F.cross_entropy(cells, small[:, 0].long()),
            "class": CLASS_WEIGHT * F.cross_entropy(named, target),
        }
        if self.segmenter.finder is not None:
            objects = [window for sample in samples for window in sample.objects]
            terms["centres"] = CENTRE_WEIGHT * self.segmenter.finder.loss(features, objects)
        return terms

    def masks(self, samples: Sequence[RegionSample]) -> list[MaskOutput]:
        """Return the masks of the boxed objects on each view, K = 1."""
        out = self._decode(samples)[2]
        n_views = len(samples[0].boxes)
        rows = range(n_views)
        return [MaskOutput(out.logits[v::n_views], out.iou[v::n_views]) for v in rows]

    def _decode(self, samples: Sequence[RegionSample]) -> tuple[MaskFeatures, Tensor, MaskOutput]:
        """Return the features of all windows, the box on each, [B V, 4], and its mask."""
        device = self.query.device
        pixels = torch.cat([sample.pixels for sample in samples]).to(device)  # [B V, 3, S, S]
        boxes = torch.cat([sample.boxes for sample in samples]).to(device)
        features = self.segmenter.encode(pixels.float() / FULL)
        queries = self.query.expand(len(pixels), 1, -1)
        return features, boxes, self.segmenter.decode(features, queries, boxes)


def prompted_row(sample: RegionSample) -> int:
    """Return which phrase is the object in the box; the first one where none is said to be."""
    return sample.caption.prompted or 0


def _inside(features: MaskFeatures, boxes: Tensor) -> Tensor:
    """Return the mean of the coarse map inside each box, [B, D]."""
    cells = features.coarse.shape[-1]
    edges = torch.arange(cells, dtype=boxes.dtype, device=boxes.device) / cells
    x = _share(edges, boxes[:, 0], boxes[:, 2])  # [B, w]
    y = _share(edges, boxes[:, 1], boxes[:, 3])  # [B, h]
    weights = y[:, :, None] * x[:, None]
    weights = weights / weights.sum((-2, -1), keepdim=True).clamp(min=1e-6)
    return torch.einsum("bdhw,bhw->bd", features.coarse, weights)


def _share(edges: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the share of each cell between `low` and `high`, [B, cells]; cells begin at edges."""
    reach = 1 / len(edges)
    top = torch.minimum(edges + reach, high[:, None])
    return (top - torch.maximum(edges, low[:, None])).clamp(min=0) / reach
