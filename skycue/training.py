"""The one training loop, for prompt methods and for whole networks, in one process or several.

A run is a function of its arguments: batches are drawn by a generator of (seed, epoch), chance
inside a batch by a generator of (seed, epoch, batch). With a `state` file a run that was killed at
any moment goes on where the file says and ends with the same tensors as one that was not. Several
processes deal out the batches that one process would have, and their gradients add up to its own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skycue.distributed import n_processes, process_index, sum_over_processes
from skycue.errors import ConfigError, TrainingError
from skycue.progress import progress_bar
from skycue.seeds import generator_at
from skycue.shared_network import SharedNetwork
from skycue.training_config import TrainConfig, build_optimizer, learning_rate
from skycue.training_state import EpochRecord, TrainingState

WITHOUT_EFFECT = ("save_every_s",)
"""Options that do not change a result: a run may be resumed with other values of these."""


class Batch(NamedTuple):
    """What one process computes at once: its part of a batch of a step."""

    indices: Tensor
    """Numbers of the items, [B] int64, CPU."""
    epoch: int
    """Counts from 1."""
    generator: torch.Generator
    """CPU generator of this batch and process, for whatever the loss leaves to chance."""
    step: int = 0
    """Steps of the optimiser before this one, from the start of the run."""
    totals: Mapping[str, float] = {}
    """What `counts_of` counted, over all batches of the step and all processes; and `items`."""
    seed: int = 0
    """Seed of the run."""

    def item_generator(self, index: int) -> torch.Generator:
        """Return a generator of (seed, epoch, item): the same however batches are dealt out."""
        return generator_at(self.seed, self.epoch, "item", index)


class StepRecord(NamedTuple):
    """How one step of the optimiser went."""

    epoch: int
    """Counts from 1."""
    step: int
    """Counts from 1, from the start of the run."""
    terms: Mapping[str, float]
    """Terms of the loss by name, as they were added up; `loss` where the loss has no terms."""
    lr: float
    """Learning rate, before the factors of groups."""
    n_items: int
    """Items of the step, over all processes."""


LossOf = Callable[[Batch], Tensor | Mapping[str, Tensor]]
CountsOf = Callable[[Batch], Mapping[str, float]]


def train(
    parameters: Mapping[str, nn.Parameter],
    loss_of: LossOf,
    n_items: int,
    config: TrainConfig,
    *,
    seed: int,
    state: Path | None = None,
    run: Mapping[str, str] | None = None,
    counts_of: CountsOf | None = None,
    validate: Callable[[], float] | None = None,
    after_step: Callable[[StepRecord], None] | None = None,
    after_epoch: Callable[[EpochRecord], None] | None = None,
    shared: SharedNetwork | None = None,
) -> list[EpochRecord]:
    """Train `parameters` in place, and leave in them what `config.keep` says.

    Seeds PyTorch's global generator, which dropout reads.

    Args:
        parameters: What to train, by name; float32, on one device.
        loss_of: Returns the loss of a batch, a scalar, or its terms by name, which add up to it;
            the names are the same for all batches. It chooses its own autocast. Where nothing
            is counted it is a mean over the items of the batch; where `counts_of` names counts it
            is the part of this batch in the loss of the step: sums divided by `Batch.totals`.
        n_items: How many items the batch indices number.
        config: Settings of the run.
        seed: Of the batches and of all chance inside a step.
        state: File to keep the state in and to go on from; the caller removes it in the end.
        run: What else the result depends on, such as the hash of the data: a state that was
            made under other values is refused.
        counts_of: Counts in a batch what losses are divided by, such as phrases; the names are
            the same for all batches. It sees the generator that `loss_of` sees, at its start.
        validate: Returns a number to be high, with the parameters as they would be kept.
        after_step: Told about each step, in every process.
        after_epoch: Told about each epoch that ends in this process, in every process.
        shared: The network that holds the parameters, where several processes train it.

    Returns:
        One record an epoch, those before a resume included.

    Raises:
        TrainingError: If the loss is not finite, or `state` belongs to another run.
        ConfigError: If `keep` needs a validation and there is none, a group fits no parameter, or
            a batch has fewer items than there are processes.
    """
    _refuse_best_of_none(config, validate)
    torch.manual_seed(_seed_of_process(seed))
    optimizer = build_optimizer(parameters, config)
    if shared is not None:
        parameters = shared.prepare(parameters, optimizer)
    weights = config.epoch_weights()
    progress = TrainingState(parameters, optimizer, config.average_decay, weights)
    if state is not None:
        progress.keep_in(state, _identity(config, seed, n_items, run or {}))
    descent = _Descent(optimizer, loss_of, counts_of, config, seed, shared)
    steps = len(steps_of(n_items, config, seed=seed, epoch=1))
    with progress_bar("training", steps * config.epochs) as advance:
        advance(progress.updates)
        for epoch in range(len(progress.records) + 1, config.epochs + 1):
            dealt = steps_of(n_items, config, seed=seed, epoch=epoch)
            for step in range(progress.step, steps):
                lr = learning_rate(config, epoch=epoch, step=step, steps=steps)
                done = descent.make_step(dealt[step], Place(epoch, step, progress.updates), lr)
                progress.count_step(sum(done.terms.values()))
                progress.save_if_older_than(config.save_every_s)
                if after_step:
                    after_step(done)
                advance(1)
            validation = None
            if validate and (epoch % config.validate_every == 0 or epoch == config.epochs):
                with progress.average_in_place(), torch.no_grad():
                    validation = shared.inside(validate) if shared else validate()
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


def steps_of(n_items: int, config: TrainConfig, *, seed: int, epoch: int) -> list[list[Tensor]]:
    """Return the batches of each step of an epoch, `config.accumulate` a step or what is left."""
    batches = batches_of(n_items, config, seed=seed, epoch=epoch)
    size = config.accumulate
    return [batches[start : start + size] for start in range(0, len(batches), size)]


class Place(NamedTuple):
    """Where in a run a step stands."""

    epoch: int
    """Counts from 1."""
    step: int
    """Counts from 0 inside the epoch."""
    updates: int
    """Steps before it, from the start of the run."""


class _Descent:
    """Makes steps of the optimiser."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        loss_of: LossOf,
        counts_of: CountsOf | None,
        config: TrainConfig,
        seed: int,
        shared: SharedNetwork | None,
    ) -> None:
        self.optimizer, self.loss_of, self.counts_of = optimizer, loss_of, counts_of
        self.config, self.seed, self.shared = config, seed, shared

    def make_step(self, batches: Sequence[Tensor], place: Place, lr: float) -> StepRecord:
        """Make one step on batches, given whole: this process computes its part of each."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimizer.zero_grad(set_to_none=True)
        n_items = sum(len(batch) for batch in batches)
        totals = {"items": float(n_items), **self._count(batches, place)}
        parts: list[dict[str, Tensor]] = []
        for number, batch in enumerate(self._own_parts(batches, place)):
            is_last = number == len(batches) - 1
            with nullcontext() if is_last or not self.shared else self.shared.accumulating():
                parts.append(self._add_gradients(batch._replace(totals=totals)))
        terms = _sum_of(parts)
        value = sum(terms.values())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} in epoch {place.epoch} at learning rate {lr:g}: "
                "lower train.lr, or compute with --dtype float32."
            )
        if self.config.max_gradient_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.config.max_gradient_norm)
        self.optimizer.step()
        return StepRecord(place.epoch, place.updates + 1, terms, lr, n_items)

    def _own_parts(self, batches: Sequence[Tensor], place: Place) -> list[Batch]:
        """Return this process's part of each batch; those of all processes follow each other."""
        parts = []
        for number, whole in enumerate(batches):
            if len(whole) < n_processes():
                raise ConfigError(
                    f"a batch of {len(whole)} is fewer than {n_processes()} processes: raise "
                    "train.batch_size, set train.drop_last, or start fewer processes."
                )
            indices = torch.tensor_split(whole, n_processes())[process_index()]
            number_in_epoch = place.step * self.config.accumulate + number
            others = (process_index(),) if process_index() else ()
            chance = generator_at(self.seed, place.epoch, number_in_epoch, *others)
            parts.append(Batch(indices, place.epoch, chance, place.updates, {}, self.seed))
        return parts

    def _count(self, batches: Sequence[Tensor], place: Place) -> dict[str, float]:
        """Sum what `counts_of` says about all batches in all processes."""
        if self.counts_of is None:
            return {}
        counts = [self.counts_of(batch) for batch in self._own_parts(batches, place)]
        names = sorted(counts[0])
        sums = [float(sum(count[name] for count in counts)) for name in names]
        summed = sum_over_processes(torch.tensor(sums, dtype=torch.float64))
        return dict(zip(names, summed.tolist(), strict=True))

    def _add_gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Add the gradients of one batch, and return the terms of its loss."""
        loss_of = self.loss_of
        found = self.shared.inside(lambda: loss_of(batch)) if self.shared else loss_of(batch)
        terms = {"loss": found} if isinstance(found, Tensor) else dict(found)
        if batch.totals.keys() == {"items"}:
            share = len(batch.indices) / batch.totals["items"]
            terms = {name: share * term for name, term in terms.items()}
        loss = torch.stack(list(terms.values())).sum()
        # Accelerate's wrappers average over the processes, and here their gradients add up.
        torch.autograd.backward(loss * n_processes() if self.shared else loss)
        return {name: term.detach() for name, term in terms.items()}


def _sum_of(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Sum the terms of the loss over batches and processes."""
    names = sorted(parts[0])
    rows = torch.stack([torch.stack([part[name].float() for name in names]) for part in parts])
    return dict(zip(names, sum_over_processes(rows.double().sum(0)).tolist(), strict=True))


def _refuse_best_of_none(config: TrainConfig, validate: Callable[[], float] | None) -> None:
    if config.keep == "best_validation" and validate is None:
        raise ConfigError(
            "train.keep is 'best_validation' but there are no validation images: "
            "add some, or use 'last'."
        )


def _seed_of_process(seed: int) -> int:
    """Return a seed of dropout that no two processes share; that of the first is the run's."""
    index = process_index()
    return seed if index == 0 else generator_at(seed, "process", index).initial_seed()


def _identity(
    config: TrainConfig, seed: int, n_items: int, run: Mapping[str, str]
) -> dict[str, str]:
    """Return what the result of a run depends on, by name."""
    options = {f"train.{k}": str(v) for k, v in config if k not in WITHOUT_EFFECT}
    several = {"processes": str(n_processes())} if n_processes() > 1 else {}
    return {"seed": str(seed), "items": str(n_items)} | several | options | dict(run)
