"""Losses that recipes may turn on: likeness among objects, and the gate of the relation layer."""

import math

import pytest
import torch
import torch.nn.functional as F

from skycue.region_losses import Alignments, counts_of, region_loss
from skycue.region_recipe import LossWeights
from tests.test_region_losses import WEIGHTS, alone, loss_of, parts
from tests.tiny_regions import CONFIG, build_tiny_network, whole_images


def test_the_matrix_term_draws_likeness_of_objects_to_that_of_phrases() -> None:
    _, alignments, samples = parts()
    total = 0.0
    for number, sample in enumerate(samples):
        one = alone(number)
        wanted = F.adaptive_avg_pool2d(one.targets.masks[0, :, -1], one.coarse.shape[-1])
        visible = [k for k in range(len(sample.masks)) if wanted[k].amax() > 0]
        if len(visible) < 3:
            continue
        with torch.no_grad():
            shares = wanted[visible]
            pooled = torch.einsum("khw,dhw->kd", shares, one.coarse) / shares.sum((1, 2))[:, None]
            spans = [one.targets.texts[0].phrases[k] for k in visible]
            words = torch.stack([one.states[first:last].mean(dim=0) for first, last in spans])
            tables = []
            for rows in (alignments.semantic.text(words), alignments.semantic.visual(pooled)):
                unit = F.normalize(rows, dim=-1)
                logits = (unit @ unit.T / 0.1).fill_diagonal_(float("-inf"))
                tables.append(logits.softmax(dim=-1))
        for i in range(len(visible)):
            others = [j for j in range(len(visible)) if j != i]
            parted = [(tables[0][i, j].item(), tables[1][i, j].item()) for j in others]
            total += sum(p * math.log(p / q) for p, q in parted) / len(visible)
    assert total > 0
    found = loss_of(samples, weights=LossWeights(matrix=0.3))
    assert found["matrix"].item() == pytest.approx(0.3 * total / len(samples), rel=1e-3)
    assert loss_of(samples, weights=LossWeights(matrix=0.3), align=False)["matrix"].item() == 0
    assert "matrix" not in loss_of(samples)


def test_a_gated_network_learns_relations_with_its_own_layer() -> None:
    decoder = CONFIG.mask_decoder.model_copy(update={"context": "gated"})
    network = build_tiny_network(CONFIG.model_copy(update={"mask_decoder": decoder}))
    alignments, (_, _, samples) = Alignments(network), parts()
    assert alignments.relation is None
    totals = counts_of(network, samples)
    images = whole_images(network, samples)
    terms = region_loss(network, alignments, images, samples, WEIGHTS, totals, align=True)
    torch.autograd.backward(terms["relation"])
    own = network.mask_decoder.agreement
    assert own is not None
    assert all(weight.grad is not None and weight.grad.any() for weight in own.parameters())
    assert any(name.startswith("mask_decoder.agreement.") for name in network.state_dict())
