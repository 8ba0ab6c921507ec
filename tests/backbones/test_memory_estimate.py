"""Tests of the memory estimate: counts by hand, activations against what autograd keeps."""

from typing import Any

import pytest
import torch
from torch import nn

from skycue.backbones.language import (
    LanguageConfig,
    LanguageModel,
    LoraSettings,
    language_model_from_hf_config,
    load_language_model,
    prepare,
)
from skycue.backbones.memory_estimate import (
    count_parameters,
    estimate_training,
    kept_for_backward,
    language_activations,
    mask_activations,
)
from skycue.backbones.sam import SamSettings, load_sam
from skycue.backbones.segmenter import MaskFeatures
from skycue.backbones.vocabulary import train_bpe_tokenizer

TWO_LAYERS_OF_VICUNA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 2,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}
SMALL_SAM = SamSettings(
    source="scratch",
    input_size=64,
    patch_size=8,
    hidden_size=16,
    layers=1,
    heads=2,
    decoder_width=16,
    decoder_hidden=32,
)


def tiny(width: int, inner: int, kv_heads: int, lora: LoraSettings | None) -> LanguageModel:
    """Return a random model of three layers."""
    config = LanguageConfig(
        hidden_size=width, intermediate_size=inner, layers=3, heads=4, kv_heads=kv_heads, lora=lora
    )
    return load_language_model(config, train_bpe_tokenizer(["a ship"], 300))


def test_a_shared_weight_counts_once_and_frozen_ones_apart() -> None:
    first, second = nn.Linear(4, 3), nn.Linear(4, 3, bias=False)
    second.weight = first.weight
    first.bias.requires_grad_(False)
    count = count_parameters(nn.ModuleList([first, second]))
    assert count == (3, 12)
    assert count.total == 15


def test_an_estimate_adds_up_by_hand() -> None:
    network = nn.ModuleList([nn.Linear(10, 10, bias=False), nn.Linear(5, 4, bias=False)])
    network[0].requires_grad_(False)
    estimate = estimate_training(network, optimizer_numbers=2, activations=7)
    assert estimate == (4 * (100 + 20), 4 * 20, 2 * 4 * 20, 7)
    assert estimate.total == 480 + 80 + 160 + 7


def test_lora_on_layers_of_vicuna_7b_is_counted_without_taking_memory() -> None:
    with torch.device("meta"):
        model = language_model_from_hf_config(TWO_LAYERS_OF_VICUNA)
        config = LanguageConfig(lora=LoraSettings(rank=8), train_embeddings=False)
        prepare(model, config)
    count = count_parameters(model)
    assert count.trained == 2 * 2 * 8 * (4096 + 4096)  # layers, q and v, rank, in and out
    without = 2 * 32000 * 4096 + 4096  # token table, head, last norm
    assert without + 16 * (count.frozen - without) == 6_738_415_616  # size of LLaMA 7B: 32 layers
    assert all(weight.is_meta for weight in model.parameters())


def test_what_a_product_keeps_is_its_other_factor() -> None:
    weight = torch.randn(6, 5, requires_grad=True)
    x = torch.randn(7, 6)
    assert kept_for_backward(lambda: x @ weight, [weight]) == 7 * 6 * 4
    # the square of the output keeps the output too
    assert kept_for_backward(lambda: (x @ weight).square(), [weight]) == 7 * 6 * 4 + 7 * 5 * 4


def test_what_is_kept_is_told_without_memory_too() -> None:
    def kept(device: str) -> int:
        with torch.device(device):
            network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.Tanh())
            pixels = torch.zeros(1, 2, 8, 8)
        return kept_for_backward(lambda: network(pixels), network.parameters())

    assert kept("meta") == kept("cpu") == 4 * (2 * 64 + 4 * 36 + 4 * 36)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("lora", [None, LoraSettings()])
@pytest.mark.parametrize(("width", "inner", "kv_heads"), [(256, 704, 4), (128, 256, 2)])
def test_the_formula_is_near_what_a_language_model_keeps(
    width: int, inner: int, kv_heads: int, lora: LoraSettings | None, half: bool
) -> None:
    language = tiny(width, inner, kv_heads, lora)
    embedded = torch.randn(2, 100, width, requires_grad=True)
    base: Any = language.model.base_model
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        kept = kept_for_backward(
            lambda: base(inputs_embeds=embedded, use_cache=False).last_hidden_state,
            language.parameters(),
        )
    whole, checkpointed = (
        language_activations(language, rows=2, length=100, answer=0, checkpointing=again, half=half)
        for again in (False, True)
    )
    head = 2 * language.embeddings.weight.numel() if half else 0  # its copy is made later
    assert whole - head == pytest.approx(kept, rel=0.15)
    assert checkpointed < 0.6 * whole


def test_logits_are_counted_for_learned_positions_only() -> None:
    language = tiny(128, 256, 2, None)
    none, ten = (
        language_activations(language, rows=2, length=100, answer=n, checkpointing=True, half=True)
        for n in (0, 10)
    )
    assert ten - none == 2 * 10 * language.embeddings.num_embeddings * 8


def test_masks_cost_memory_in_proportion_to_phrases_and_images() -> None:
    sam = load_sam(SMALL_SAM)
    features = MaskFeatures(torch.zeros(1, 16, 8, 8))
    one, two, three = (mask_activations(sam, features, rows=1, phrases=n) for n in (1, 2, 3))
    assert three - two == two - one > 0
    assert mask_activations(sam, features, rows=4, phrases=3) == 4 * three
    queries = torch.zeros(1, 3, 16, requires_grad=True)
    kept = kept_for_backward(lambda: sam.decode(features, queries).logits, sam.parameters())
    assert kept == pytest.approx(three, rel=0.02)
