"""What a batch keeps of a region model: in proportion to its boxes, and by what learns."""

import torch

from skycue.backbones.memory_estimate import language_activations, mask_activations
from skycue.region_memory import RegionActivations, region_activations
from skycue.region_parameters import choose_parameters
from skycue.region_recipe import RegionStageConfig
from skycue.regions.clvnet import ClvNet
from tests.tiny_regions import CONFIG, build_tiny_network


def kept(
    network: ClvNet, *, boxes: int, kind: str = "full", trains: str = "net.*", again: bool = False
) -> RegionActivations:
    """What a stage keeps that trains some of the parameters."""
    stage = RegionStageConfig.model_validate(
        {"name": "some", "kind": kind, "train": {"batch_size": boxes}}
    )
    choose_parameters({"net": network}, [trains])
    return region_activations(network, network.segmenter, stage, checkpointing=again, half=False)


def test_parts_that_are_measured_grow_with_the_boxes() -> None:
    network = build_tiny_network()
    one, three = (kept(network, boxes=n) for n in (1, 3))
    assert all(size > 0 for size in one)
    assert three == tuple(3 * size for size in one)


def test_masks_are_decoded_twice_on_the_widest_view_and_once_on_the_other() -> None:
    network = build_tiny_network()
    found = kept(network, boxes=2)
    features = network.segmenter.encode(torch.zeros(1, 3, 32, 32))
    phrases = CONFIG.reasoner.max_phrases
    decoded = mask_activations(network.segmenter, features, rows=2 * 3, phrases=phrases)
    assert found.mask_decoder == decoded


def test_the_language_model_reads_image_and_view_tokens_words_and_the_longest_answer() -> None:
    network = build_tiny_network()
    language, answer = network.reasoner.language, CONFIG.reasoner.max_tokens
    length = 1 + 2**2 + len(language.tokenizer.encode("<image><bbox>")) + answer
    found = [kept(network, boxes=2, again=again).language_model for again in (False, True)]
    assert found == [
        language_activations(
            language, rows=2, length=length, answer=answer, checkpointing=again, half=False
        )
        for again in (False, True)
    ]


def test_what_does_not_learn_keeps_nothing_and_a_stage_of_masks_reads_no_words() -> None:
    network = build_tiny_network()
    assert kept(network, boxes=1, trains="net.query_projection.*").segmenter == 0
    masks = kept(network, boxes=1, kind="masks", trains="net.segmenter.*")
    assert masks.language_model == masks.region_encoder == 0
    assert masks.segmenter > 0
    assert 0 < masks.mask_decoder < kept(network, boxes=1).mask_decoder


def test_measuring_leaves_the_batch_norms_as_they_were() -> None:
    network = build_tiny_network().train()
    before = {name: tensor.clone() for name, tensor in network.segmenter.state_dict().items()}
    kept(network, boxes=1)
    assert network.segmenter.training
    for name, tensor in network.segmenter.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
