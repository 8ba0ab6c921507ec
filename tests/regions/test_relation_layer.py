"""The relation layer: nothing at its start, order and padding, and its equations as loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from skycue.regions.relation_layer import PromptNode, RelationLayer, box_geometry

R, D, DV, DR, HEADS = 2, 8, 6, 5, 2


class Inputs:
    """Seeded inputs of a layer."""

    def __init__(self, k: int, seed: int = 1) -> None:
        generator = torch.Generator().manual_seed(seed)

        def corners(*shape: int) -> Tensor:
            low = torch.rand(*shape, 2, generator=generator) * 0.5
            return torch.cat([low, low + 0.1 + torch.rand(*shape, 2, generator=generator)], -1)

        self.queries = torch.randn(R, k, D, generator=generator)
        self.visual = torch.randn(R, k, DV, generator=generator)
        self.boxes = corners(R, k)
        self.mask = torch.ones(R, k, dtype=torch.bool)
        self.prompt = PromptNode(
            torch.randn(R, DR, generator=generator),
            torch.randn(R, DV, generator=generator),
            corners(R),
        )

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor, PromptNode]:
        return self.queries, self.visual, self.boxes, self.mask, self.prompt


def build(*, edges: bool = True, prompt_node: bool = True, trained: bool = True) -> RelationLayer:
    torch.manual_seed(2)
    layer = RelationLayer(D, DV, DR, heads=HEADS, edges=edges, prompt_node=prompt_node)
    if trained:
        torch.nn.init.normal_(layer.out.weight)
        torch.nn.init.normal_(layer.out.bias)
    return layer


@pytest.mark.parametrize("k", [0, 1, 2, 7])
def test_queries_are_bit_identical_at_the_start(k: int) -> None:
    inputs = Inputs(k)
    related = build(trained=False)(*inputs.all())
    assert torch.equal(related.queries, inputs.queries)
    assert related.edges is not None
    assert related.edges.shape == (R, k + 1, k + 1, D)


def test_an_update_follows_the_equations() -> None:
    layer, inputs = build(), Inputs(3)
    found, edges = layer(*inputs.all())
    assert edges is not None
    state = layer.state_dict()

    def linear(name: str, x: Tensor) -> Tensor:
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def node(name: str, x: Tensor) -> Tensor:
        x = F.layer_norm(x, x.shape, state[f"{name}.0.weight"], state[f"{name}.0.bias"])
        return linear(f"{name}.3", F.gelu(linear(f"{name}.1", x)))

    for r in range(R):
        prompt = torch.cat([part[r] for part in inputs.prompt])
        nodes = [node("prompt_node", prompt)] + [
            node("phrase_node", torch.cat([inputs.queries[r, k], inputs.visual[r, k]]))
            for k in range(3)
        ]
        boxes = [inputs.prompt.box[r], *inputs.boxes[r]]
        for i in range(1, 4):
            logits, values = torch.zeros(HEADS, 4), torch.zeros(4, D)
            for j in range(4):
                geometry = box_geometry(torch.stack([boxes[i], boxes[j]])[None])[0, 0, 1]
                hidden = linear("edge.first", nodes[i]) + linear("edge.second", nodes[j])
                edge = linear("edge.last", F.gelu(hidden + linear("edge.geometry", geometry)))
                assert_close(edges[r, i, j], edge, rtol=0, atol=1e-5)
                values[j] = linear("value", nodes[j]) + linear("edge.value", edge)
                q, k = linear("query", nodes[i]), linear("key", nodes[j])
                for head in range(HEADS):
                    part = slice(4 * head, 4 * head + 4)
                    logits[head, j] = q[part] @ k[part] / math.sqrt(4)
                logits[:, j] += linear("edge.bias", edge)
            weights = logits.softmax(dim=-1)
            mixed = torch.cat([weights[h] @ values[:, 4 * h : 4 * h + 4] for h in range(HEADS)])
            expected = inputs.queries[r, i - 1] + linear("out", mixed)
            assert_close(found[r, i - 1], expected, rtol=0, atol=1e-5)


def test_geometry_of_two_boxes_by_hand() -> None:
    boxes = torch.tensor([[[0.1, 0.1, 0.3, 0.2], [0.4, 0.5, 0.8, 0.7]]])
    there, back = box_geometry(boxes)[0, 0, 1], box_geometry(boxes)[0, 1, 0]
    dx, dy = 0.4, 0.45
    distance = math.hypot(dx, dy)
    expected = [dx / 0.2, dy / 0.1, math.log(2), math.log(2), distance]
    assert_close(there, torch.tensor([*expected, dy / distance, dx / distance, 1.0]))
    assert_close(back[:2], torch.tensor([-dx / 0.4, -dy / 0.2]))
    assert box_geometry(boxes)[0, 0, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]


def test_a_box_without_area_has_finite_geometry() -> None:
    assert box_geometry(torch.tensor([[[0.5] * 4, [0.1, 0.1, 0.9, 0.9]]])).isfinite().all()


@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize("prompt_node", [True, False])
def test_permuted_phrases_give_permuted_queries(edges: bool, prompt_node: bool) -> None:
    layer, inputs = build(edges=edges, prompt_node=prompt_node), Inputs(4)
    order = torch.tensor([2, 0, 3, 1])
    plain = layer(*inputs.all()).queries
    queries, visual, boxes = (x[:, order] for x in (inputs.queries, inputs.visual, inputs.boxes))
    permuted = layer(queries, visual, boxes, inputs.mask, inputs.prompt).queries
    assert_close(permuted, plain[:, order], rtol=0, atol=1e-6)


@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize("prompt_node", [True, False])
def test_padding_changes_no_real_query_and_stays_as_it_is(edges: bool, prompt_node: bool) -> None:
    layer, inputs = build(edges=edges, prompt_node=prompt_node), Inputs(5)
    mask = inputs.mask.clone()
    mask[0, 3:] = False
    mask[1] = False
    padded = layer(inputs.queries, inputs.visual, inputs.boxes, mask, inputs.prompt).queries
    short = layer(
        inputs.queries[:, :3],
        inputs.visual[:, :3],
        inputs.boxes[:, :3],
        inputs.mask[:, :3],
        inputs.prompt,
    ).queries
    assert_close(padded[0, :3], short[0], rtol=0, atol=1e-6)
    assert torch.equal(padded[~mask], inputs.queries[~mask])
    assert padded.isfinite().all()


def test_a_single_phrase_sees_the_prompt_only_if_it_is_a_node() -> None:
    inputs = Inputs(1)
    moved = inputs.prompt._replace(vector=inputs.prompt.vector + 1)
    for prompt_node in (True, False):
        layer = build(prompt_node=prompt_node)
        here, there = (
            layer(inputs.queries, inputs.visual, inputs.boxes, inputs.mask, prompt).queries
            for prompt in (inputs.prompt, moved)
        )
        assert torch.equal(here, there) != prompt_node


def test_only_edges_know_where_the_boxes_lie() -> None:
    inputs = Inputs(3)
    for edges in (True, False):
        layer = build(edges=edges)
        here, there = (
            layer(inputs.queries, inputs.visual, boxes, inputs.mask, inputs.prompt).queries
            for boxes in (inputs.boxes, inputs.boxes / 2)
        )
        assert torch.equal(here, there) != edges


def test_agreement_draws_attention_to_the_related_phrase() -> None:
    layer, inputs = build(), Inputs(2)
    torch.nn.init.eye_(layer.out.weight)
    torch.nn.init.zeros_(layer.out.bias)
    torch.nn.init.zeros_(layer.key.weight)  # equal logits but for what agreement adds
    assert layer.edge is not None
    torch.nn.init.zeros_(layer.edge.bias.weight)
    torch.nn.init.zeros_(layer.edge.value.weight)
    fit = torch.zeros(R, 2, 2)
    fit[:, 0, 1] = 1.0
    found = layer(*inputs.all(), lambda edges: fit).queries - inputs.queries
    nodes = torch.cat(
        [layer._prompt(inputs.prompt), layer._phrases(inputs.queries, inputs.visual)], 1
    )
    values = layer.value(nodes)
    weights = torch.tensor([1.0, 1.0, math.e]) / (2 + math.e)
    assert_close(found[:, 0], torch.einsum("j,rjd->rd", weights, values))
    assert_close(found[:, 1], values.mean(dim=1))


def test_every_parameter_gets_a_gradient_after_the_first_step() -> None:
    layer, inputs = build(), Inputs(2)
    related = layer(*inputs.all())
    assert related.edges is not None
    loss = related.queries.square().sum() + related.edges.square().sum()
    torch.autograd.backward(loss)
    without = [n for n, p in layer.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide"):
        RelationLayer(8, 8, 8, heads=3)
