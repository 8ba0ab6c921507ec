"""How much memory a training will need, before any weight is loaded.

Weights, gradients and AdamW's two moments follow from the counts of parameters, which a network on
the meta device has without taking memory. What is kept for the backward pass is a formula for
language models of the Llama kind (after Korthikanti et al., "Reducing Activation Recomputation in
Large Transformer Models", 2022, https://arxiv.org/abs/2205.05198, section 4, with gated MLPs and
without dropout), and measured for a mask decoder. It is an estimate: work space of the kernels,
fragments and the sums of the optimizer come on top.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skycue.backbones.language import LanguageModel
from skycue.backbones.segmenter import MaskFeatures, Segmenter

FLOAT32, HALF = 4, 2
"""Bytes of a number."""
ADAMW_MOMENTS = 2
"""Float32 numbers that AdamW keeps for each learned one."""
NORM_COPIES, STATE_COPIES, MLP_COPIES = 2, 4, 4
"""What a layer keeps of each token: inputs of both norms, also in float32; in half precision, the
outputs of both norms and of attention and the queries; four vectors inside the MLP."""
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

    frozen_weights: int
    trained_weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)

    def lines(self) -> list[str]:
        """Return a line for each part and one for the sum."""
        rows = [*zip(self._fields, self, strict=True), ("total", self.total)]
        return [f"{name.replace('_', ' '):<16}{size / GIB:8.2f} GiB" for name, size in rows]


def count_parameters(network: nn.Module) -> ParameterCount:
    """Count the numbers of a network, which may be on the meta device."""
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    return ParameterCount(frozen, trained)


def estimate_training(
    network: nn.Module, *, frozen_bytes: int = HALF, activations: int = 0
) -> MemoryEstimate:
    """Estimate the memory of a training step with AdamW on one device.

    Args:
        network: On any device; `requires_grad` says what learns.
        frozen_bytes: Bytes of a frozen weight; learned ones and their gradients are float32.
        activations: Bytes kept for the backward pass, from the functions below.
    """
    count = count_parameters(network)
    learned = FLOAT32 * count.trained
    return MemoryEstimate(
        frozen_weights=frozen_bytes * count.frozen,
        trained_weights=learned,
        gradients=learned,
        optimizer=ADAMW_MOMENTS * learned,
        activations=activations,
    )


def language_activations(
    language: LanguageModel, *, rows: int, length: int, answer: int, checkpointing: bool
) -> int:
    """Estimate what a language model keeps for its backward pass, in bytes.

    Args:
        language: On any device.
        rows: Prompts in a batch.
        length: Tokens of a prompt with its answer, image tokens included.
        answer: Tokens of it whose next one is learned; only they get logits.
        checkpointing: Each layer keeps its input alone and is computed again.
    """
    config = language.model.config
    width, inner = language.width, int(config.intermediate_size)
    head_width = width // int(config.num_attention_heads)
    keys = 2 * head_width * int(config.num_key_value_heads)  # and values
    layer = NORM_COPIES * width * (HALF + FLOAT32)
    layer += HALF * (STATE_COPIES * width + keys + MLP_COPIES * inner)
    n_layers = int(config.num_hidden_layers)
    kept = n_layers * HALF * width + layer if checkpointing else n_layers * layer
    logits = 2 * FLOAT32 * language.embeddings.num_embeddings  # and their gradient
    return rows * (length * kept + answer * logits)


def mask_activations(
    segmenter: Segmenter, features: MaskFeatures, *, rows: int, phrases: int
) -> int:
    """Measure what a mask decoder keeps for its backward pass, in bytes.

    Args:
        segmenter: With real weights, on any device but meta; its numbers do not matter.
        features: Of one image, such as zeros; it may be the only one.
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


def kept_for_backward(run: Callable[[], Tensor], weights: Iterable[Tensor] = ()) -> int:
    """Run something and return the bytes of what it keeps for the backward pass.

    Args:
        run: Computes a result that has a gradient.
        weights: Tensors that are there anyway and do not count.
    """
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    there = {tensor.untyped_storage().data_ptr() for tensor in weights}
    del result
    return sum(storage.nbytes() for address, storage in storages.items() if address not in there)
