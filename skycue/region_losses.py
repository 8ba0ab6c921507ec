"""The loss of a batch of region samples: text, masks of two passes, and the two alignments.

Every term is this process's share: sums divided by counts of the global batch. So two processes,
or gradients added up over several batches, give what one large batch gives.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skycue.backbones.segmenter import MaskOutput
from skycue.data.region_captions import GroundedCaption
from skycue.region_recipe import LossWeights
from skycue.region_samples import RegionSample
from skycue.regions.alignment import (
    RelationAlignment,
    RelationPairs,
    SemanticAlignment,
    collect_pairs,
)
from skycue.regions.clvnet import ClvNet, Cues, ImageTokens
from skycue.regions.grounded_text import BOX, TextTargets, encode_caption
from skycue.regions.mask_decoder import DecodedMasks
from skycue.regions.mask_losses import mask_bce_loss, mask_dice_loss
from skycue.regions.mask_pooling import pool_under_masks, shrink_masks
from skycue.regions.phrase_keys import PhraseIds
from skycue.regions.reasoner import Read

FULL = 255.0
"""Level of a cell that an object covers wholly."""


class Alignments(nn.Module):
    """The layers that only the alignment losses use; a model that is used has none.

    Where its mask decoder is gated, the layer of the relation loss is the network's own.
    """

    def __init__(self, network: ClvNet) -> None:
        super().__init__()
        text_width = network.reasoner.language.width
        self.semantic = SemanticAlignment(network.segmenter.width, text_width)
        relations = network.mask_decoder.relations
        has_edges = relations is not None and relations.edge is not None
        needs_own = has_edges and network.mask_decoder.agreement is None
        self.relation = (
            RelationAlignment(network.segmenter.query_width, text_width) if needs_own else None
        )


class Targets(NamedTuple):
    """What a batch is to say and to outline.

    Attributes:
        texts: One a sample.
        masks: Share of each cell that each phrase covers, [R, K, V, T, T].
        present: False where a phrase is padding, [R, K] bool.
    """

    texts: list[TextTargets]
    masks: Tensor
    present: Tensor


def targets_of(network: ClvNet, samples: Sequence[RegionSample]) -> Targets:
    """Turn the captions and masks of samples into targets, on the network's device."""
    most = max(1, *(len(sample.masks) for sample in samples))
    shape = samples[0].masks.shape[1:]
    masks = torch.zeros(len(samples), most, *shape, dtype=torch.uint8)
    present = torch.zeros(len(samples), most, dtype=torch.bool)
    for row, sample in enumerate(samples):
        masks[row, : len(sample.masks)] = sample.masks
        present[row, : len(sample.masks)] = True
    device = network.clip.device
    return Targets(texts_of(network, samples), masks.to(device).float() / FULL, present.to(device))


def texts_of(network: ClvNet, samples: Sequence[RegionSample]) -> list[TextTargets]:
    """Turn the captions of samples into tokens."""
    return [_tokens(network, sample.caption) for sample in samples]


def _tokens(network: ClvNet, caption: GroundedCaption) -> TextTargets:
    return encode_caption(
        network.reasoner.language.tokenizer,  # type: ignore[arg-type]
        caption.text,
        [(phrase.start, phrase.end) for phrase in caption.phrases],
    )


def count_tokens(network: ClvNet, samples: Sequence[RegionSample]) -> dict[str, float]:
    """Count what the loss of captions alone is divided by."""
    return {"tokens": float(sum(len(text.ids) for text in texts_of(network, samples)))}


def counts_of(network: ClvNet, samples: Sequence[RegionSample]) -> dict[str, float]:
    """Count what the terms are divided by: tokens, phrases, masks on views, pairs of phrases."""
    targets = targets_of(network, samples)
    visible = targets.masks.amax((-2, -1)) > 0  # [R, K, V]
    return {
        "regions": float(len(samples)),
        "tokens": float(sum(len(text.ids) for text in targets.texts)),
        "phrases": float(targets.present.sum()),
        "visible": float(visible.sum()),
        "aligned": float(visible[..., -1].sum()),
        "pairs": float(sum(len(text.between) for text in targets.texts)),
    }


def cues_of(network: ClvNet, images: ImageTokens, samples: Sequence[RegionSample]) -> Cues:
    """Encode the views of samples."""
    device = network.clip.device
    pixels = torch.stack([sample.pixels for sample in samples]).to(device).float() / FULL
    boxes = torch.stack([sample.boxes for sample in samples]).to(device)
    position = torch.stack([sample.position for sample in samples]).to(device)
    return network.look(images, pixels, boxes, position)


def text_loss(
    network: ClvNet,
    images: ImageTokens,
    samples: Sequence[RegionSample],
    tokens: float,
    neighbours: float = 0.0,
) -> dict[str, Tensor]:
    """Return the cross-entropy of captions, their sum over `tokens`; no mask is decoded.

    Args:
        network: What learns.
        images: Whole images of the samples, a row each.
        samples: What is seen and said.
        tokens: `count_tokens` of the global batch.
        neighbours: Factor of the term that learns the side of each neighbour; 0 leaves it out.
    """
    cues = cues_of(network, images, samples)
    prompts = network.prompts(cues, network.region_tokens(cues))
    answers = [text.ids for text in texts_of(network, samples)]
    terms = {"text": network.reasoner.read(prompts, answers).loss_sum / tokens}
    if neighbours:
        language = network.reasoner.language
        mark = torch.tensor([language.id_of(BOX)], device=prompts.device)  # tells it from a caption
        marked = torch.cat([prompts, language.embed(mark).expand(len(prompts), 1, -1)], dim=1)
        told = [_tokens(network, sample.neighbours).ids for sample in samples]
        terms["neighbours"] = neighbours * network.reasoner.read(marked, told).loss_sum / tokens
    return terms


def region_loss(
    network: ClvNet,
    alignments: Alignments,
    images: ImageTokens,
    samples: Sequence[RegionSample],
    weights: LossWeights,
    totals: Mapping[str, float],
    *,
    align: bool,
) -> dict[str, Tensor]:
    """Return the weighted terms of the loss, by name; the names are the same for all batches.

    L = 1 text + 2 BCE + 0.5 Dice + 0.5 (the same of the first pass) + 0.1 semantic + 0.1 relation
    by default (clvnet.md 8.1), and the matrix term of its decision 13 where it has a weight.

    Args:
        network: What learns.
        alignments: Layers of the alignment losses.
        images: Whole images of the samples, a row each.
        samples: What is seen, said and outlined.
        weights: Factors of the terms.
        totals: `counts_of` summed over the global batch.
        align: Whether the alignment losses have begun.
    """
    targets = targets_of(network, samples)
    cues = cues_of(network, images, samples)
    regions = network.region_tokens(cues)
    read = network.reasoner.read(network.prompts(cues, regions), [t.ids for t in targets.texts])
    asked = network.queries(read, [t.seg for t in targets.texts])
    pairs = pairs_of(read, targets)
    decoded = network.decode(cues, regions, asked, pairs)
    terms = {"text": weights.text * read.loss_sum / totals["tokens"]}
    terms |= _mask_terms(decoded, targets, weights, totals)
    zero = read.loss_sum * 0
    if weights.semantic:
        count = totals["aligned"]
        aligned = _semantic(alignments, cues, read, targets, samples, count) if align else zero
        terms["semantic"] = weights.semantic * aligned
    layer = network.mask_decoder.agreement or alignments.relation
    if weights.relation and layer is not None and decoded.edges is not None:
        related = layer(decoded.edges, pairs, totals["pairs"]) if align else zero
        terms["relation"] = weights.relation * related
    if weights.matrix:
        alike = _matrix(alignments, cues, read, targets, totals["regions"]) if align else zero
        terms["matrix"] = weights.matrix * alike
    return terms


def _mask_terms(
    decoded: DecodedMasks, targets: Targets, weights: LossWeights, totals: Mapping[str, float]
) -> dict[str, Tensor]:
    """Return the losses of masks on every view, and of the first pass on the widest."""
    n_views = len(decoded.masks)
    per_mask = totals["phrases"] * n_views
    zero = decoded.masks[0].logits.sum() * 0
    bce = dice = iou = coarse = zero
    for view, out in enumerate(decoded.masks):
        wanted = targets.masks[:, :, view]
        visible = targets.present & (wanted.amax((-2, -1)) > 0)
        logits = _at(out.logits, wanted)
        bce = bce + mask_bce_loss(logits, wanted, targets.present, per_mask)
        dice = dice + mask_dice_loss(logits, wanted, visible, totals["visible"])
        errors = (out.iou.float() - _overlap(logits, wanted)).square()
        iou = iou + (errors * visible).sum() / max(totals["visible"], 1)
    if decoded.coarse is not None:
        wanted = targets.masks[:, :, -1]
        visible = targets.present & (wanted.amax((-2, -1)) > 0)
        logits = _at(decoded.coarse.logits, wanted)
        coarse = weights.bce * mask_bce_loss(logits, wanted, targets.present, totals["phrases"])
        coarse = coarse + weights.dice * mask_dice_loss(logits, wanted, visible, totals["phrases"])
    return {
        "bce": weights.bce * bce,
        "dice": weights.dice * dice,
        "coarse": weights.coarse * coarse,
        "iou": weights.iou * iou,
    }


def _at(logits: Tensor, wanted: Tensor) -> Tensor:
    """Bring logits to the resolution of their targets."""
    size = (wanted.shape[-2], wanted.shape[-1])
    return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)


def _overlap(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the overlap of masks with their targets, without gradient, [R, K]."""
    found = (logits.detach() > 0).float()
    union = torch.maximum(found, wanted).sum((-2, -1))
    return torch.minimum(found, wanted).sum((-2, -1)) / union.clamp(min=1)


def _semantic(
    alignments: Alignments,
    cues: Cues,
    read: Read,
    targets: Targets,
    samples: Sequence[RegionSample],
    count: float,
) -> Tensor:
    """Return the Cross-modal Semantic Consistency Loss over all phrases with a visible object."""
    pooled, visible = _pooled(cues, targets)
    seen, said, texts, classes, images = [], [], [], [], []
    for row, (sample, target) in enumerate(zip(samples, targets.texts, strict=True)):
        for number, (phrase, (first, last)) in enumerate(
            zip(sample.caption.phrases, target.phrases, strict=True)
        ):
            if not visible[row, number]:
                continue
            seen.append(pooled[row, number])
            said.append(read.states[row, first:last].mean(dim=0))
            texts.append(sample.caption.text[phrase.start : phrase.end])
            classes.append(phrase.class_name)
            images.append(f"{sample.image}/{sample.orientation}")
    width = read.states.shape[-1]
    visual = torch.stack(seen) if seen else pooled.new_zeros(0, pooled.shape[-1])
    words = torch.stack(said) if said else read.states.new_zeros(0, width)
    ids = PhraseIds.of(texts, classes, images)
    loss: Tensor = alignments.semantic(visual, words, ids, count)
    return loss


def _pooled(cues: Cues, targets: Targets) -> tuple[Tensor, Tensor]:
    """Return what lies under the true masks on the widest view, and which are seen there.

    Returns:
        Mean features [R, K, D], and bool [R, K].
    """
    features = cues.views[-1].features.coarse
    shares = shrink_masks(targets.masks[:, :, -1], (features.shape[-2], features.shape[-1]))
    return pool_under_masks(features, shares), shares.amax((-2, -1)) > 0


def _matrix(
    alignments: Alignments, cues: Cues, read: Read, targets: Targets, count: float
) -> Tensor:
    """Return how far likeness among objects lies from likeness among their phrases."""
    pooled, visible = _pooled(cues, targets)
    said = read.states.new_zeros(*visible.shape, read.states.shape[-1])
    for row, target in enumerate(targets.texts):
        for number, (first, last) in enumerate(target.phrases):
            said[row, number] = read.states[row, first:last].mean(dim=0).detach()
    return alignments.semantic.matrix(pooled, said, visible & targets.present, count)


def pairs_of(read: Read, targets: Targets) -> RelationPairs:
    """Collect what captions say between two phrases of a sentence."""
    ids = [target.ids for target in targets.texts]
    return collect_pairs(read.states, ids, [target.between for target in targets.texts])


def mean_overlap(outputs: Sequence[MaskOutput], targets: Targets) -> tuple[Tensor, Tensor]:
    """Return the overlap of each phrase's mask on the first view that shows it, and its presence.

    Returns:
        Overlaps [R, K], and which of them count [R, K] bool.
    """
    best = torch.zeros_like(targets.present, dtype=torch.float32)
    counted = torch.zeros_like(targets.present)
    for view in reversed(range(len(outputs))):
        wanted = targets.masks[:, :, view]
        visible = targets.present & (wanted.amax((-2, -1)) > 0)
        best = torch.where(visible, _overlap(_at(outputs[view].logits, wanted), wanted), best)
        counted |= visible
    return best, counted
