"""What several processes of one training run tell each other: rows with gradients, and sums.

Everything here does nothing in a single process, so that a loss is written once. Each process
returns its **share** of the loss: the shares of all processes add up to the loss of the global
batch, and so do their gradients, those that come back through `all_gather_rows` included.
"""

from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.autograd.function import FunctionCtx

V = TypeVar("V", Tensor, int, float)


def n_processes() -> int:
    """Return how many processes train together; 1 without a process group."""
    return distributed.get_world_size() if _is_started() else 1


def process_index() -> int:
    """Return the number of this process, from 0; process 0 writes files and logs."""
    return distributed.get_rank() if _is_started() else 0


def all_gather_rows(rows: Tensor) -> tuple[Tensor, slice]:
    """Concatenate the rows of all processes, in their order, and let gradients flow back.

    Processes may hold different numbers of rows, also none; the other axes are equal. The gradient
    of a row is the sum of what all processes' shares of the loss say about it. Every process must
    call this, and must use the result in its loss where any process does.

    Args:
        rows: Rows of this process, [N, ...].

    Returns:
        The rows of all processes, [sum of N, ...], and which of them are this process's own.
    """
    if n_processes() == 1:
        return rows, slice(0, len(rows))
    counts = _gather_counts(len(rows), rows.device)
    start = sum(counts[: process_index()])
    own = slice(start, start + len(rows))
    # Without rows nothing may need a gradient here, and yet the others wait in `backward`.
    anchor = torch.zeros((), device=rows.device, requires_grad=torch.is_grad_enabled())
    gathered: Tensor = _GatherRows.apply(rows, anchor, counts, own)  # type: ignore[no-untyped-call]
    return gathered, own


def sum_over_processes(value: V) -> V:
    """Return the sum of a number, or elementwise of a tensor, over all processes.

    No gradient flows through it: it is meant for counts and for what a log shows.
    """
    if n_processes() == 1:
        return value.detach() if isinstance(value, Tensor) else value
    if isinstance(value, Tensor):
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total
    number = torch.tensor(value, dtype=torch.float64, device=_collective_device())
    distributed.all_reduce(number)
    return type(value)(number.item())


def gather_equal(tensor: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, of one shape and type, in their order."""
    if n_processes() == 1:
        return [tensor]
    here = tensor.to(_collective_device()).contiguous()
    parts = [torch.empty_like(here) for _ in range(n_processes())]
    distributed.all_gather(parts, here)
    return [part.to(tensor.device) for part in parts]


def agree(is_so: bool) -> bool:
    """Return what the first process says, in all of them."""
    if n_processes() == 1:
        return is_so
    answer = torch.tensor(is_so, device=_collective_device())
    distributed.broadcast(answer, src=0)
    return bool(answer.item())


def wait_for_all() -> None:
    """Go on when all processes have come here, such as after the first one wrote a file."""
    sum_over_processes(0)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor that is sharded over processes (FSDP) as a whole; all must ask at once."""
    if n_processes() == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_like(tensor: Tensor, model: Tensor) -> Tensor:
    """Return a whole tensor on the device of `model` and sharded as that one is."""
    tensor = tensor.to(model.device)
    if n_processes() == 1:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(model, DTensor):
        return tensor
    return distribute_tensor(tensor, model.device_mesh, model.placements)


class _GatherRows(torch.autograd.Function):
    """Forward pads, gathers and cuts; backward sums the gradients and keeps the own rows."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, rows: Tensor, anchor: Tensor, counts: list[int], own: slice
    ) -> Tensor:
        ctx.own = own  # type: ignore[attr-defined]
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows.detach()
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total[ctx.own], None, None, None  # type: ignore[attr-defined]


def _gather_counts(count: int, device: torch.device) -> list[int]:
    parts = [torch.empty(1, dtype=torch.int64, device=device) for _ in range(n_processes())]
    distributed.all_gather(parts, torch.tensor([count], device=device))
    return [int(part.item()) for part in parts]


def _is_started() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _collective_device() -> torch.device:
    """Return where tensors must lie to be exchanged: NCCL knows only those of a GPU."""
    if distributed.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
