"""How to train: the settings under `train:`, and the rates and the optimiser that they mean."""

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from skycue.config import Config
from skycue.errors import ConfigError


class GroupConfig(Config):
    """Other settings for the parameters whose name fits a pattern."""

    names: str
    """Shell-style pattern of parameter names, such as `image.stem.*`."""
    lr_scale: float = Field(default=1.0, ge=0)
    """Factor on the learning rate; several patterns that fit multiply."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay in place of the run's; the last pattern that fits counts."""


class EpochWeights(Config):
    """A Gaussian over epochs: how much each epoch's parameters weigh in an average."""

    mean: float = Field(gt=0)
    """Epoch that weighs most, counted from 1."""
    std: float = Field(gt=0)
    """Standard deviation in epochs."""


class TrainConfig(Config):
    """How to train, under `train:` in a configuration."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the items."""
    batch_size: int = Field(default=4, ge=1)
    """Items of a batch, over all processes."""
    accumulate: int = Field(default=1, ge=1)
    """Batches a step, whose gradients add up; the last step of an epoch may have fewer."""
    drop_last: bool = True
    """Leave out the items that do not fill a batch; never where that would leave no batch."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum, or AdamW."""
    lr: float = Field(default=0.002, gt=0)
    """Highest learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of SGD; the first beta of AdamW."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Second beta of AdamW."""
    epsilon: float = Field(default=1e-8, gt=0)
    """What AdamW adds to the root of the second moment; larger, it steps less where gradients are
    small."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of SGD (coupled) or AdamW (decoupled)."""
    decay: Literal["all", "matrices"] = "all"
    """Which tensors decay: all, or only those with two dimensions or more."""
    groups: tuple[GroupConfig, ...] = ()
    """Parameters with settings of their own."""
    schedule: Literal["epoch_cosine", "step_cosine", "step_linear"] = "epoch_cosine"
    """A cosine that moves once an epoch (Dassl's), or a cosine or line that moves each step."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """Epochs of warm-up: at `warmup_lr` (epoch_cosine), or along a line from 0 (the others)."""
    warmup_lr: float = Field(default=1e-5, ge=0)
    """Learning rate of the warm-up epochs of `epoch_cosine`."""
    max_gradient_norm: float | None = Field(default=None, gt=0)
    """Longer gradients, over all parameters, are cut to this length."""
    average_decay: float | None = Field(default=None, gt=0, lt=1)
    """Keep an exponential moving average of the parameters with this decay, and end with it."""
    epoch_average: EpochWeights | None = None
    """End with a mean of the parameters after each epoch, weighted by a Gaussian over epochs, as
    PromptSRC does (Khattak et al., ICCV 2023, eq. 6)."""
    keep: Literal["last", "best_validation"] = "last"
    """End with the last epoch, or with the first of those that validate best."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs between validations; the last epoch is always validated."""
    save_every_s: float = Field(default=60.0, ge=0)
    """Seconds between saves of the state inside an epoch; each epoch ends with one too."""

    def epoch_weights(self) -> tuple[float, ...]:
        """Return the weight of each epoch in the mean that the run ends with; they add up to 1."""
        if self.epoch_average is None:
            return ()
        mean, std = self.epoch_average.mean, self.epoch_average.std
        weights = [math.exp(-((n - mean) ** 2) / (2 * std**2)) for n in range(1, self.epochs + 1)]
        return tuple(weight / sum(weights) for weight in weights)

    @model_validator(mode="after")
    def _one_result(self) -> Self:
        if self.epoch_average is None:
            return self
        if self.average_decay is not None or self.keep != "last":
            raise ValueError(
                "epoch_average already says what the run ends with: leave out average_decay, and "
                "keep: best_validation"
            )
        if self.epoch_average.mean > self.epochs + 3 * self.epoch_average.std:
            raise ValueError(
                f"epoch_average.mean {self.epoch_average.mean:g} lies far behind the last of "
                f"{self.epochs} epochs: lower it, or train longer"
            )
        return self


def learning_rate(config: TrainConfig, *, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate of one step, before the factors of groups.

    `epoch_cosine` is Dassl's schedule, which CoOp and its heirs train by: warm-up epochs at
    `warmup_lr`, then lr (1 + cos(pi k / epochs)) / 2 with k = 0, 1, ... from the first epoch after
    them; it never reaches 0. The others warm up along a line and reach 0 with the last step, on a
    cosine or, as GLaMM's released recipe does, on a second line.

    Args:
        config: Settings of the run.
        epoch: Counts from 1.
        step: Counts from 0 inside the epoch.
        steps: Steps an epoch.
    """
    if config.schedule == "epoch_cosine":
        done = epoch - 1 - config.warmup_epochs
        if done < 0:
            return config.warmup_lr
        return config.lr * (1 + math.cos(math.pi * done / config.epochs)) / 2
    position = (epoch - 1) * steps + step + 1
    warmup = config.warmup_epochs * steps
    if position <= warmup:
        return config.lr * position / warmup
    share = (position - warmup) / (config.epochs * steps - warmup)
    if config.schedule == "step_linear":
        return config.lr * (1 - share)
    return config.lr * (1 + math.cos(math.pi * share)) / 2


def build_optimizer(
    parameters: Mapping[str, nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """Build the optimiser; parameters of equal settings share a group.

    Raises:
        ConfigError: If a group fits no parameter.
    """
    for group in config.groups:
        if not any(fnmatchcase(name, group.names) for name in parameters):
            raise ConfigError(
                f"train.groups: no parameter fits {group.names!r}; "
                f"the names are {', '.join(list(parameters)[:6])}, ..."
            )
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        scale, decay = 1.0, config.weight_decay
        if config.decay == "matrices" and parameter.ndim < 2:
            decay = 0.0
        for group in config.groups:
            if fnmatchcase(name, group.names):
                scale *= group.lr_scale
                decay = decay if group.weight_decay is None else group.weight_decay
        members.setdefault((scale, decay), []).append(parameter)
    groups = [
        {"params": tensors, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), tensors in members.items()
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    betas = (config.momentum, config.beta2)
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.epsilon)
