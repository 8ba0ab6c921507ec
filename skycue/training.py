"""The one training loop, for prompt methods and for whole towers alike.

A run is a function of its arguments: batches are drawn by a generator of (seed, epoch), chance
inside a step by a generator of (seed, epoch, step). With a `state` file a run that was killed at
any moment goes on where the file says and ends with the same tensors as one that was not.
"""

import math
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from skycue.config import Config
from skycue.errors import ConfigError, TrainingError
from skycue.progress import progress_bar
from skycue.seeds import generator_at
from skycue.training_state import EpochRecord, TrainingState

WITHOUT_EFFECT = ("save_every_s",)
"""Options that do not change a result: a run may be resumed with other values of these."""


class GroupConfig(Config):
    """Other settings for the parameters whose name fits a pattern."""

    names: str
    """Shell-style pattern of parameter names, such as `image.stem.*`."""
    lr_scale: float = Field(default=1.0, ge=0)
    """Factor on the learning rate; several patterns that fit multiply."""
    weight_decay: float | None = Field(default=None, ge=0)
    """Weight decay in place of the run's; the last pattern that fits counts."""


class TrainConfig(Config):
    """How to train, under `train:` in a configuration."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the items."""
    batch_size: int = Field(default=4, ge=1)
    """Items a step."""
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
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of SGD (coupled) or AdamW (decoupled)."""
    decay: Literal["all", "matrices"] = "all"
    """Which tensors decay: all, or only those with two dimensions or more."""
    groups: tuple[GroupConfig, ...] = ()
    """Parameters with settings of their own."""
    schedule: Literal["epoch_cosine", "step_cosine"] = "epoch_cosine"
    """A cosine that moves once an epoch (Dassl's), or one that moves each step and reaches 0."""
    warmup_epochs: float = Field(default=1.0, ge=0)
    """Epochs of warm-up: at `warmup_lr` (epoch_cosine), or a line from 0 (step_cosine)."""
    warmup_lr: float = Field(default=1e-5, ge=0)
    """Learning rate of the warm-up epochs of `epoch_cosine`."""
    max_gradient_norm: float | None = Field(default=None, gt=0)
    """Longer gradients, over all parameters, are cut to this length."""
    average_decay: float | None = Field(default=None, gt=0, lt=1)
    """Keep an exponential moving average of the parameters with this decay, and end with it."""
    keep: Literal["last", "best_validation"] = "last"
    """End with the last epoch, or with the first of those that validate best."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs between validations; the last epoch is always validated."""
    save_every_s: float = Field(default=60.0, ge=0)
    """Seconds between saves of the state inside an epoch; each epoch ends with one too."""


class Batch(NamedTuple):
    """What one step trains on."""

    indices: Tensor
    """Numbers of the items, [B] int64, CPU."""
    epoch: int
    """Counts from 1."""
    generator: torch.Generator
    """CPU generator of this step alone, for whatever the loss leaves to chance."""


def train(
    parameters: Mapping[str, nn.Parameter],
    loss_of: Callable[[Batch], Tensor],
    n_items: int,
    config: TrainConfig,
    *,
    seed: int,
    state: Path | None = None,
    run: Mapping[str, str] | None = None,
    validate: Callable[[], float] | None = None,
    after_epoch: Callable[[EpochRecord], None] | None = None,
) -> list[EpochRecord]:
    """Train `parameters` in place, and leave in them what `config.keep` says.

    Seeds PyTorch's global generator, which dropout reads.

    Args:
        parameters: What to train, by name; float32, on one device.
        loss_of: Returns the loss of a batch, a scalar; it chooses its own autocast.
        n_items: How many items the batch indices number.
        config: Settings of the run.
        seed: Of the batches and of all chance inside a step.
        state: File to keep the state in and to go on from; the caller removes it in the end.
        run: What else the result depends on, such as the hash of the data: a state that was
            made under other values is refused.
        validate: Returns a number to be high, with the parameters as they would be kept.
        after_epoch: Told about each epoch that ends in this process.

    Returns:
        One record an epoch, those before a resume included.

    Raises:
        TrainingError: If the loss is not finite, or `state` belongs to another run.
        ConfigError: If `keep` needs a validation and there is none, or a group fits no parameter.
    """
    if config.keep == "best_validation" and validate is None:
        raise ConfigError(
            "train.keep is 'best_validation' but there are no validation images: "
            "add some, or use 'last'."
        )
    torch.manual_seed(seed)
    optimizer = _build_optimizer(parameters, config)
    progress = TrainingState(parameters, optimizer, average_decay=config.average_decay)
    if state is not None:
        progress.keep_in(state, _identity(config, seed, n_items, run or {}))
    steps = len(batches_of(n_items, config, seed=seed, epoch=1))
    with progress_bar("training", steps * config.epochs) as advance:
        advance(progress.updates)
        for epoch in range(len(progress.records) + 1, config.epochs + 1):
            batches = batches_of(n_items, config, seed=seed, epoch=epoch)
            for step in range(progress.step, steps):
                lr = learning_rate(config, epoch=epoch, step=step, steps=steps)
                batch = Batch(batches[step], epoch, generator_at(seed, epoch, step))
                progress.count_step(_descend(optimizer, loss_of, batch, lr, config))
                progress.save_if_older_than(config.save_every_s)
                advance(1)
            validation = None
            if validate and (epoch % config.validate_every == 0 or epoch == config.epochs):
                with progress.average_in_place():
                    validation = validate()
            lr = learning_rate(config, epoch=epoch, step=steps - 1, steps=steps)
            record = progress.count_epoch(lr, validation)
            progress.save()
            if after_epoch:
                after_epoch(record)
    progress.leave_result(best=config.keep == "best_validation")
    return progress.records


def batches_of(n_items: int, config: TrainConfig, *, seed: int, epoch: int) -> list[Tensor]:
    """Return the item indices of each batch of an epoch, a function of (seed, epoch)."""
    order = torch.randperm(n_items, generator=generator_at(seed, epoch))
    batches = list(torch.split(order, config.batch_size))
    if config.drop_last and len(batches) > 1 and len(batches[-1]) < config.batch_size:
        batches.pop()
    return batches


def learning_rate(config: TrainConfig, *, epoch: int, step: int, steps: int) -> float:
    """Return the learning rate of one step, before the factors of groups.

    `epoch_cosine` is Dassl's schedule, which CoOp and its heirs train by: warm-up epochs at
    `warmup_lr`, then lr (1 + cos(pi k / epochs)) / 2 with k = 0, 1, ... from the first epoch after
    them; it never reaches 0. `step_cosine` warms up along a line and reaches 0 with the last step.

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
    return config.lr * (1 + math.cos(math.pi * share)) / 2


def _build_optimizer(
    parameters: Mapping[str, nn.Parameter], config: TrainConfig
) -> torch.optim.Optimizer:
    """Build the optimiser; parameters of equal settings share a group."""
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
    return torch.optim.AdamW(groups, lr=config.lr, betas=(config.momentum, config.beta2))


def _descend(
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[Batch], Tensor],
    batch: Batch,
    lr: float,
    config: TrainConfig,
) -> float:
    """Make one step and return its loss."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(batch)
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss is {value} in epoch {batch.epoch} at learning rate {lr:g}: "
            "lower train.lr, or compute with --dtype float32."
        )
    torch.autograd.backward(loss)
    if config.max_gradient_norm is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm)
    optimizer.step()
    return value


def _identity(
    config: TrainConfig, seed: int, n_items: int, run: Mapping[str, str]
) -> dict[str, str]:
    """Return what the result of a run depends on, by name."""
    options = {f"train.{k}": str(v) for k, v in config if k not in WITHOUT_EFFECT}
    return {"seed": str(seed), "items": str(n_items)} | options | dict(run)
