"""The loss of a batch of region samples, term by term against plain loops over single samples."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.segmenter import MaskOutput
from skycue.distributed import sum_over_processes
from skycue.region_losses import (
    Alignments,
    Targets,
    counts_of,
    cues_of,
    mean_overlap,
    region_loss,
    targets_of,
)
from skycue.region_recipe import LossWeights
from skycue.region_samples import RegionSample
from skycue.regions.clvnet import ClvNet
from skycue.regions.mask_decoder import DecodedMasks
from skycue.regions.phrase_keys import phrase_attributes, phrase_key
from tests.tiny_regions import (
    CONFIG,
    build_tiny_network,
    nll_by_hand,
    samples_of,
    whole_images,
)

ROOT = Path(__file__).parents[1]
ITEMS = ((0, 0), (0, 1), (1, 0), (2, 0))
"""Captions of 3, 3, 2 and 1 phrases; in the first window some show nothing."""
WEIGHTS = LossWeights()
MASK_TERMS = ("text", "bce", "dice", "coarse", "iou")


class Parts(NamedTuple):
    """A network, the layers of the alignment losses and what they learn from."""

    network: ClvNet
    alignments: Alignments
    samples: list[RegionSample]


@cache
def parts() -> Parts:
    """Build everything once; gradients are cleared by whoever needs them."""
    network = build_tiny_network()
    torch.manual_seed(1)
    return Parts(network, Alignments(network), samples_of(*ITEMS))


def loss_of(
    samples: Sequence[RegionSample],
    totals: Mapping[str, float] | None = None,
    *,
    align: bool = True,
    weights: LossWeights = WEIGHTS,
) -> dict[str, Tensor]:
    network, alignments, _ = parts()
    images = whole_images(network, samples)
    totals = totals or counts_of(network, samples)
    return region_loss(network, alignments, images, samples, weights, totals, align=align)


class Alone(NamedTuple):
    """What the network says of one sample that is computed alone."""

    targets: Targets
    nll: float
    states: Tensor
    coarse: Tensor
    masks: DecodedMasks


@cache
def alone(number: int) -> Alone:
    network, _, samples = parts()
    sample = samples[number]
    with torch.no_grad():
        cues = cues_of(network, whole_images(network, [sample]), [sample])
        regions = network.region_tokens(cues)
        prompts = network.prompts(cues, regions)
        targets = targets_of(network, [sample])
        ids = targets.texts[0].ids
        read = network.reasoner.read(prompts, [ids])
        nll = nll_by_hand(network, prompts, ids)
        decoded = network.decode(cues, regions, network.queries(read, [targets.texts[0].seg]))
    return Alone(targets, nll, read.states[0], cues.views[-1].features.coarse[0], decoded)


def masks_on(number: int, out: MaskOutput) -> Iterator[tuple[int, Tensor, float]]:
    """Yield each phrase with its mask logits at the resolution of targets, and its score."""
    for k in range(out.logits.shape[1]):
        logits = F.interpolate(out.logits[:, k : k + 1], size=(16, 16), mode="bilinear")[0, 0]
        yield k, logits.double(), out.iou[0, k].item()


def bce_by_hand(logits: Tensor, wanted: Tensor) -> float:
    shares = logits.sigmoid()
    cells = -(wanted * shares.log() + (1 - wanted) * (1 - shares).log())
    return cells.mean().item()


def dice_by_hand(logits: Tensor, wanted: Tensor) -> float:
    shares = logits.sigmoid()
    common, areas = (shares * wanted).sum().item(), (shares.sum() + wanted.sum()).item()
    return 1 - (2 * common / 1000 + 1e-6) / (areas / 1000 + 1e-6)


def overlap_by_hand(logits: Tensor, wanted: Tensor) -> float:
    common = both = 0.0
    for value, share in zip(logits.flatten().tolist(), wanted.flatten().tolist(), strict=True):
        found = float(value > 0)
        common, both = common + min(found, share), both + max(found, share)
    return common / both


def test_the_counts_are_those_of_the_batch() -> None:
    network, _, samples = parts()
    counts = counts_of(network, samples)
    texts = targets_of(network, samples).texts
    n_phrases = [3, 3, 2, 1]
    assert [len(sample.masks) for sample in samples] == n_phrases
    assert counts["tokens"] == sum(len(text.ids) for text in texts)
    assert counts["phrases"] == sum(n_phrases)
    seen = [[m.any().item() for m in views] for sample in samples for views in sample.masks]
    assert counts["visible"] == sum(sum(row) for row in seen) < 2 * sum(n_phrases)
    assert counts["aligned"] == sum(row[-1] for row in seen)
    # A phrase that begins its sentence, as "Another ship" does, has no words before it.
    assert counts["pairs"] == 1 + 2 + 1


def test_the_text_term_is_the_mean_over_tokens_of_what_was_read_before() -> None:
    found = loss_of(parts().samples)["text"].item()
    tokens = sum(len(alone(number).targets.texts[0].ids) for number in range(4))
    assert found == pytest.approx(sum(alone(n).nll for n in range(4)) / tokens, rel=1e-4)


def test_the_mask_terms_are_those_of_loops_over_phrases_and_views() -> None:
    network, _, samples = parts()
    counts = counts_of(network, samples)
    bce = dice = iou = first_bce = first_dice = 0.0
    for number in range(4):
        targets, decoded = alone(number).targets, alone(number).masks
        assert decoded.coarse is not None
        for view, out in enumerate(decoded.masks):
            for k, logits, score in masks_on(number, out):
                wanted = targets.masks[0, k, view].double()
                bce += bce_by_hand(logits, wanted)
                if wanted.any():  # what a window does not show is no overlap to learn
                    dice += dice_by_hand(logits, wanted)
                    iou += (score - overlap_by_hand(logits, wanted)) ** 2
        for k, logits, _ in masks_on(number, decoded.coarse):
            wanted = targets.masks[0, k, -1].double()
            first_bce += bce_by_hand(logits, wanted)
            first_dice += dice_by_hand(logits, wanted) if wanted.any() else 0
    found = loss_of(samples)
    assert found["bce"].item() == pytest.approx(2 * bce / (2 * counts["phrases"]), rel=1e-4)
    assert found["dice"].item() == pytest.approx(0.5 * dice / counts["visible"], rel=1e-4)
    assert found["iou"].item() == pytest.approx(0.5 * iou / counts["visible"], rel=1e-4)
    first = 0.5 * (2 * first_bce + 0.5 * first_dice) / counts["phrases"]
    assert found["coarse"].item() == pytest.approx(first, rel=1e-4)


def test_the_semantic_term_is_the_contrast_of_all_visible_phrases() -> None:
    _, alignments, samples = parts()
    seen, said, facts = [], [], []
    for number, sample in enumerate(samples):
        one = alone(number)
        for k, phrase in enumerate(sample.caption.phrases):
            mask = one.targets.masks[0, k, -1]
            if not mask.any():
                continue
            total, area = torch.zeros(len(one.coarse)), 0.0
            for i in range(2):
                for j in range(2):
                    share = mask[8 * i : 8 * i + 8, 8 * j : 8 * j + 8].mean().item()
                    total, area = total + share * one.coarse[:, i, j], area + share
            seen.append(total / (area + 1e-6))
            start, end = one.targets.texts[0].phrases[k]
            said.append(one.states[start:end].mean(dim=0))
            words = sample.caption.text[phrase.start : phrase.end]
            facts.append((phrase_key(words), phrase_attributes(words), sample.image))
    semantic = alignments.semantic
    with torch.no_grad():
        a = F.normalize(semantic.visual(torch.stack(seen)), dim=-1)
        b = F.normalize(semantic.text(torch.stack(said)), dim=-1)
        table = semantic.logit_scale.exp() * a @ b.T
    total_loss = 0.0
    for logits, columns in ((table, range(len(facts))), (table.T, range(len(facts)))):
        for i, (key, attributes, image) in enumerate(facts):
            right = [
                j
                for j in columns
                if facts[j][0] == key and (facts[j][2] != image or facts[j][1] == attributes)
            ]
            chances = logits[i].log_softmax(-1)
            total_loss -= sum(chances[j].item() for j in right) / len(right) / 2
    found = loss_of(samples)["semantic"].item()
    assert found == pytest.approx(0.1 * total_loss / len(facts), rel=1e-4)


def test_the_relation_term_compares_edges_with_the_words_between() -> None:
    _, alignments, samples = parts()
    assert alignments.relation is not None
    seen, said, words = [], [], []
    for number in range(len(samples)):
        one = alone(number)
        assert one.masks.edges is not None
        for first, second, (start, end) in one.targets.texts[0].between:
            seen.append(one.masks.edges[0, 1 + first, 1 + second])
            said.append(one.states[start:end].mean(dim=0))
            words.append(one.targets.texts[0].ids[start:end])
    with torch.no_grad():
        a = F.normalize(alignments.relation.edge(torch.stack(seen)), dim=-1)
        b = F.normalize(alignments.relation.text(torch.stack(said)), dim=-1)
        table = a @ b.T
    total = sum(1 - table[i, i].item() for i in range(len(words)))
    for logits in (table / 0.1, table.T / 0.1):
        for i, here in enumerate(words):
            right = [j for j, there in enumerate(words) if there == here]
            total -= sum(logits[i].log_softmax(-1)[j].item() for j in right) / len(right) / 2
    assert loss_of(samples)["relation"].item() == pytest.approx(0.1 * total / len(words), rel=1e-4)


def test_the_shares_of_two_halves_add_up_to_the_whole() -> None:
    network, _, samples = parts()
    totals = counts_of(network, samples)
    whole = loss_of(samples, totals)
    halves = [loss_of(samples[:2], totals), loss_of(samples[2:], totals)]
    for name in MASK_TERMS:
        assert_close(whole[name], halves[0][name] + halves[1][name], rtol=1e-4, atol=1e-6)
    # Contrasts know fewer wrong answers in a half, and are shares of the whole all the same.
    for name in ("semantic", "relation"):
        assert 0 < (halves[0][name] + halves[1][name]).item() < 1.2 * whole[name].item()


def test_weights_scale_their_terms_and_switch_alignments_off() -> None:
    samples = parts().samples
    plain = loss_of(samples)
    other = LossWeights(
        text=3.0, bce=0.0, dice=1.0, coarse=1.0, iou=0.0, semantic=0.0, relation=0.2
    )
    weighted = loss_of(samples, weights=other)
    assert "semantic" not in weighted
    assert weighted["text"].item() == pytest.approx(3 * plain["text"].item())
    assert weighted["dice"].item() == pytest.approx(2 * plain["dice"].item())
    assert weighted["relation"].item() == pytest.approx(2 * plain["relation"].item())
    assert weighted["bce"].item() == weighted["iou"].item() == 0


def test_before_the_alignments_begin_their_terms_are_there_and_nothing() -> None:
    _, alignments, samples = parts()
    early, late = loss_of(samples, align=False), loss_of(samples)
    assert list(early) == list(late)
    assert early["semantic"].item() == early["relation"].item() == 0
    assert all(early[name].item() == late[name].item() for name in MASK_TERMS)
    alignments.zero_grad()
    torch.autograd.backward(early["semantic"] + early["relation"])
    assert all(p.grad is None or not p.grad.any() for p in alignments.parameters())


def test_a_phrase_that_no_window_shows_has_no_overlap_to_learn() -> None:
    blind = [s._replace(masks=torch.zeros_like(s.masks)) for s in parts().samples]
    terms = loss_of(blind)
    assert terms["dice"].item() == terms["iou"].item() == terms["semantic"].item() == 0
    assert terms["bce"].item() > 0
    assert terms["coarse"].item() > 0


def test_every_term_teaches_what_it_is_about() -> None:
    network, alignments, samples = parts()
    learned = dict([*network.named_parameters(), *alignments.named_parameters()])
    about = {
        "text": "reasoner.projector.0.weight",
        "dice": "query_projection.0.weight",
        "coarse": "region_encoder.output.weight",
        "semantic": "semantic.text.weight",
        "relation": "relation.text.weight",
    }
    for term, name in about.items():
        network.zero_grad()
        alignments.zero_grad()
        torch.autograd.backward(loss_of(samples)[term])
        gradient = learned[name].grad
        assert gradient is not None, term
        assert gradient.any(), term


def test_without_edges_there_is_no_relation_term() -> None:
    decoder = CONFIG.mask_decoder.model_copy(update={"context": "no_edges"})
    network = build_tiny_network(CONFIG.model_copy(update={"mask_decoder": decoder}))
    alignments = Alignments(network)
    samples = parts().samples[:2]
    images, totals = whole_images(network, samples), counts_of(network, samples)
    terms = region_loss(network, alignments, images, samples, WEIGHTS, totals, align=True)
    assert alignments.relation is None
    assert list(terms) == [*("text", "bce", "dice", "coarse", "iou"), "semantic"]


def test_the_mean_overlap_takes_the_first_view_that_shows_a_phrase() -> None:
    wanted = torch.zeros(1, 3, 2, 4, 4)  # three phrases, two views
    wanted[0, 0, 0, :2] = 1
    wanted[0, 0, 1, :1] = 1
    wanted[0, 1, 1, :, :2] = 1
    targets = Targets([], wanted, torch.ones(1, 3, dtype=torch.bool))
    half, full = torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), 1.0)
    half[:, :, :1] = 1.0
    outputs = [MaskOutput(half, torch.ones(1, 3)), MaskOutput(full, torch.ones(1, 3))]
    overlap, counted = mean_overlap(outputs, targets)
    assert counted.tolist() == [[True, True, False]]  # no view shows the third
    assert overlap.tolist() == [[0.5, 0.5, 0.0]]


def gradients(numbers: Sequence[int]) -> dict[str, Tensor]:
    """Return the summed gradients and terms of a batch that is dealt out to all processes."""
    network, alignments, samples = parts()
    own = [samples[number] for number in numbers]
    totals = {k: sum_over_processes(v) for k, v in counts_of(network, own).items()}
    network.zero_grad(set_to_none=False)
    terms = loss_of(own, totals)
    torch.autograd.backward(torch.stack(list(terms.values())).sum())
    found = {f"term.{name}": sum_over_processes(term) for name, term in terms.items()}
    for prefix, module in (("net", network), ("align", alignments)):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                own_part = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                found[f"{prefix}.{name}"] = sum_over_processes(own_part)
    return found


TWO = """
import sys
from safetensors.torch import save_file
from torch import distributed
from tests.test_region_losses import gradients

rank, numbers, store = int(sys.argv[1]), sys.argv[2], sys.argv[3]
distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
found = gradients([int(number) for number in numbers])
save_file({k: v.contiguous() for k, v in found.items()}, f"{rank}.safetensors")
distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("dealt", [("012", "3"), ("3", "210")])
def test_two_processes_give_the_gradients_of_one(tmp_path: Path, dealt: tuple[str, str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", TWO, str(rank), numbers, str(tmp_path / "store")],
            cwd=tmp_path,
            env=environment,
        )
        for rank, numbers in enumerate(dealt)
    ]
    try:
        assert [process.wait(timeout=300) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
            process.wait()
    parts().alignments.zero_grad()
    wanted = gradients([int(number) for number in "".join(dealt)])
    for rank in (0, 1):
        found = load_file(tmp_path / f"{rank}.safetensors")
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert_close(found[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    assert wanted["align.relation.text.weight"].any()
