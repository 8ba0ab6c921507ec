"""The loss of captions alone, and of the text about neighbours, token by token."""

from collections.abc import Sequence

import pytest
import torch

from skycue.data.region_captions import GroundedCaption
from skycue.region_losses import count_tokens, cues_of, text_loss
from skycue.region_samples import RegionSample
from skycue.regions.clvnet import ClvNet
from skycue.regions.grounded_text import encode_caption
from tests.tiny_regions import build_tiny_network, nll_by_hand, samples_of, whole_images

NETWORK = build_tiny_network()
SAMPLES = samples_of((0, 0), (0, 1), (1, 0), (2, 0))


def ids_of(network: ClvNet, caption: GroundedCaption) -> list[int]:
    spans = [(phrase.start, phrase.end) for phrase in caption.phrases]
    tokenizer = network.reasoner.language.tokenizer
    return encode_caption(tokenizer, caption.text, spans).ids  # type: ignore[arg-type]


def prompts_of(network: ClvNet, sample: RegionSample) -> torch.Tensor:
    cues = cues_of(network, whole_images(network, [sample]), [sample])
    return network.prompts(cues, network.region_tokens(cues))


@torch.no_grad()
def cost(answers: Sequence[list[int]], *, marked: bool) -> float:
    """Read an answer a sample, one by one, behind the mark where there is one."""
    language, total = NETWORK.reasoner.language, 0.0
    mark = language.embed(torch.tensor([[language.id_of("<bbox>")]]))
    for sample, ids in zip(SAMPLES, answers, strict=True):
        prompts = prompts_of(NETWORK, sample)
        total += nll_by_hand(NETWORK, torch.cat([prompts, mark], 1) if marked else prompts, ids)
    return total


def test_captions_alone_cost_what_their_tokens_cost() -> None:
    answers = [ids_of(NETWORK, sample.caption) for sample in SAMPLES]
    tokens = count_tokens(NETWORK, SAMPLES)["tokens"]
    assert tokens == sum(len(ids) for ids in answers)
    terms = text_loss(NETWORK, whole_images(NETWORK, SAMPLES), SAMPLES, tokens)
    assert set(terms) == {"text"}
    assert terms["text"].item() == pytest.approx(cost(answers, marked=False) / tokens, rel=1e-4)


def test_sides_of_neighbours_are_learned_behind_a_mark() -> None:
    assert [sample.neighbours.text.count(".") for sample in SAMPLES] == [2, 3, 1, 0]
    answers = [ids_of(NETWORK, sample.neighbours) for sample in SAMPLES]
    terms = text_loss(NETWORK, whole_images(NETWORK, SAMPLES), SAMPLES, 10.0, neighbours=0.5)
    wanted = 0.5 * cost(answers, marked=True) / 10
    assert terms["neighbours"].item() == pytest.approx(wanted, rel=1e-4)
