"""What a training run has reached, and its file: one safetensors file with JSON in its metadata.

Where several processes train, the first one writes the file and all read it; sharded tensors are
gathered for it.
"""

import json
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from skycue.distributed import agree, gather_equal, process_index, sharded_like, wait_for_all, whole
from skycue.errors import TrainingError
from skycue.files import write_atomically

Tensors = dict[str, Tensor]
SHOWN_LETTERS = 60
"""Of a setting in a message."""


class EpochRecord(NamedTuple):
    """How one epoch went."""

    epoch: int
    """Counts from 1."""
    loss: float
    """Mean over the steps of the epoch."""
    lr: float
    """Learning rate of the last step, before the factors of groups."""
    validation: float | None
    """What `validate` returned; None in an epoch that was not validated."""


class TrainingState:
    """Parameters, optimiser, averages, position and chance of a run."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average_decay: float | None = None,
        epoch_weights: Sequence[float] = (),
    ) -> None:
        self.parameters = parameters
        self.optimizer = optimizer
        self.average_decay = average_decay
        self.average = _copies(parameters) if average_decay is not None else None
        self.epoch_weights = epoch_weights
        """Of each epoch in the mean over epochs that the run ends with; none if it does not."""
        self.epoch_mean = _zeros(parameters) if epoch_weights else None
        self.best: Tensors | None = None
        self.best_validation = float("-inf")
        self.records: list[EpochRecord] = []
        self.step = 0
        """Steps done in the epoch that follows the last record."""
        self.updates = 0
        """Steps done in all."""
        self.loss_sum = 0.0
        """Over the steps done in this epoch."""
        self._path: Path | None = None
        self._identity: dict[str, str] = {}
        self._saved_at = time.monotonic()

    def count_step(self, loss: float) -> None:
        """Note that the optimiser made a step, and move the average."""
        self.step += 1
        self.updates += 1
        self.loss_sum += loss
        if self.average is not None and self.average_decay is not None:
            # Early on the average covers a tenth of the run so far, not the random start.
            decay = min(self.average_decay, (1 + self.updates) / (10 + self.updates))
            for name, parameter in self.parameters.items():
                self.average[name].lerp_(parameter.detach(), 1 - decay)

    def count_epoch(self, lr: float, validation: float | None) -> EpochRecord:
        """Note that an epoch ended, and keep its parameters where they validate best so far."""
        record = EpochRecord(
            epoch=len(self.records) + 1,
            loss=self.loss_sum / self.step,
            lr=lr,
            validation=validation,
        )
        self.records.append(record)
        self.step, self.loss_sum = 0, 0.0
        if self.epoch_mean is not None:
            weight = self.epoch_weights[record.epoch - 1]
            for name, parameter in self.parameters.items():
                self.epoch_mean[name].add_(parameter.detach(), alpha=weight)
        if validation is not None and validation > self.best_validation:
            self.best_validation = validation
            self.best = _copies(self.average or self.parameters)
        return record

    @contextmanager
    def average_in_place(self) -> Iterator[None]:
        """Lend the parameters the values of the average, if one is kept, while the block runs."""
        if self.average is None:
            yield
            return
        current = _copies(self.parameters)
        self._set_parameters(self.average)
        try:
            yield
        finally:
            self._set_parameters(current)

    def leave_result(self, *, best: bool) -> None:
        """Give the parameters the values that the run ends with."""
        result = self.best if best else self.average or self.epoch_mean
        if result is not None:
            self._set_parameters(result)

    def keep_in(self, path: Path, identity: Mapping[str, str]) -> None:
        """Save to this file from now on, and go on from what it holds already.

        Args:
            path: The state file, which need not exist.
            identity: What the result of the run depends on.

        Raises:
            TrainingError: If the file is damaged or belongs to a run of another identity.
        """
        self._path, self._identity = path, dict(identity)
        if path.exists():
            self._resume(path)

    def save_if_older_than(self, seconds: float) -> None:
        """Save if the last save, or the start, is that long ago."""
        if self._path is not None and agree(time.monotonic() - self._saved_at >= seconds):
            self.save()

    def save(self) -> None:
        """Write everything; a process killed here leaves the file that was there before."""
        if self._path is None:
            return
        position = {
            "identity": self._identity,
            "records": self.records,
            "step": self.step,
            "updates": self.updates,
            "loss_sum": self.loss_sum,
            "best_validation": self.best_validation if self.best is not None else None,
        }
        tensors = self._tensors()
        if process_index() == 0:
            content = safetensors_bytes(tensors, {"position": json.dumps(position)})
            write_atomically(self._path, content)
        wait_for_all()
        self._saved_at = time.monotonic()

    def _tensors(self) -> Tensors:
        """Return all tensors of the state by their names in the file, gathered and whole."""
        tensors = _prefixed("parameter", _copies(self.parameters))
        tensors |= _prefixed("average", self.average or {}) | _prefixed("best", self.best or {})
        tensors |= _prefixed("epoch_mean", self.epoch_mean or {})
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= _prefixed(f"optimizer.{index}", values)
        tensors = {name: whole(tensor).contiguous() for name, tensor in tensors.items()}
        for process, chance in enumerate(gather_equal(torch.get_rng_state())):
            tensors[_chance_name("cpu", process)] = chance
        if (device := self._device()).type == "cuda":
            for process, chance in enumerate(gather_equal(torch.cuda.get_rng_state(device))):
                tensors[_chance_name("cuda", process)] = chance
        return tensors

    def _resume(self, path: Path) -> None:
        try:
            with safe_open(path, framework="pt") as file:
                position = json.loads(file.metadata()["position"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise TrainingError(
                f"{path} is no training state ({error}): remove it to start anew."
            ) from error
        _refuse_other_run(path, position["identity"], self._identity)
        self._set_parameters(self._placed(_without_prefix("parameter", tensors)))
        if self.average is not None:
            self.average = self._placed(_without_prefix("average", tensors))
        if self.epoch_mean is not None:
            self.epoch_mean = self._placed(_without_prefix("epoch_mean", tensors))
        if position["best_validation"] is not None:
            self.best = self._placed(_without_prefix("best", tensors))
            self.best_validation = position["best_validation"]
        self._set_optimizer(tensors)
        torch.set_rng_state(tensors[_chance_name("cpu", process_index())])
        cuda_chance = tensors.get(_chance_name("cuda", process_index()))
        if (device := self._device()).type == "cuda" and cuda_chance is not None:
            torch.cuda.set_rng_state(cuda_chance, device)
        self.records = [EpochRecord(*record) for record in position["records"]]
        self.step, self.updates = position["step"], position["updates"]
        self.loss_sum = position["loss_sum"]

    def _device(self) -> torch.device:
        return next(iter(self.parameters.values())).device

    def _placed(self, values: Tensors) -> Tensors:
        """Put whole tensors where the parameters of their names are."""
        return {name: sharded_like(value, self.parameters[name]) for name, value in values.items()}

    def _set_parameters(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(values[name])

    def _set_optimizer(self, tensors: Tensors) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, Tensors] = {}
        for name, tensor in _without_prefix("optimizer", tensors).items():
            index, key = name.split(".", 1)
            if tensor.ndim > 0:  # all but the count of steps has the shape of the parameter
                tensor = sharded_like(tensor, parameters[int(index)])
            state.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _refuse_other_run(path: Path, saved: Mapping[str, str], asked: Mapping[str, str]) -> None:
    for name in sorted(saved.keys() | asked.keys()):
        if saved.get(name) != asked.get(name):
            raise TrainingError(
                f"{path} was left by an unfinished run with {name} = {_short(saved.get(name))}, "
                f"now it is {_short(asked.get(name))}: finish that run first, or start anew with "
                "--force."
            )


def _short(value: str | None) -> str:
    return textwrap.shorten(str(value), SHOWN_LETTERS, placeholder="...")


def _chance_name(device: str, process: int) -> str:
    """Name the state of chance of one process in the file."""
    return f"chance.{device}" + (f".{process}" if process else "")


def _copies(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _zeros(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: torch.zeros_like(tensor.detach()) for name, tensor in tensors.items()}


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    start = prefix + "."
    return {
        name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)
    }
