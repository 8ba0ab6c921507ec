"""Semantic and relationship alignment: what is said and what is seen are drawn together.

The two losses carry the names of CLV-Net's (https://arxiv.org/abs/2512.11680); their forms are
ours, after the contrast of van den Oord et al., "Representation Learning with Contrastive
Predictive Coding", 2018, equation 4 (InfoNCE, https://arxiv.org/abs/1807.03748), with several right
answers as in Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, equation 2
(https://arxiv.org/abs/2004.11362). Both compare over the batch of all processes, in float32, and
return this process's share: the shares add up to the loss of the global batch.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skycue.distributed import all_gather_rows
from skycue.regions.phrase_keys import PhraseIds, denominator_mask, positive_mask, stable_id

FIRST_TEMPERATURE = 0.07
"""Of the semantic contrast at the start of training, as in CLIP."""
LARGEST_SCALE = 100.0
"""The inverse temperature is kept below this, as in CLIP."""
RELATION_TEMPERATURE = 0.1
"""Of the relation contrast, of the matrix term and of the agreement."""
LEAST_NODES = 3
"""With two phrases, a row of the matrix term has one entry, whose softmax knows no gradient."""


class SemanticAlignment(nn.Module):
    """Each phrase finds the object that it names among all objects, and the reverse.

    Args:
        visual_width: Width of features pooled under masks, Dv.
        text_width: Width of the language model's states, W.
        width: Width in which both are compared, D.
    """

    def __init__(self, visual_width: int, text_width: int, width: int = 256) -> None:
        super().__init__()
        self.visual = nn.Sequential(
            nn.Linear(visual_width, width), nn.GELU(), nn.Linear(width, width)
        )
        self.text = nn.Linear(text_width, width)
        # One axis, not none: FSDP shards no scalar.
        self.logit_scale = nn.Parameter(torch.tensor([math.log(1 / FIRST_TEMPERATURE)]))

    def forward(
        self, visual: Tensor, text: Tensor, phrases: PhraseIds, count: float | None = None
    ) -> Tensor:
        """Return this process's share of the semantic consistency loss, a scalar.

        Gradients reach the features, the states, both projections and the temperature. Every
        process must call this in every step, also with M = 0.

        Args:
            visual: Mean feature under the true mask of each phrase, [M, Dv].
            text: Mean state of each phrase's tokens, [M, W].
            phrases: Which of them are alike.
            count: Phrases by which the sum is divided, where a step adds up several batches; None:
                those of this batch in all processes.
        """
        with torch.autocast(visual.device.type, enabled=False):
            seen = F.normalize(self.visual(visual.float()), dim=-1)  # [M, D]
            said = F.normalize(self.text(text.float()), dim=-1)
            ids = phrases.to(visual.device)
            everyone = PhraseIds(*(all_gather_rows(numbers)[0] for numbers in ids))
            scale = self.logit_scale.exp().clamp(max=LARGEST_SCALE)
            positive, counted = positive_mask(ids, everyone), denominator_mask(ids, everyone)
            total = len(everyone.keys) if count is None else count
            return contrast(seen, said, scale, positive, counted) / max(total, 1)

    def matrix(self, visual: Tensor, text: Tensor, phrase_mask: Tensor, count: float) -> Tensor:
        """Return `matrix_divergence` of objects and phrases as this layer compares them, a scalar.

        Args:
            visual: What is seen of each object, [R, K, Dv].
            text: Mean state of each phrase, [R, K, W].
            phrase_mask: False where a phrase is padding or its object not seen, bool [R, K].
            count: Regions by which the sum is divided.
        """
        with torch.autocast(visual.device.type, enabled=False):
            seen, said = self.visual(visual.float()), self.text(text.float())
            return matrix_divergence(said, seen, phrase_mask, count)


class RelationPairs(NamedTuple):
    """What a batch of captions says between two phrases of a sentence, the first before the second.

    Attributes:
        regions: Which region each pair belongs to, int64 [P].
        first: Which phrase of it is named first, from 0, int64 [P].
        second: Which phrase is named second, int64 [P].
        states: Mean state of the tokens between the two, [P, W].
        keys: Equal where the words between are equal, int64 [P]; see `phrase_keys.stable_id`.
    """

    regions: Tensor
    first: Tensor
    second: Tensor
    states: Tensor
    keys: Tensor


def collect_pairs(
    states: Tensor,
    ids: Sequence[Sequence[int]],
    between: Sequence[Sequence[tuple[int, int, tuple[int, int]]]],
) -> RelationPairs:
    """Collect what captions say between two phrases.

    Args:
        states: Of the answers' tokens, [R, L, W].
        ids: Tokens of each answer.
        between: Of each answer, as `grounded_text.TextTargets.between` says.
    """
    rows, firsts, seconds, said, keys = [], [], [], [], []
    for row, (tokens, relations) in enumerate(zip(ids, between, strict=True)):
        for first, second, (start, end) in relations:
            rows.append(row)
            firsts.append(first)
            seconds.append(second)
            said.append(states[row, start:end].mean(dim=0))
            keys.append(stable_id(" ".join(str(token) for token in tokens[start:end])))
    words = torch.stack(said) if said else states.new_zeros(0, states.shape[-1])
    lists = [rows, firsts, seconds, keys]
    numbers = torch.tensor(lists, dtype=torch.int64, device=states.device)
    return RelationPairs(numbers[0], numbers[1], numbers[2], words, numbers[3])


class RelationAlignment(nn.Module):
    """The edge between two objects is to tell what the words between their phrases say.

    Args:
        edge_width: Width of the relation layer's edges, E.
        text_width: Width of the language model's states, W.
        width: Width in which both are compared, D.
    """

    def __init__(self, edge_width: int, text_width: int, width: int = 256) -> None:
        super().__init__()
        self.edge = nn.Linear(edge_width, width, bias=False)
        self.text = nn.Linear(text_width, width, bias=False)

    def forward(self, edges: Tensor, pairs: RelationPairs, count: float | None = None) -> Tensor:
        """Return this process's share of the relationship consistency loss, a scalar.

        The mean of 1 - cos over the pairs of all processes, plus their contrast: the cosine alone
        would be least where all vectors are equal. The states get no gradient, their projection
        does. Every process must call this in every step, also with P = 0.

        Args:
            edges: For each ordered pair of prompt and phrases, [R, K + 1, K + 1, E].
            pairs: Which phrases the captions relate.
            count: Pairs by which the sum is divided, as in `SemanticAlignment.forward`.
        """
        with torch.autocast(edges.device.type, enabled=False):
            seen, said = self._vectors(edges, pairs)
            keys = pairs.keys.to(edges.device)
            everyone, _ = all_gather_rows(keys)
            positive = keys[:, None] == everyone[None]  # [P, all P]
            scale = seen.new_tensor(1 / RELATION_TEMPERATURE)
            contrasted = contrast(seen, said, scale, positive, torch.ones_like(positive))
            apart = (1 - (seen * said).sum(dim=-1)).sum()
            total = len(everyone) if count is None else count
            return (apart + contrasted) / max(total, 1)

    def agreement(self, edges: Tensor, pairs: RelationPairs) -> Tensor:
        """Return how well edges fit what is said, from 0 to 1; 0 where nothing is said.

        It is sigmoid(cos / 0.1) of the two vectors; a gated mask decoder adds it to the logits of
        its relation layer.

        Returns:
            Phrase by phrase, [R, K, K].
        """
        n_phrases = edges.shape[1] - 1
        with torch.autocast(edges.device.type, enabled=False):
            seen, said = self._vectors(edges, pairs)
            fit = ((seen * said).sum(dim=-1) / RELATION_TEMPERATURE).sigmoid()
        table = fit.new_zeros(len(edges), n_phrases, n_phrases)
        return table.index_put((pairs.regions, pairs.first, pairs.second), fit)

    def _vectors(self, edges: Tensor, pairs: RelationPairs) -> tuple[Tensor, Tensor]:
        """Return what is seen and said between the phrases of each pair, unit vectors [P, D]."""
        between = edges[pairs.regions, 1 + pairs.first, 1 + pairs.second]  # [P, E]
        seen = F.normalize(self.edge(between.float()), dim=-1)
        said = F.normalize(self.text(pairs.states.detach().float()), dim=-1)
        return seen, said


def contrast(
    seen: Tensor, said: Tensor, scale: Tensor, positive: Tensor, counted: Tensor
) -> Tensor:
    """Return the sum over own rows of InfoNCE, the mean of both directions, a scalar.

    For each row, the mean log-probability of its right answers among the rows of all processes.

    Args:
        seen: Own unit vectors, [M, D].
        said: Own unit vectors of what is said, [M, D].
        scale: Inverse temperature, a scalar.
        positive: Right answers among the N rows of all processes, each row's own among them, bool
            [M, N].
        counted: Which of them stand in the denominator, bool [M, N].
    """
    all_seen, _ = all_gather_rows(seen)  # [N, D]
    all_said, _ = all_gather_rows(said)
    target = positive.to(seen.dtype)
    target = target / target.sum(dim=1, keepdim=True)
    total = seen.new_zeros(())
    for own, everyone in ((seen, all_said), (said, all_seen)):
        logits = (scale * own @ everyone.T).masked_fill(~counted, torch.finfo(own.dtype).min)
        total = total - (target * logits.log_softmax(dim=1)).sum() / 2
    return total


def matrix_divergence(said: Tensor, seen: Tensor, phrase_mask: Tensor, n_regions: float) -> Tensor:
    """Return how far likeness among objects lies from likeness among phrases, a scalar.

    KL(softmax_j S_ij of text || softmax_j S_ij of sight) with S = cosine / 0.1 and j != i, the mean
    over the phrases of a region. An ablation: regions of fewer than three phrases add nothing, and
    the text gets no gradient.

    Args:
        said: Vectors of phrases, [R, K, D].
        seen: Vectors of their objects, [R, K, D'].
        phrase_mask: False where a phrase is padding, bool [R, K].
        n_regions: Regions of all processes by which the sum is divided.
    """
    n_phrases = phrase_mask.shape[1]
    itself = torch.eye(n_phrases, dtype=torch.bool, device=seen.device)
    others = phrase_mask[:, None] & ~itself  # [R, K, K]
    with torch.autocast(seen.device.type, enabled=False):
        wanted, found = (_log_likeness(x.float(), others) for x in (said.detach(), seen))
        divergence = (wanted.exp() * (wanted - found)).sum(dim=-1)  # [R, K]
    counts = phrase_mask.sum(dim=1)
    weight = phrase_mask * (counts >= LEAST_NODES)[:, None] / counts.clamp(min=1)[:, None]
    return (divergence * weight).sum() / max(n_regions, 1)


def _log_likeness(vectors: Tensor, others: Tensor) -> Tensor:
    """Return log softmax over the others of cosine / 0.1, [R, K, K]; very low for the rest."""
    unit = F.normalize(vectors, dim=-1)
    logits = unit @ unit.transpose(1, 2) / RELATION_TEMPERATURE
    return logits.masked_fill(~others, torch.finfo(logits.dtype).min / 2).log_softmax(dim=-1)
