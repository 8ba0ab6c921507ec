"""CLIP folders of the Hugging Face hub, as `transformers.CLIPModel` saves them.

`config.json` holds the shapes, heads and activation; `preprocessor_config.json` the normalisation;
`tokenizer.json`, or `vocab.json` with `merges.txt`, the vocabulary; the weights are in one file or
in parts with an index. Fields that a file leaves out have the defaults of transformers' CLIP.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from torch import Tensor

from skycue.backbones.convert.architectures import Architecture, Colour, Shapes
from skycue.backbones.convert.layout import (
    Described,
    Measured,
    Renames,
    Source,
    read_config,
    renamed,
)
from skycue.backbones.tokenizer import Tokenizer
from skycue.backbones.transformer import Activation
from skycue.errors import CheckpointError

CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
PROCESSOR_FILE = "processor_config.json"
TOKENIZER_FILE = "tokenizer.json"
VOCABULARY_FILES = ("vocab.json", "merges.txt")
SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json")
INDEX_SUFFIX = ".index.json"

BICUBIC: Literal[3] = 3
"""Pillow's number of the filter that CLIP resizes with."""

RENAMES: Renames = (
    ("image.stem.", "vision_model.embeddings.patch_embedding."),
    ("image.class_embedding", "vision_model.embeddings.class_embedding"),
    ("image.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
    ("image.ln_pre.", "vision_model.pre_layrnorm."),  # spelled so in transformers
    ("image.ln_post.", "vision_model.post_layernorm."),
    ("image.projection", "visual_projection.weight"),
    ("image.blocks.", "vision_model.encoder.layers."),
    ("text.token_embedding.", "text_model.embeddings.token_embedding."),
    ("text.positional_embedding", "text_model.embeddings.position_embedding.weight"),
    ("text.ln_final.", "text_model.final_layer_norm."),
    ("text.projection", "text_projection.weight"),
    ("text.blocks.", "text_model.encoder.layers."),
    (".ln_1.", ".layer_norm1."),
    (".ln_2.", ".layer_norm2."),
    (".attention.", ".self_attn."),
    (".mlp.fc.", ".mlp.fc1."),
    (".mlp.proj.", ".mlp.fc2."),
)
POSITION_IDS = "embeddings.position_ids"
"""Ends the names of counters 0, 1, 2 ... that older files hold beside the weights."""


class _Tower(BaseModel):
    """What both towers' configurations say."""

    hidden_act: Activation = "quick_gelu"
    layer_norm_eps: float = 1e-5
    num_hidden_layers: int = 12


class _ImageTower(_Tower):
    """`vision_config`."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 32
    num_channels: Literal[3] = 3


class _TextTower(_Tower):
    """`text_config`."""

    hidden_size: int = 512
    intermediate_size: int = 2048
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    vocab_size: int = 49408


class _Config(BaseModel):
    """`config.json`; the fields that end in `_dict` are of old files and overrule the others."""

    model_type: Literal["clip"]
    projection_dim: int = 512
    vision_config: _ImageTower | None = None
    vision_config_dict: _ImageTower | None = None
    text_config: _TextTower | None = None
    text_config_dict: _TextTower | None = None


class _Preprocessor(BaseModel):
    """`preprocessor_config.json`: CLIP's resize and crop, any normalisation."""

    image_mean: Colour
    image_std: Colour
    resample: Literal[3] = BICUBIC
    do_normalize: Literal[True] = True
    do_resize: Literal[True] = True
    do_center_crop: Literal[True] = True


class _Processor(BaseModel):
    """`processor_config.json`, where newer folders keep the same."""

    image_processor: _Preprocessor


class _Index(BaseModel):
    """The index of weights in several files: the file that holds each tensor."""

    weight_map: dict[str, str] = Field(min_length=1)


def source_of(name: str) -> Source:
    """Return where a tensor of ours stands in a state dict of transformers."""
    foreign = renamed(name, RENAMES)
    if ".in_proj." in foreign:
        return Source(tuple(foreign.replace(".in_proj.", f".{part}_proj.") for part in "qkv"))
    return Source((foreign,), transposed=name.endswith(".projection"))


def without_position_ids(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without what is no weight."""
    return {name: tensor for name, tensor in state.items() if not name.endswith(POSITION_IDS)}


def describe(folder: Path) -> Described:
    """Return what the configuration files of a folder say.

    Raises:
        CheckpointError: If one is missing or damaged, or describes a network that is not read.
    """
    path = folder / CONFIG_FILE
    config = read_config(_Config, path)
    image = config.vision_config_dict or config.vision_config or _ImageTower()
    text = config.text_config_dict or config.text_config or _TextTower()
    for field in ("hidden_act", "layer_norm_eps"):
        if getattr(image, field) != getattr(text, field):
            raise CheckpointError(
                f"{path} is not supported: {field} differs between the towers "
                f"({getattr(image, field)} and {getattr(text, field)})."
            )
    shapes = Shapes(
        patch_size=image.patch_size,
        image_width=image.hidden_size,
        image_layers=image.num_hidden_layers,
        text_width=text.hidden_size,
        text_layers=text.num_hidden_layers,
        embed_dim=config.projection_dim,
    )
    preprocessor = _preprocessor(folder)
    architecture = Architecture(
        shapes,
        activation=image.hidden_act,
        image_heads=image.num_attention_heads,
        text_heads=text.num_attention_heads,
        mean=preprocessor.image_mean,
        std=preprocessor.image_std,
        layer_norm_eps=image.layer_norm_eps,
    )
    measured = Measured(
        shapes,
        image_size=image.image_size,
        image_hidden=image.intermediate_size,
        context_length=text.max_position_embeddings,
        vocab_size=text.vocab_size,
        text_hidden=text.intermediate_size,
    )
    return Described(architecture, measured, path)


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read the vocabulary of a folder.

    Raises:
        CheckpointError: If it is missing, damaged or not CLIP's kind.
    """
    if (folder / TOKENIZER_FILE).is_file():
        return Tokenizer.load(folder / TOKENIZER_FILE)
    vocabulary, merges = (folder / name for name in VOCABULARY_FILES)
    if vocabulary.is_file() and merges.is_file():
        return Tokenizer.load_vocabulary(vocabulary, merges)
    raise CheckpointError(
        f"no vocabulary in {folder}: expected {TOKENIZER_FILE}, or "
        f"{vocabulary.name} and {merges.name}."
    )


def parts_of(index: Path) -> list[Path]:
    """Return the files that the index of a divided state dict names, all of its own kind.

    Raises:
        CheckpointError: If the index is damaged, or names anything but files beside it.
    """
    names = sorted(set(read_config(_Index, index).weight_map.values()))
    suffix = Path(index.name.removesuffix(INDEX_SUFFIX)).suffix
    for name in names:
        if Path(name).name != name or Path(name).suffix != suffix:
            raise CheckpointError(f"{index} names {name!r}, which is no {suffix} file beside it.")
    return [index.parent / name for name in names]


def _preprocessor(folder: Path) -> _Preprocessor:
    """Read how images are normalised."""
    if (folder / PREPROCESSOR_FILE).is_file():
        return read_config(_Preprocessor, folder / PREPROCESSOR_FILE)
    if (folder / PROCESSOR_FILE).is_file():
        return read_config(_Processor, folder / PROCESSOR_FILE).image_processor
    raise CheckpointError(
        f"no {PREPROCESSOR_FILE} in {folder}: without it the normalisation is unknown. "
        "Get the whole repository."
    )
