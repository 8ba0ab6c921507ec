"""Alignment losses against loops, their minima and gradients, in one process and in two."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from skycue.regions.alignment import (
    RelationAlignment,
    RelationPairs,
    SemanticAlignment,
    contrast,
    matrix_divergence,
)
from skycue.regions.phrase_keys import PhraseIds, denominator_mask, positive_mask

TEXTS = ["a ship", "a vessel", "the large ship", "a plane", "a ship", "two planes"]
CLASSES = ["ship", "ship", "ship", "plane", "ship", "plane"]
IMAGES = ["a", "a", "a", "a", "b", "b"]
IDS = PhraseIds.of(TEXTS, CLASSES, IMAGES)


def unit(*shape: int, seed: int) -> Tensor:
    vectors = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=-1)


def looped_contrast(
    seen: Tensor, said: Tensor, scale: float, positive: Tensor, counted: Tensor
) -> float:
    """Multi-positive InfoNCE of both directions, term by term."""
    total, seen, said = 0.0, seen.detach(), said.detach()
    for own, others in ((seen, said), (said, seen)):
        for i in range(len(own)):
            cosines = [float(own[i] @ other) for other in others]
            below = sum(
                math.exp(scale * c) for c, used in zip(cosines, counted[i], strict=True) if used
            )
            right = [j for j in range(len(others)) if positive[i, j]]
            total -= sum(scale * cosines[j] - math.log(below) for j in right) / len(right)
    return total / 2


def test_contrast_equals_a_loop() -> None:
    seen, said = unit(6, 4, seed=1), unit(6, 4, seed=2)
    positive, counted = positive_mask(IDS, IDS), denominator_mask(IDS, IDS)
    assert not counted.all()
    found = contrast(seen, said, torch.tensor(5.0), positive, counted)
    expected = looped_contrast(seen, said, 5.0, positive, counted)
    assert_close(found.item(), expected, rtol=1e-5, atol=1e-5)


def build_semantic() -> SemanticAlignment:
    torch.manual_seed(3)
    return SemanticAlignment(7, 9, 4)


def test_semantic_loss_is_the_mean_contrast_at_the_first_temperature() -> None:
    alignment = build_semantic()
    visual, text = unit(6, 7, seed=4), unit(6, 9, seed=5)
    normalize = torch.nn.functional.normalize
    seen, said = normalize(alignment.visual(visual)), normalize(alignment.text(text))
    expected = looped_contrast(
        seen, said, 1 / 0.07, positive_mask(IDS, IDS), denominator_mask(IDS, IDS)
    )
    found = alignment(visual, text, IDS).item()
    assert_close(found, expected / 6, rtol=1e-4, atol=1e-5)


def test_semantic_loss_teaches_both_sides_and_the_temperature() -> None:
    alignment = build_semantic()
    visual, text = unit(6, 7, seed=4).requires_grad_(), unit(6, 9, seed=5).requires_grad_()
    alignment(visual, text, IDS).backward()
    for tensor in (visual, text, *alignment.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.abs().max() > 0


def test_a_single_phrase_has_no_semantic_loss() -> None:
    ids = PhraseIds(*(numbers[:1] for numbers in IDS))
    assert build_semantic()(unit(1, 7, seed=4), unit(1, 9, seed=5), ids).item() == 0


def test_no_phrases_cost_nothing_and_every_parameter_takes_part() -> None:
    alignment = build_semantic()
    loss = alignment(torch.zeros(0, 7), torch.zeros(0, 9), PhraseIds.of([], [], []))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in alignment.parameters())


def test_under_autocast_the_loss_is_float32() -> None:
    alignment = build_semantic()
    visual, text = unit(6, 7, seed=4), unit(6, 9, seed=5)
    expected = alignment(visual, text, IDS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(alignment(visual, text, IDS), expected)


def build_relation(edge_width: int = 5) -> RelationAlignment:
    torch.manual_seed(6)
    return RelationAlignment(edge_width, 9, 4)


def pairs_of(n: int, keys: list[int] | None = None) -> RelationPairs:
    """Pairs in two regions of up to four phrases."""
    places = [(r, i, j) for r in range(2) for i in range(4) for j in range(i + 1, 4)][:n]
    numbers = torch.tensor(places, dtype=torch.int64).view(n, 3)
    regions, first, second = numbers.unbind(1)
    return RelationPairs(
        regions,
        first,
        second,
        states=unit(n, 9, seed=8),
        keys=torch.tensor(keys or list(range(n)), dtype=torch.int64),
    )


EDGES = torch.randn(2, 5, 5, 5, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(("n", "keys"), [(1, None), (2, None), (7, [0, 1, 1, 2, 3, 0, 4])])
def test_relation_loss_equals_a_loop(n: int, keys: list[int] | None) -> None:
    alignment, pairs = build_relation(), pairs_of(n, keys)
    normalize = torch.nn.functional.normalize
    edges = torch.stack([EDGES[r, 1 + i, 1 + j] for r, i, j, *_ in zip(*pairs[:3], strict=True)])
    seen, said = normalize(alignment.edge(edges)), normalize(alignment.text(pairs.states))
    positive = torch.tensor([[a == b for b in pairs.keys] for a in pairs.keys])
    expected = looped_contrast(seen, said, 10.0, positive, torch.ones_like(positive))
    expected += sum(1 - float((a @ b).detach()) for a, b in zip(seen, said, strict=True))
    assert_close(alignment(EDGES, pairs).item(), expected / n, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_relation_loss_teaches_the_projection_of_text_but_not_the_states(n: int) -> None:
    alignment, pairs = build_relation(), pairs_of(n)
    edges, states = EDGES.clone().requires_grad_(), pairs.states.requires_grad_()
    alignment(edges, pairs._replace(states=states)).backward()
    assert alignment.text.weight.grad is not None
    assert alignment.text.weight.grad.abs().max() > 1e-4
    assert states.grad is None
    assert edges.grad is not None
    assert edges.grad.abs().max() > 0


def test_equal_vectors_everywhere_are_not_the_minimum_of_the_relation_loss() -> None:
    alignment = RelationAlignment(9, 9, 9)
    torch.nn.init.eye_(alignment.edge.weight)
    torch.nn.init.eye_(alignment.text.weight)
    pairs = pairs_of(3)
    same = torch.ones(3, 9)
    collapsed = torch.ones(2, 5, 5, 9)
    at_collapse = alignment(collapsed, pairs._replace(states=same)).item()
    assert_close(at_collapse, math.log(3), rtol=0, atol=1e-5)
    apart = torch.eye(9)[:3]
    edges = torch.zeros(2, 5, 5, 9)
    edges[pairs.regions, 1 + pairs.first, 1 + pairs.second] = apart
    assert alignment(edges, pairs._replace(states=apart)).item() < 0.01


def test_relation_loss_without_pairs_or_phrases_is_zero() -> None:
    alignment = build_relation()
    for edges in (EDGES, torch.zeros(2, 1, 1, 5)):
        loss = alignment(edges, pairs_of(0))
        loss.backward()
        assert loss.item() == 0
    assert all(p.grad is not None for p in alignment.parameters())


def test_agreement_stands_where_something_is_said() -> None:
    alignment, pairs = build_relation(), pairs_of(7)
    table = alignment.agreement(EDGES, pairs)
    assert table.shape == (2, 4, 4)
    assert table.count_nonzero() == 7
    seen, said = alignment.edge(EDGES[0, 1, 3]), alignment.text(pairs.states[1])
    cosine = torch.nn.functional.cosine_similarity(seen, said, dim=0)
    assert_close(table[0, 0, 2], (cosine / 0.1).sigmoid())


def test_the_matrix_term_equals_a_loop() -> None:
    said, seen = unit(3, 4, 6, seed=9), unit(3, 4, 5, seed=10).requires_grad_()
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.bool)
    expected = 0.0
    for region, n in ((0, 4), (1, 3)):  # two phrases have no matrix
        for i in range(n):
            rows = []
            for x in (said[region], seen[region].detach()):
                terms = {j: math.exp(float(x[i] @ x[j]) / 0.1) for j in range(n) if j != i}
                rows.append({j: term / sum(terms.values()) for j, term in terms.items()})
            expected += sum(p * math.log(p / rows[1][j]) for j, p in rows[0].items()) / n
    found = matrix_divergence(said, seen, mask, 3)
    assert_close(found.item(), expected / 3, rtol=1e-4, atol=1e-5)
    torch.autograd.backward(found)
    assert seen.grad is not None
    assert seen.grad[:2].abs().max() > 0
    assert seen.grad[2].abs().max() == 0


TWO = """
import sys
import torch
from safetensors.torch import save_file
from torch import distributed
from skycue.distributed import sum_over_processes
from tests.regions.test_alignment import share_of

rank, cut = int(sys.argv[1]), int(sys.argv[2])
distributed.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=2)
total, gradients = share_of(slice(0, cut) if rank == 0 else slice(cut, 6))
result = {name: sum_over_processes(gradient) for name, gradient in gradients.items()}
save_file({"loss": sum_over_processes(total), **result}, f"{rank}.safetensors")
distributed.destroy_process_group()
"""


def share_of(own: slice) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of some of six phrases and pairs, and the gradients of all parameters."""
    semantic, relation = build_semantic(), build_relation()
    lens = torch.nn.Parameter(torch.ones(7))  # stands for a backbone before the losses
    ids = PhraseIds(*(numbers[own] for numbers in IDS))
    visual, text = unit(6, 7, seed=4)[own], unit(6, 9, seed=5)[own]
    pairs = RelationPairs(*(part[own] for part in pairs_of(6, [0, 1, 1, 2, 3, 0])))
    loss = semantic(visual * lens, text, ids) + relation(EDGES * lens[:5], pairs)
    torch.autograd.backward(loss)
    named = [
        *(("semantic." + name, p) for name, p in semantic.named_parameters()),
        *(("relation." + name, p) for name, p in relation.named_parameters()),
        ("lens", lens),
    ]
    gradients = {name: p.grad for name, p in named if p.grad is not None}
    assert len(gradients) == len(named)
    return loss.detach(), gradients


@pytest.mark.slow
@pytest.mark.parametrize("cut", [2, 0])
def test_two_processes_have_the_gradients_of_one(tmp_path: Path, cut: int) -> None:
    root = Path(__file__).parents[2]
    store = str(tmp_path / "store")
    script = f"import os, sys; sys.path.insert(0, {str(root)!r}); {TWO.strip()}"
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(rank), str(cut), store], cwd=tmp_path)
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    loss, gradients = share_of(slice(0, 6))
    for rank in (0, 1):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert_close(found.pop("loss"), loss)
        assert found.keys() == gradients.keys()
        for name, gradient in gradients.items():
            assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
