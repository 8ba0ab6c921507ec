"""The recipe of a region model: its data, its network and the stages of its training."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from skycue.config import Config
from skycue.regions.clvnet import ClvNetConfig
from skycue.training_config import TrainConfig


class OutlinedSource(Config):
    """Images with outlined objects, whose captions are written by rules."""

    annotations: Path
    """COCO instances file, below the data root."""
    images: Path
    """Folder of its images, below the data root."""
    boxes: int | None = Field(default=None, gt=0)
    """Objects of each image that are trained on, drawn once; all of them are seen. None: all."""


class RecordSource(Config):
    """Images with captions of their own."""

    records: Path
    """Records as JSON Lines, below the data root."""
    images: Path
    """Folder of its images, below the data root."""


class RenderedSource(Config):
    """Images that the renderer draws before training starts."""

    count: int = Field(gt=0)
    """Images."""
    size: int = Field(default=512, gt=0)
    """Side in pixels."""
    boxes: int = Field(default=4, gt=0)
    """Objects of each image that are trained on; all of them are seen."""
    seed: int = 0
    """Of the first image; the others count on from it."""


class RegionDataConfig(Config):
    """What to learn from, under `data:`."""

    outlined: tuple[OutlinedSource, ...] = ()
    """Outlined images; they are turned and mirrored, and captioned anew."""
    records: tuple[RecordSource, ...] = ()
    """Captioned images; they are neither turned nor mirrored, for their captions say where."""
    rendered: RenderedSource | None = None
    """Drawn images."""
    held_out: Path | None = None
    """List of image names, one a line, that only validate; looked for beside the recipe."""
    wholes: bool = True
    """Also learn to describe whole images, in `full` stages."""
    jitter: float = Field(default=0.1, ge=0, lt=0.5)
    """Share of its extent by which each side of a box moves."""
    zoom: float = Field(default=1.15, ge=1)
    """Largest change of a window's scale, as a factor."""
    colour: float = Field(default=0.25, ge=0, lt=1)
    """Largest change of brightness and contrast."""
    mask_cells: int = Field(default=96, gt=0)
    """Side of the mask targets on a view."""


class LossWeights(Config):
    """Factors of the loss terms; GLaMM's, and clvnet.md's choice for the two new ones."""

    text: float = Field(default=1.0, ge=0)
    """Cross-entropy of the caption's tokens."""
    bce: float = Field(default=2.0, ge=0)
    """Binary cross-entropy of mask logits."""
    dice: float = Field(default=0.5, ge=0)
    """Dice loss of masks."""
    coarse: float = Field(default=0.5, ge=0)
    """Factor on the mask losses of the first pass."""
    iou: float = Field(default=0.5, ge=0)
    """Squared error of the expected overlap."""
    semantic: float = Field(default=0.1, ge=0)
    """Cross-modal Semantic Consistency Loss."""
    relation: float = Field(default=0.1, ge=0)
    """Relationship Consistency Loss."""
    matrix: float = Field(default=0.0, ge=0, exclude_if=lambda weight: weight == 0)
    """Likeness among a caption's objects drawn to likeness among its phrases, where it has three or
    more; not written down while off, so that what was trained without it is known again."""


class RegionStageConfig(Config):
    """One stage of the training, under `stages:`."""

    name: str = Field(pattern="^[a-z_]+$")
    """Name in files and logs."""
    kind: Literal["masks", "words", "full"] = "full"
    """`masks` trains the segmenter without language, `words` captions without masks, which is much
    cheaper where the segmenter stands still, `full` both."""
    jitter: float | None = Field(default=None, ge=0, lt=0.5)
    """In place of the data's: captions tell of the true box, so words want little of it."""
    zoom: float | None = Field(default=None, ge=1)
    """In place of the data's; counts of neighbours tell of the true window."""
    trains: tuple[str, ...] = ("*",)
    """Shell-style patterns of the parameters that learn."""
    neighbours: float = Field(default=0.0, ge=0)
    """In a `words` stage: factor of a text that tells the side of each neighbour, from which a
    small model learns sides; it is never asked for afterwards."""
    weights: LossWeights | None = None
    """Of the loss terms of a `full` stage; none: those of the recipe."""
    align_after: int = Field(default=500, ge=0)
    """Steps before the two alignment losses begin: masks are noise before."""
    train: TrainConfig
    """Schedule of the stage."""


class RegionTrainingConfig(Config):
    """The recipe of a region model."""

    model: ClvNetConfig = ClvNetConfig()
    """The network."""
    data: RegionDataConfig
    """What it learns from."""
    weights: LossWeights = LossWeights()
    """Of the loss terms, in stages that have none of their own."""
    stages: tuple[RegionStageConfig, ...] = Field(min_length=1)
    """In their order."""
    start: str | None = None
    """Model folder to start from, such as converted GLaMM weights; none starts anew."""
    start_names: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Shell-style patterns of the weights to take from `start`, such as `segmenter.*`."""
    checkpointing: bool = False
    """Compute activations of the language model again in the backward pass, to save memory."""
