"""The context-aware mask decoder: two passes, and between them the phrases learn of each other.

Pass 1 decodes a coarse mask for each query alone. What lies under it and about which box it is make
a node; the relation layer turns queries into queries with context; pass 2 decodes those. The name
and the aim are CLV-Net's (https://arxiv.org/abs/2512.11680), the steps are ours (see
`relation_layer.py`). The relation layer starts at zero, so masks start as those of the segmenter.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.segmenter import MaskFeatures, MaskOutput, Segmenter
from skycue.config import Config
from skycue.regions.alignment import RelationAlignment, RelationPairs
from skycue.regions.mask_pooling import boxes_under_masks, pool_under_masks, shrink_masks
from skycue.regions.relation_layer import PromptNode, RelationLayer
from skycue.regions.roi_align import roi_align

PROMPT_BINS = 7
"""Bins along each side of the prompt box, whose mean is its visual feature."""


class MaskDecoderConfig(Config):
    """Options of the mask decoder, under `model.mask_decoder`."""

    context: Literal["off", "no_edges", "no_prompt_node", "full", "gated"] = "full"
    """How phrases learn of each other: not at all, by attention without edges or without the
    prompt as a node, or by all of it; `gated` adds to the attention from one phrase to a later one
    how well the edge between them fits the words between them, in training and in use."""
    heads: int = Field(default=8, gt=0)
    """Attention heads of the relation layer; divides the width of a query."""


class View(NamedTuple):
    """One way in which the network looks at each of R regions.

    Attributes:
        features: What the segmenter sees there, a row for each region.
        boxes: The prompt box as shares of the view, [R, 4]; None where no box is given.
    """

    features: MaskFeatures
    boxes: Tensor | None


class DecodedMasks(NamedTuple):
    """The masks of R regions with K phrases each.

    Attributes:
        masks: For each view, in its own frame.
        coarse: Of pass 1, on the context view; None without context.
        edges: A vector for each ordered pair of prompt and phrases, [R, K + 1, K + 1, E], as
            `relation_layer.Related` says; None without edges.
        queries: Those that `masks` were decoded from, [R, K, query_width].
    """

    masks: tuple[MaskOutput, ...]
    coarse: MaskOutput | None
    edges: Tensor | None
    queries: Tensor


class ContextAwareMaskDecoder(nn.Module):
    """Queries to masks, in view of the other queries and of the prompt box.

    Args:
        segmenter_width: Channels of the segmenter's coarse map, Dv.
        query_width: Width of a query.
        region_width: Width of the region encoder's vectors and of the language model's states, Dr.
        config: How much context to use.
    """

    def __init__(
        self, segmenter_width: int, query_width: int, region_width: int, config: MaskDecoderConfig
    ) -> None:
        super().__init__()
        self.config = config
        self.relations = (
            None
            if config.context == "off"
            else RelationLayer(
                query_width,
                segmenter_width,
                region_width,
                heads=config.heads,
                edges=config.context != "no_edges",
                prompt_node=config.context != "no_prompt_node",
            )
        )
        self.agreement = (
            RelationAlignment(query_width, region_width) if config.context == "gated" else None
        )

    def forward(
        self,
        segmenter: Segmenter,
        views: Sequence[View],
        queries: Tensor,
        phrase_mask: Tensor,
        region_vectors: Tensor,
        said: RelationPairs | None = None,
    ) -> DecodedMasks:
        """Decode the masks of K phrases for each of R regions; K may be 0.

        Args:
            segmenter: What turns a query into a mask.
            views: At least one; the last is the widest, where phrases learn of each other.
            queries: Mask queries, [R, K, query_width].
            phrase_mask: False where a query is padding, bool [R, K]; its masks mean nothing, and it
                changes no other mask.
            region_vectors: What the region encoder says of each prompt box, [R, Dr].
            said: What the captions say between two phrases; for `gated` context only.
        """
        coarse, edges = None, None
        if self.relations is not None:
            context, agreement = views[-1], None
            if self.agreement is not None:
                assert said is not None
                agreement = partial(self.agreement.agreement, pairs=said)
            coarse = segmenter.decode(context.features, queries, context.boxes)
            seen = context.features.coarse
            # Probabilities are averaged, not logits: an object smaller than a cell keeps its share.
            shares = shrink_masks(coarse.logits.sigmoid(), (seen.shape[-2], seen.shape[-1]))
            queries, edges = self.relations(
                queries,
                pool_under_masks(seen, shares),
                boxes_under_masks(shares),
                phrase_mask,
                _prompt_node(context, region_vectors),
                agreement,
            )
        masks = tuple(segmenter.decode(view.features, queries, view.boxes) for view in views)
        return DecodedMasks(masks, coarse, edges, queries)


def _prompt_node(view: View, region_vectors: Tensor) -> PromptNode:
    """Look at the prompt box on a view; without a box, the whole view is the prompt."""
    seen, boxes = view.features.coarse, view.boxes
    if boxes is None:
        boxes = seen.new_tensor([0.0, 0.0, 1.0, 1.0]).expand(len(seen), 4)
    index = torch.arange(len(seen), device=seen.device)
    visual = roi_align(seen, boxes, index, size=PROMPT_BINS).mean(dim=(-2, -1))  # [R, Dv]
    return PromptNode(region_vectors, visual, boxes)
