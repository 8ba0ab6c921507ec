"""The recipe of a CLIP: data, shape of the network and stages, as a YAML file holds them."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from skycue.backbones.clip import ClipConfig
from skycue.backbones.sentence import MINILM
from skycue.clip_augmentation import AugmentConfig
from skycue.config import Config
from skycue.training_config import TrainConfig


class StageConfig(Config):
    """One stage of the recipe."""

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    """Names the stage in the log and its files."""
    items: Literal["texts", "images"]
    """What an epoch passes over: `texts` only distils, `images` contrasts as well."""
    trains: tuple[str, ...]
    """Shell-style patterns of the parameters that learn; the others stay as they are."""
    image_size: int = Field(default=192, gt=0)
    """Side of the views in pixels; positions are resampled where it is not the model's."""
    augment: AugmentConfig = AugmentConfig()
    """How views are drawn from the stored images."""
    distillation: float = Field(default=1.0, ge=0)
    """Weight of the distillation loss beside the contrast."""
    phrases_per_step: int = Field(default=64, ge=0)
    """Phrases in templates that are distilled in each step on images."""
    train: TrainConfig
    """Schedule of the stage."""


class ClipTrainingConfig(Config):
    """The recipe of a CLIP."""

    model: ClipConfig
    """Shape of the network; `text.vocab_size` is also the size the tokenizer is trained to."""
    stages: tuple[StageConfig, ...] = Field(min_length=1)
    """In their order."""
    datasets: tuple[str, ...] = ("rsicd", "ucm")
    """Folders below the data root, each with a captions file."""
    excluded: tuple[str, ...] = ()
    """Training images to leave out, such as near-duplicates of evaluation images."""
    held_out_percent: int = Field(default=10, ge=1, le=90)
    """Share of the training images that only validates."""
    stored_size: int = Field(default=192, gt=0)
    """Side of the images in memory, in pixels."""
    phrases: Path
    """List of phrases to distil, one a line; `skycue train clip` looks beside the recipe."""
    templates: tuple[str, ...] = ("{}",)
    """Sentences the phrases are written into; {} stands for a phrase."""
    teacher: str = MINILM
    """Sentence encoder to imitate."""
    temperature: float = Field(default=0.05, gt=0)
    """Of the distributions over a batch in distillation."""
    frozen_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the stem's blocks that do not train."""
