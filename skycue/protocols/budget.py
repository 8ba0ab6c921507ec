"""A budget that all trained rows share, so that a comparison tells methods and not efforts apart.

What authors publish differs in how many images are seen, how they are cropped and which epoch is
kept. Under a common budget these are equal; the rest stays as the row's settings say: optimiser,
learning rate, batch size, and the shape of the schedule, stretched to the budget.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from skycue.config import Config
from skycue.scene_config import SceneConfig
from skycue.training_config import EpochWeights


class CommonBudget(Config):
    """What every row gets that trains step by step, under `common_budget:`."""

    images: int = Field(ge=1)
    """Images seen in a training, each as often as there are epochs: whole epochs, at least one, as
    near to this as they come. Equal for all rows of a cell's training set."""
    keep: Literal["last", "best_validation"] = "last"
    """Which epoch is kept."""
    augment: Literal["none", "released"] = "none"
    """Encode each image once, or take random crops of it."""

    def apply(self, config: SceneConfig, n_items: int) -> SceneConfig:
        """Return the settings of a row under the budget.

        Epochs of warm-up and the Gaussian over epochs that PromptSRC averages with are stretched
        with the schedule, the warm-up to whole epochs. No image is left out of an epoch. Where the
        best epoch is kept there is no average of epochs.

        Args:
            config: Settings of the row.
            n_items: Images of the training set.
        """
        train = config.train
        epochs = max(round(self.images / n_items), 1)
        stretch = epochs / train.epochs
        average = train.epoch_average
        if average is not None:
            mean, std = average.mean * stretch, average.std * stretch
            average = EpochWeights(mean=mean, std=std) if self.keep == "last" else None
        changed = train.model_copy(
            update={
                "epochs": epochs,
                "warmup_epochs": float(round(train.warmup_epochs * stretch)),
                "epoch_average": average,
                "average_decay": train.average_decay if self.keep == "last" else None,
                "keep": self.keep,
                "augment": self.augment,
                "drop_last": False,
            }
        )
        return config.model_copy(update={"train": changed})

    def sentence(self) -> str:
        """Say for a report what was equal."""
        kept = "last epoch" if self.keep == "last" else "epoch that validates best"
        crops = "no augmentation" if self.augment == "none" else "random crops and flips"
        return (
            f"Common budget: each row that trains step by step sees {self.images:,} images (the "
            f"nearest number of whole epochs) with {crops}, and the {kept} is kept. Optimiser, "
            "learning rate and batch size are those of the row (`run.json`); so rows with large "
            "batches make fewer steps. The schedule is stretched."
        )
