"""From the names and shapes of a foreign state dict to ours.

Each format says by a function `source_of` where a tensor of ours comes from; all else is shared:
measuring the towers, comparing every name and shape, putting the weights together.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.clip_folder import check_names_and_shapes
from skycue.backbones.convert.architectures import Architecture, Shapes
from skycue.backbones.text import TextConfig
from skycue.backbones.tokenizer import Tokenizer
from skycue.backbones.vit import ImageConfig
from skycue.errors import CheckpointError

Config = TypeVar("Config", bound=BaseModel)


class Source(NamedTuple):
    """Where a tensor of ours comes from.

    Attributes:
        names: The foreign tensors, stacked along their first dimension.
        transposed: Whether the foreign tensor is the transpose of ours.
    """

    names: tuple[str, ...]
    transposed: bool = False


SourceOf = Callable[[str], Source]
"""Maps a name of our state dict to its foreign source."""
Renames = Sequence[tuple[str, str]]
"""Pairs of our part of a name and the foreign part, applied in this order."""


class Measured(NamedTuple):
    """What the weights say about their network."""

    shapes: Shapes
    image_size: int
    image_hidden: int
    context_length: int
    vocab_size: int
    text_hidden: int


class Described(NamedTuple):
    """What a configuration file says about the network beside it.

    Attributes:
        architecture: What the weights do not say.
        measured: What the weights must say too.
        path: The file.
    """

    architecture: Architecture
    measured: Measured
    path: Path


def read_config(model: type[Config], path: Path) -> Config:
    """Read a foreign JSON file into the model of what we support of it.

    Raises:
        CheckpointError: If it is missing, damaged, or says something that is not supported.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        found = "" if first["type"] == "missing" else f" (found {first['input']!r:.60})"
        raise CheckpointError(
            f"{path} is not supported: {where}: {first['msg']}{found}."
        ) from error


def renamed(name: str, renames: Renames) -> str:
    """Return our name of a tensor with its parts replaced by the foreign ones."""
    for ours, theirs in renames:
        name = name.replace(ours, theirs, 1)
    return name


def measure(state: Mapping[str, Tensor], source_of: SourceOf, path: Path) -> Measured:
    """Read widths, depths, patch size and resolution off the shapes of the weights.

    Raises:
        CheckpointError: If a weight is missing or its shape makes no tower.
    """

    def shape(name: str, n_dimensions: int) -> torch.Size:
        source = source_of(name)
        foreign = source.names[0]
        if foreign not in state:
            raise CheckpointError(f"{path} misses {foreign}: it is no CLIP with two transformers.")
        found = state[foreign].shape
        if len(found) != n_dimensions:
            raise CheckpointError(
                f"{path} has {foreign} of shape {list(found)} instead of {n_dimensions} dimensions."
            )
        return torch.Size(reversed(found)) if source.transposed else found

    def layers(tower: str) -> int:
        blocks = source_of(f"{tower}.blocks.").names[0]
        indices = {
            name.removeprefix(blocks).split(".")[0] for name in state if name.startswith(blocks)
        }
        return max(len(indices), 1)  # without any, those of a first block are named as missing

    width, _, patch_size, _ = shape("image.stem.weight", 4)
    n_patches = shape("image.positional_embedding", 2)[0] - 1
    if n_patches < 1 or isqrt(n_patches) ** 2 != n_patches:
        raise CheckpointError(f"{path} has {n_patches} patch positions, which make no square.")
    vocab_size, text_width = shape("text.token_embedding.weight", 2)
    return Measured(
        Shapes(
            patch_size=patch_size,
            image_width=width,
            image_layers=layers("image"),
            text_width=text_width,
            text_layers=layers("text"),
            embed_dim=shape("text.projection", 2)[1],
        ),
        image_size=isqrt(n_patches) * patch_size,
        image_hidden=shape("image.blocks.0.mlp.fc.weight", 2)[0],
        context_length=shape("text.positional_embedding", 2)[0],
        vocab_size=vocab_size,
        text_hidden=shape("text.blocks.0.mlp.fc.weight", 2)[0],
    )


def check_described(measured: Measured, described: Described) -> None:
    """Compare what a configuration file says with what the weights say.

    Raises:
        CheckpointError: If they differ; the line names every difference.
    """
    found = {**measured.shapes._asdict(), **measured._asdict()}
    said = {**described.measured.shapes._asdict(), **described.measured._asdict()}
    differences = [
        f"{name} {said[name]} where the weights have {found[name]}"
        for name in found
        if name != "shapes" and said[name] != found[name]
    ]
    if differences:
        raise CheckpointError(f"{described.path} says {', '.join(differences)}.")


def configuration(measured: Measured, architecture: Architecture) -> ClipConfig:
    """Join what the weights say with what only the architecture says."""
    shapes = measured.shapes
    return ClipConfig(
        embed_dim=shapes.embed_dim,
        image=ImageConfig(
            image_size=measured.image_size,
            patch_size=shapes.patch_size,
            width=shapes.image_width,
            layers=shapes.image_layers,
            heads=architecture.image_heads,
            mlp_ratio=measured.image_hidden / shapes.image_width,
        ),
        text=TextConfig(
            context_length=measured.context_length,
            vocab_size=measured.vocab_size,
            width=shapes.text_width,
            layers=shapes.text_layers,
            heads=architecture.text_heads,
            mlp_ratio=measured.text_hidden / shapes.text_width,
        ),
        activation=architecture.activation,
        layer_norm_eps=architecture.layer_norm_eps,
        mean=architecture.mean,
        std=architecture.std,
    )


def assemble(
    config: ClipConfig,
    tokenizer: Tokenizer,
    state: Mapping[str, Tensor],
    source_of: SourceOf,
    path: Path,
) -> Clip:
    """Build a CLIP from foreign weights, in float32.

    Raises:
        CheckpointError: If a name or shape is not what the configuration asks for, a weight is no
            finite real number, or the tokenizer does not fit the token table.
    """
    if tokenizer.vocab_size != config.text.vocab_size:
        raise CheckpointError(
            f"{path} has a token table of {config.text.vocab_size} rows; its tokenizer has "
            f"{tokenizer.vocab_size} tokens. Only the vocabulary it was trained with fits."
        )
    with torch.device("meta"):
        wanted = Clip(config, tokenizer).state_dict()
    sources = {name: source_of(name) for name in wanted}
    foreign = {
        part: _foreign_shape(tensor.shape, sources[name])
        for name, tensor in wanted.items()
        for part in sources[name].names
    }
    check_names_and_shapes({k: tuple(v.shape) for k, v in state.items()}, foreign, path)
    _check_numbers(state, path)
    clip = Clip(config, tokenizer)
    clip.load_state_dict({name: _taken(state, source) for name, source in sources.items()})
    return clip.eval().requires_grad_(False)


def _foreign_shape(shape: torch.Size, source: Source) -> tuple[int, ...]:
    """Return the shape that each foreign part of a tensor must have."""
    if source.transposed:
        return tuple(reversed(shape))
    return (shape[0] // len(source.names), *shape[1:]) if shape else ()


def _taken(state: Mapping[str, Tensor], source: Source) -> Tensor:
    """Return our tensor from its foreign parts, in float32."""
    parts = [state[name].float() for name in source.names]
    tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
    return tensor.T if source.transposed else tensor


def _check_numbers(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise CheckpointError unless all weights are finite floating-point numbers."""
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{path} has {name} as {tensor.dtype}; weights must be floats.")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path} has NaN or infinity in {name}: the file is damaged.")
