"""The fast text encoding equals the plain loop over whole padded texts, outputs and gradients."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.errors import PromptTooLongError
from tests.conftest import build_tiny_clip

TOLERANCE = 1e-4
"""Largest absolute difference over the largest absolute value (design.md 2)."""
MIXED_LENGTHS = (1, 20, 3, 2, 11, 7)
"""Tokens of the class names of one call."""


def assert_equal_to_rounding(fast: Tensor, plain: Tensor) -> None:
    assert (fast - plain).abs().max() <= TOLERANCE * plain.abs().max()


def plain_loop(clip: Clip, prefix: Tensor, suffix: Tensor, eot_index: Tensor) -> Tensor:
    """One text at a time over the full context length, every block over every position."""
    length = clip.config.text.context_length
    rows = []
    for group in range(len(prefix)):
        own = suffix[group if len(suffix) > 1 else 0]
        for index in range(suffix.shape[1]):
            text = torch.cat([prefix[group], own[index]])
            padding = torch.zeros(length - len(text), text.shape[1])
            x = (torch.cat([text, padding]) + clip.text.positional_embedding)[None]
            for block in clip.text.blocks:
                x = block(x, causal=True)
            eot = prefix.shape[1] + int(eot_index[index])
            rows.append(clip.text.ln_final(x[0, eot]) @ clip.text.projection)
    return torch.stack(rows).view(len(prefix), suffix.shape[1], -1)


def random_prompts(
    groups: int, n_prefix: int, lengths: Sequence[int], *, own_suffixes: bool
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    prefix = torch.randn(groups, n_prefix, 32, generator=generator).requires_grad_()
    n_suffix = groups if own_suffixes else 1
    suffix = torch.randn(n_suffix, len(lengths), max(lengths) + 2, 32, generator=generator)
    return prefix, suffix.requires_grad_(), torch.tensor(lengths) + 1


@pytest.mark.parametrize("max_bytes", [1, 200_000, 1 << 40], ids=["one by one", "chunks", "whole"])
@pytest.mark.parametrize("own_suffixes", [False, True], ids=["class at end", "class in middle"])
@pytest.mark.parametrize(
    ("groups", "n_prefix", "lengths"),
    [
        (3, 5, MIXED_LENGTHS),
        (3, 17, MIXED_LENGTHS),
        (1, 1, MIXED_LENGTHS),
        (4, 5, (2,)),
        (1, 5, (3,)),
    ],
    ids=["context of 4", "context of 16", "class in front", "one class", "one image, one class"],
)
def test_shared_prefixes_change_neither_outputs_nor_gradients(
    groups: int, n_prefix: int, lengths: tuple[int, ...], own_suffixes: bool, max_bytes: int
) -> None:
    clip = build_tiny_clip()
    prefix, suffix, eot_index = random_prompts(groups, n_prefix, lengths, own_suffixes=own_suffixes)
    plain = plain_loop(clip, prefix, suffix, eot_index)
    weights = torch.randn(plain.shape, generator=torch.Generator().manual_seed(4))
    plain_gradients = torch.autograd.grad((plain * weights).sum(), (prefix, suffix))
    fast = clip.text.encode_prompts(prefix, suffix, eot_index, max_bytes=max_bytes)
    gradients = torch.autograd.grad((fast * weights).sum(), (prefix, suffix))
    assert_equal_to_rounding(fast, plain)
    for own, reference in zip(gradients, plain_gradients, strict=True):
        assert_equal_to_rounding(own, reference)


@pytest.mark.parametrize("context_length", [24, 40, 77])
def test_cutting_the_padding_changes_nothing(context_length: int) -> None:
    clip = build_tiny_clip(context_length=context_length)
    ids = clip.tokenize(["a river.", "a photo of a sparse residential area next to a golf course."])
    whole = clip.token_embedding(ids)
    plain = plain_loop(clip, whole[:, :1], whole[:1, None, 1:], clip.eot_index(ids[:1]) - 1)
    assert_equal_to_rounding(clip.text(whole, clip.eot_index(ids))[:1], plain[0])


def test_deep_prompts_replace_prefix_states_in_their_layer() -> None:
    clip = build_tiny_clip()
    prefix, suffix, eot_index = random_prompts(2, 4, (2, 5), own_suffixes=False)
    deep = torch.randn(2, 32, generator=torch.Generator().manual_seed(5))
    fast = clip.text.encode_prompts(prefix, suffix, eot_index, deep_prompts=[deep])
    text = torch.cat([prefix[1], suffix[0, 1]]) + clip.text.positional_embedding[:11]
    x = clip.text.blocks[0](text[None], causal=True)
    x = torch.cat([x[:, :1], deep[None], x[:, 3:]], dim=1)
    for block in clip.text.blocks[1:]:
        x = block(x, causal=True)
    plain = clip.text.ln_final(x[0, 4 + int(eot_index[1])]) @ clip.text.projection
    assert_equal_to_rounding(fast[1, 1], plain)


def test_too_long_a_prompt_is_refused_with_the_numbers() -> None:
    clip = build_tiny_clip(context_length=12)
    prefix, suffix, eot_index = random_prompts(1, 9, (3, 6), own_suffixes=False)
    with pytest.raises(PromptTooLongError, match="needs 17 tokens; the text encoder holds 12"):
        clip.text.encode_prompts(prefix, suffix, eot_index)
