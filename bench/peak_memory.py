"""How much memory a piece of work takes: its peak, in a process of its own.

Linux keeps the peak of a process since its program was started. The import of PyTorch counts too,
on both sides of a comparison.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import torch

from bench.timing import GIGA, NO_TARGET, Options, Result
from skycue.process_memory import peak_bytes
from skycue.spawned import SPAWN

T = TypeVar("T")


def run_alone(work: Callable[..., T], *arguments: object, options: Options) -> tuple[T, float]:
    """Run work in a new process; return its result and the peak of the process in bytes.

    Args:
        work: A function of a module, so that the other process can import it.
        arguments: Of the function.
        options: Their threads are set in the new process.
    """
    threads = (options.threads,)
    with ProcessPoolExecutor(1, SPAWN, torch.set_num_threads, threads) as process:
        return process.submit(_with_peak, work, arguments).result()


def _with_peak(work: Callable[..., T], arguments: tuple[object, ...]) -> tuple[T, float]:
    result = work(*arguments)
    peak = peak_bytes()
    assert peak is not None, "measured on Linux"
    return result, float(peak)


def peaks(what: str, found: Mapping[str, float]) -> Result:
    """Say what each way needs at its peak; nothing is asked of the numbers.

    Args:
        what: Was measured.
        found: Bytes by the name of the way; ours is the first.
    """
    return Result(
        question=f"peak memory of the process: {what}",
        answer=f"{next(iter(found.values())) / GIGA:.2f} GB",
        target=NO_TARGET,
        met=True,
        detail="; ".join(f"{name}: {peak / GIGA:.2f} GB" for name, peak in found.items()),
    )
