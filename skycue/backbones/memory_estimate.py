"""How much memory a training step needs, told from a network that may take none (`meta` device).

Weights, gradients and what the optimiser keeps follow from counts of parameters: all of them are
float32 in a training here, frozen ones too, and only products are computed in half precision. What
is kept for the backward pass is a formula for language models of the Llama kind (after Korthikanti
et al., "Reducing Activation Recomputation in Large Transformer Models", 2022,
https://arxiv.org/abs/2205.05198, section 4, with gated MLPs and without dropout), and measured for
other parts. It is an estimate: work space of the kernels and fragments come on top.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skycue.backbones.language import LanguageModel
from skycue.backbones.segmenter import MaskFeatures, Segmenter

FLOAT32, HALF = 4, 2
"""Bytes of a number."""
NORM_COPIES, STATE_COPIES, MLP_COPIES = 2, 4, 4
"""What a layer keeps of each token: the inputs of both norms in float32 and their outputs in the
format of products; in that format also what goes into and comes out of attention, and four vectors
inside the MLP."""
GIB = 2**30


class ParameterCount(NamedTuple):
    """Numbers in a network; shared ones count once."""

    frozen: int
    trained: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.frozen + self.trained


class MemoryEstimate(NamedTuple):
    """Bytes that a training step needs on one device, by what they hold."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


def count_parameters(network: nn.Module) -> ParameterCount:
    """Count the numbers of a network, which may be on the meta device."""
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    return ParameterCount(frozen, trained)


def estimate_training(
    network: nn.Module, *, optimizer_numbers: int, activations: int
) -> MemoryEstimate:
    """Estimate the memory of a training step on one device, with all weights in float32.

    Args:
        network: On any device; `requires_grad` says what learns.
        optimizer_numbers: What the optimiser keeps for each number that learns, such as two
            moments.
        activations: Bytes kept for the backward pass, from the functions below.
    """
    count = count_parameters(network)
    learned = FLOAT32 * count.trained
    return MemoryEstimate(
        weights=FLOAT32 * count.total,
        gradients=learned,
        optimizer=optimizer_numbers * learned,
        activations=activations,
    )


def language_activations(
    language: LanguageModel,
    *,
    rows: int,
    length: int,
    answer: int,
    checkpointing: bool,
    half: bool,
) -> int:
    """Estimate what a language model keeps for its backward pass, in bytes.

    Args:
        language: With float32 weights, on any device; whether its norms learn matters.
        rows: Prompts in a batch.
        length: Tokens of a prompt with its answer, image tokens included.
        answer: Tokens of it that are learned; only they get logits.
        checkpointing: Each layer keeps its input alone and is computed again.
        half: Products are computed in half precision, with copies of the weights.
    """
    config = language.model.config
    width, inner = language.width, int(config.intermediate_size)
    n_layers = int(config.num_hidden_layers)
    number = HALF if half else FLOAT32
    norms_learn = any(p.requires_grad for p in language.parameters() if p.ndim == 1)
    head_width = width // int(config.num_attention_heads)
    keys = 2 * head_width * int(config.num_key_value_heads)  # and values
    layer = NORM_COPIES * width * (FLOAT32 * (1 + norms_learn) + (number if half else 0))
    layer += number * (STATE_COPIES * width + keys + MLP_COPIES * inner)
    tables = {id(t): t for t in (language.embeddings.weight, _head(language))}.values()
    n_table = sum(t.numel() for t in tables)
    copies = HALF * (count_parameters(language).total - n_table) // n_layers if half else 0
    per_token, fixed = n_layers * layer, n_layers * copies
    if checkpointing:
        per_token, fixed = n_layers * FLOAT32 * width + layer, copies
    logits = 2 * FLOAT32 * language.embeddings.num_embeddings  # and their gradient
    fixed += HALF * _head(language).numel() if half else 0
    return fixed + rows * (length * per_token + answer * logits)


def _head(language: LanguageModel) -> Tensor:
    """Return the weight of the output head."""
    head = language.model.get_output_embeddings()  # type: ignore[no-untyped-call]
    weight: Tensor = head.weight
    return weight


def mask_activations(
    segmenter: Segmenter, features: MaskFeatures, *, rows: int, phrases: int
) -> int:
    """Measure what a mask decoder keeps for its backward pass, in bytes, in float32.

    Args:
        segmenter: On a real device: on the meta device attention keeps what its kernels do not.
        features: Of one image, on that device; their numbers do not matter.
        rows: Images in a batch.
        phrases: Masks of each.
    """
    one, two = (_decoder_bytes(segmenter, features, n) for n in (1, 2))
    return rows * (one + (phrases - 1) * (two - one))


def _decoder_bytes(segmenter: Segmenter, features: MaskFeatures, phrases: int) -> int:
    """Decode masks of one image, and return what is kept."""
    shape = (1, phrases, segmenter.query_width)
    queries = torch.zeros(shape, device=features.coarse.device, requires_grad=True)
    return kept_for_backward(
        lambda: segmenter.decode(features, queries).logits, segmenter.parameters()
    )


def kept_for_backward(run: Callable[[], object], weights: Iterable[Tensor] = ()) -> int:
    """Run something and return the bytes of what it keeps for the backward pass.

    Args:
        run: Computes results that have a gradient, and returns them; on any device.
        weights: Tensors that are there anyway and do not count.
    """
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[_identity(storage)] = storage  # held, so that no identity is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    there = {_identity(tensor.untyped_storage()) for tensor in weights}
    del result
    return sum(storage.nbytes() for key, storage in storages.items() if key not in there)


def _identity(storage: torch.UntypedStorage) -> int:
    """Tell storages apart; on the meta device all addresses are 0."""
    return int(storage._cdata)
