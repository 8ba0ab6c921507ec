"""Each way to write token after token has the states of a pass over the whole text."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.decoding import (
    CachedDecoding,
    LlamaDecoding,
    UncachedDecoding,
    is_plain_llama,
    start_decoding,
)
from skycue.backbones.language import LanguageConfig, LoraSettings, prepare
from skycue.backbones.language import language_model_from_hf_config as build_model

R, P, L, W = 2, 5, 4, 32
"""Rows, tokens of a prompt, tokens of an answer, width."""
SMALL: dict[str, object] = {
    "vocab_size": 50,
    "hidden_size": W,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS: dict[str, dict[str, object]] = {
    "heads that share keys": {},
    "a head each": {"num_key_value_heads": 4},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "a head width of its own": {"head_dim": 16},
    "other angles": {"rope_parameters": LLAMA3},
    "another floor of the norm": {"rms_norm_eps": 1e-2},
}


def network(settings: Mapping[str, object] | None = None, kind: str = "llama") -> Any:
    torch.manual_seed(3)
    model: Any = build_model({"model_type": kind, **SMALL, **(settings or {})})
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases that show, too
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def text() -> Tensor:
    return torch.randn(R, P + L, W, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def states_of(model: Any, embedded: Tensor) -> Tensor:
    """Return the states of the last L + 1 positions, read in one pass."""
    whole: Tensor = model.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    return whole[:, P - 1 :]


@torch.no_grad()
def written(model: Any, embedded: Tensor, *, keep: bool = True) -> Tensor:
    """Return the same states, read token after token."""
    decoding = start_decoding(model.base_model, embedded[:, :P], L, keep=keep)
    states = [decoding.states]
    for place in range(P, P + L):
        decoding.advance(embedded[:, place])
        states.append(decoding.states)
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_llama_has_the_states_of_one_pass(variant: str) -> None:
    model = network(VARIANTS[variant])
    assert is_plain_llama(model.base_model)
    assert_close(written(model, text()), states_of(model, text()), rtol=1e-4, atol=1e-5)


def test_each_variant_computes_something_else() -> None:
    found = [states_of(network(settings), text()) for settings in VARIANTS.values()]
    for number, one in enumerate(found):
        assert all(not torch.allclose(one, other, atol=1e-3) for other in found[:number])


def test_lora_counts() -> None:
    model = network()
    plain = states_of(model, text())
    prepare(model, LanguageConfig(lora=LoraSettings(targets=("q_proj", "v_proj", "down_proj"))))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    model.eval()  # no dropout
    assert is_plain_llama(model.base_model)
    assert not torch.allclose(states_of(model, text()), plain, atol=1e-2)
    assert_close(written(model, text()), states_of(model, text()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["qwen2", "mistral"])
def test_other_models_are_left_to_transformers(kind: str) -> None:
    model = network(kind=kind)
    assert isinstance(start_decoding(model.base_model, text()[:, :P], L), CachedDecoding)
    assert_close(written(model, text()), states_of(model, text()), rtol=1e-4, atol=1e-5)


def test_a_llama_whose_angles_change_with_the_length_is_left_to_transformers() -> None:
    dynamic = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}
    assert not is_plain_llama(network({"rope_parameters": dynamic}).base_model)


def test_without_keeping_all_is_read_again() -> None:
    model = network()
    decoding = start_decoding(model.base_model, text()[:, :P], L, keep=False)
    assert isinstance(decoding, UncachedDecoding)
    assert_close(written(model, text(), keep=False), states_of(model, text()))


def test_half_precision_stays_near() -> None:
    model = network()
    with torch.autocast("cpu", torch.bfloat16):
        halved = written(model, text())
    assert_close(halved.float(), states_of(model, text()), rtol=0.1, atol=0.1)


def test_weights_in_half_precision_work_as_those_of_transformers() -> None:
    model = network().to(torch.bfloat16)
    embedded = text().to(torch.bfloat16)
    assert isinstance(start_decoding(model.base_model, embedded[:, :P], L), LlamaDecoding)
    ours, theirs = written(model, embedded), states_of(model, embedded)
    assert ours.dtype == theirs.dtype
    assert_close(ours, theirs, rtol=0.1, atol=0.1)
