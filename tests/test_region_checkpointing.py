"""Computing the language model's activations again: less is kept, and nothing else changes."""

from typing import Any

import torch
from torch import Tensor

from skycue.backbones.language import LoraSettings
from skycue.backbones.memory_estimate import kept_for_backward
from skycue.region_losses import cues_of, targets_of
from skycue.regions.clvnet import ClvNet
from tests.tiny_regions import CONFIG, build_tiny_network, samples_of, whole_images

DEEP = CONFIG.model_copy(
    update={
        "language": CONFIG.language.model_copy(
            update={"layers": 3, "lora": LoraSettings(dropout=0.5)}
        )
    }
)


def text_loss(network: ClvNet) -> Tensor:
    """The cross-entropy of the captions of two boxes, with one draw of dropout."""
    samples = samples_of((0, 0), (1, 1))
    cues = cues_of(network, whole_images(network, samples), samples)
    prompts = network.prompts(cues, network.region_tokens(cues))
    torch.manual_seed(4)
    ids = [target.ids for target in targets_of(network, samples).texts]
    return network.reasoner.read(prompts, ids).loss_sum


def gradients(network: ClvNet) -> dict[str, Tensor]:
    text_loss(network).backward()  # type: ignore[no-untyped-call]
    return {n: p.grad for n, p in network.named_parameters() if p.grad is not None}


def test_gradients_are_those_of_a_network_that_keeps_its_activations() -> None:
    plain, again = build_tiny_network(DEEP).train(), build_tiny_network(DEEP).train()
    again.reasoner.language.compute_again()
    wanted, found = gradients(plain), gradients(again)
    assert wanted.keys() == found.keys()
    assert any("lora_A" in name for name in found)
    assert any(name.startswith("region_encoder.") for name in found)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient)


def test_less_is_kept_in_training() -> None:
    network = build_tiny_network(DEEP).train()
    kept = kept_for_backward(lambda: text_loss(network), network.parameters())
    network.reasoner.language.compute_again()
    assert kept_for_backward(lambda: text_loss(network), network.parameters()) < kept


def test_a_network_in_evaluation_mode_writes_with_its_cache_as_before() -> None:
    network = build_tiny_network(DEEP).eval()
    samples = samples_of((0, 0))
    cues = cues_of(network, whole_images(network, samples), samples)
    prompts = network.prompts(cues, network.region_tokens(cues))
    wanted = network.write(prompts)
    network.reasoner.language.compute_again()
    lengths: list[int] = []
    base: Any = network.reasoner.language.model.base_model
    base.layers[0].register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    assert network.write(prompts) == wanted
    assert lengths == [prompts.shape[1]]  # read once: the cache is used
