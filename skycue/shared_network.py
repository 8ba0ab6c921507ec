"""A network that several processes train, whole in each (DDP) or in shards (FSDP), by Accelerate.

Whoever starts the processes says which: `accelerate launch` with its own configuration, or
`torchrun` for DDP. The training loop and the losses do not know.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn

from skycue.errors import ConfigError, MissingToolError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


def was_launched() -> bool:
    """Tell whether this process is one of several, by what `torchrun` and Accelerate tell it."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def start_accelerator(*, cpu: bool = False) -> "Accelerator":
    """Join the processes that were started together; alone where this one was.

    Number formats stay the losses' own affair: nothing is set to half precision here.

    Args:
        cpu: Train on the CPU even where there is a GPU.

    Raises:
        MissingToolError: If Accelerate is not installed.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise MissingToolError(
            "training in several processes needs Accelerate: pip install 'skycue[train]'."
        ) from error
    # A process whose images hold no phrase does not touch the mask decoder.
    ddp = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[ddp])


class _Through(nn.Module):
    """Runs any task inside its own `forward`, where wrappers make their parameters ready."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, task: Callable[[], T]) -> T:
        return task()


@contextmanager
def _without_frozen_scalars(network: nn.Module) -> Iterator[None]:
    """Hide frozen parameters without a dimension while the block runs: FSDP refuses them."""
    hidden = [
        (module, name, parameter)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim == 0 and not parameter.requires_grad
    ]
    for module, name, _ in hidden:
        delattr(module, name)
    try:
        yield
    finally:
        for module, name, parameter in hidden:
            module.register_parameter(name, parameter)


class SharedNetwork:
    """A network and the processes that train it; made anew for each call of `train`."""

    def __init__(self, network: nn.Module, accelerator: "Accelerator") -> None:
        self.network, self.accelerator = network, accelerator
        self._wrapped: nn.Module = _Through(network)

    @property
    def is_sharded(self) -> bool:
        """Whether each process holds only its part of the parameters (FSDP)."""
        return bool(self.accelerator.is_fsdp2)

    def prepare(
        self, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> dict[str, nn.Parameter]:
        """Wrap the network, and point the optimiser at the parameters that it then has.

        Args:
            parameters: What trains, by any names; all stand in the network.
            optimizer: Of these parameters, before its first step.

        Returns:
            The parameters to train under the same names, in their order.

        Raises:
            ConfigError: If Accelerate is set to the first version of FSDP, or FSDP should shard a
                parameter without an axis.
        """
        from accelerate.utils import DistributedType

        if self.accelerator.distributed_type == DistributedType.FSDP and not self.is_sharded:
            raise ConfigError(
                "FSDP version 1 is not supported: set fsdp_version: 2 in the configuration of "
                "`accelerate launch`."
            )
        for name, parameter in parameters.items():
            if self.is_sharded and parameter.ndim == 0:
                raise ConfigError(f"FSDP cannot shard the number {name}: do not train it.")
        name_of = {parameter: name for name, parameter in self._wrapped.named_parameters()}
        names = {name: name_of[parameter] for name, parameter in parameters.items()}
        plain = self._wrapped
        with _without_frozen_scalars(plain):
            self._wrapped, _ = self.accelerator.prepare(plain, optimizer)
        now = dict(plain.named_parameters())
        return {name: now[inner] for name, inner in names.items()}

    def inside(self, task: Callable[[], T]) -> T:
        """Run something that uses the network, in all processes at once.

        With gradients it is a loss, to which `backward` belongs; a prediction runs without.
        """
        if torch.is_grad_enabled():
            loss: T = self._wrapped(task)
            return loss
        if not self.is_sharded:
            return task()
        prediction: T = self._wrapped(task)
        self._shard_again()
        return prediction

    def _shard_again(self) -> None:
        """Give up gathered parameters, which else outlive a `forward` that nothing follows."""
        from torch.distributed.fsdp import FSDPModule

        for module in self._wrapped.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    @contextmanager
    def accumulating(self) -> Iterator[None]:
        """Leave gradients as they are in each process while the block runs."""
        with self.accelerator.no_sync(self._wrapped):
            yield

    def release(self) -> None:
        """Let go of the wrapper, so that another training can wrap the network anew."""
        self.accelerator.free_memory()
        self._wrapped = _Through(self.network)
