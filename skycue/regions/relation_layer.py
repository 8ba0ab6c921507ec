"""The relation layer: mask queries learn of each other and of the prompt box.

Attention over a graph whose nodes are the phrases of a caption and the prompt, and whose edges know
how two boxes lie to each other. It follows the abstract of CLV-Net (Zhang et al., "Cross-modal
Context-aware Learning for Visual Prompt Guided Multimodal Image Understanding in Remote Sensing",
2025, https://arxiv.org/abs/2512.11680), which names the idea and gives no equations: those below
are ours. For nodes i and j, node 0 the prompt:

    n_k  = MLP(LN[q_k ; v_k])
    e_ij = MLP[n_i ; n_j ; geo(g_i, g_j)]
    A_ij = softmax_j((W_q n_i) . (W_k n_j) / sqrt(d) + w_b . e_ij)
    q'_i = q_i + W_o sum_j A_ij (W_v n_j + W_e e_ij)

W_o starts at zero, so training starts from queries that nothing has changed.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GEOMETRY_WIDTH = 8
"""Numbers that tell how one box lies to another."""
LEAST_EXTENT = 0.01
"""Sides of boxes are at least this share of the frame where others are measured by them."""


class PromptNode(NamedTuple):
    """The prompt box as a node.

    Attributes:
        vector: What the region encoder says of it, [R, Dr].
        visual: The mean feature under it, [R, Dv].
        box: Corners as shares of the frame, [R, 4].
    """

    vector: Tensor
    visual: Tensor
    box: Tensor


class Related(NamedTuple):
    """What the relation layer found.

    Attributes:
        queries: The queries with their context, [R, K, D].
        edges: A vector for each ordered pair of nodes, [R, K + 1, K + 1, E] with E = D; node 0 is
            the prompt, node 1 + k phrase k. Edges of padded phrases, or of a prompt that is left
            out, mean nothing. None without edges.
    """

    queries: Tensor
    edges: Tensor | None


class RelationLayer(nn.Module):
    """One round of attention over phrases and prompt.

    Args:
        query_width: Width of queries, nodes and edges, D; `heads` divides it.
        visual_width: Width of pooled features, Dv.
        region_width: Width of the prompt's vector, Dr.
        heads: Attention heads.
        edges: Use edges; without them this is plain attention over the nodes.
        prompt_node: Let the phrases see the prompt.
    """

    def __init__(
        self,
        query_width: int,
        visual_width: int,
        region_width: int,
        *,
        heads: int,
        edges: bool = True,
        prompt_node: bool = True,
    ) -> None:
        super().__init__()
        if query_width % heads:
            raise ValueError(f"{heads} heads do not divide the query width {query_width}")
        width = query_width
        self.heads = heads
        self.phrase_node = _node_mlp(query_width + visual_width, width)
        self.prompt_node = (
            _node_mlp(region_width + visual_width + 4, width) if prompt_node else None
        )
        self.edge = _EdgeMlp(width, heads) if edges else None
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # softmax knows no constant
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        queries: Tensor,
        visual: Tensor,
        boxes: Tensor,
        phrase_mask: Tensor,
        prompt: PromptNode,
        agreement: Callable[[Tensor], Tensor] | None = None,
    ) -> Related:
        """Relate the K queries of each of R regions; K may be 0.

        Args:
            queries: Mask queries, [R, K, D].
            visual: Mean feature under each coarse mask, [R, K, Dv].
            boxes: Box about each coarse mask as shares of the frame, [R, K, 4].
            phrase_mask: False where a query is padding, bool [R, K]; such a query stays as it is
                and changes no other.
            prompt: The prompt box; not looked at without `prompt_node`.
            agreement: Turns edges [R, K + 1, K + 1, E] into how well each fits what the caption
                says of its two phrases, [R, K, K] from 0 to 1, which is added to the attention
                logits; None adds nothing.
        """
        nodes = torch.cat([self._prompt(prompt), self._phrases(queries, visual)], dim=1)
        seen = F.pad(phrase_mask, (1, 0), value=self.prompt_node is not None)  # [R, N]
        split = (self.heads, -1)
        query = self.query(nodes[:, 1:]).unflatten(-1, split)  # [R, K, heads, d]
        key, value = (f(nodes).unflatten(-1, split) for f in (self.key, self.value))
        logits = torch.einsum("rihd,rjhd->rhij", query, key) / math.sqrt(query.shape[-1])
        edges = None
        if self.edge is not None:
            edges = self.edge(nodes, torch.cat([prompt.box[:, None], boxes], dim=1))
            logits = logits + self.edge.bias(edges[:, 1:]).permute(0, 3, 1, 2)  # [R, heads, K, N]
            if agreement is not None:
                logits = logits + F.pad(agreement(edges), (1, 0))[:, None]
        logits = logits.masked_fill(~seen[:, None, None], torch.finfo(logits.dtype).min)
        attention = logits.softmax(dim=-1)
        found = torch.einsum("rhij,rjhd->rihd", attention, value)  # [R, K, heads, d]
        if self.edge is not None and edges is not None:
            told = self.edge.value(edges[:, 1:]).unflatten(-1, split)  # [R, K, N, heads, d]
            found = found + torch.einsum("rhij,rijhd->rihd", attention, told)
        update = self.out(found.flatten(2)) * phrase_mask[..., None]
        return Related(queries + update, edges)

    def _phrases(self, queries: Tensor, visual: Tensor) -> Tensor:
        """Return the nodes of the phrases, [R, K, D]."""
        nodes: Tensor = self.phrase_node(torch.cat([queries, visual], dim=-1))
        return nodes

    def _prompt(self, prompt: PromptNode) -> Tensor:
        """Return the node of the prompt, [R, 1, D]; zeros where it is left out."""
        if self.prompt_node is None:
            return prompt.visual.new_zeros(len(prompt.visual), 1, self.query.in_features)
        node: Tensor = self.prompt_node(torch.cat(prompt, dim=-1))
        return node[:, None]


def box_geometry(boxes: Tensor) -> Tensor:
    """Tell for each ordered pair of boxes how the second lies to the first.

    Args:
        boxes: Shares of the frame, [R, N, 4].

    Returns:
        dx / w, dy / h, log of the ratio of widths and of heights, distance of the centres, sine and
        cosine of the bearing from the first to the second, and 1; [R, N, N, 8]. The bearing is
        measured from right to down; both its numbers are 0 where centres are equal.
    """
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2  # [R, N, 2]
    extent = (boxes[..., 2:] - boxes[..., :2]).clamp(min=LEAST_EXTENT)
    away = middle[:, None] - middle[:, :, None]  # [R, N, N, 2], from i to j
    ratio = (extent[:, None] / extent[:, :, None]).log()
    distance = away.norm(dim=-1, keepdim=True)
    bearing = away / distance.clamp(min=torch.finfo(away.dtype).tiny)
    one = torch.ones_like(distance)
    steps = away / extent[:, :, None]
    return torch.cat([steps, ratio, distance, bearing.flip(-1), one], dim=-1)


class _EdgeMlp(nn.Module):
    """The edges between nodes, and what attention reads of them.

    The first layer is linear in [n_i ; n_j ; geo], so each part is multiplied alone and only their
    sum has the size of all pairs.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width, bias=False)
        self.geometry = nn.Linear(GEOMETRY_WIDTH, width, bias=False)
        self.last = nn.Linear(width, width)
        self.bias = nn.Linear(width, heads, bias=False)
        self.value = nn.Linear(width, width, bias=False)  # the nodes' value has one

    def forward(self, nodes: Tensor, boxes: Tensor) -> Tensor:
        """Return the edges, [R, N, N, E], of nodes [R, N, D] with boxes [R, N, 4]."""
        first, second = self.first(nodes)[:, :, None], self.second(nodes)[:, None]
        edges: Tensor = self.last(F.gelu(first + second + self.geometry(box_geometry(boxes))))
        return edges


def _node_mlp(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width)
    )
