"""How both sides of a comparison are timed, and what is said of the result.

Both sides have the same inputs, number format and threads. Their outputs are compared before
anything is timed. Then they run in turns, so that whatever else the machine does meets both, and
the best of the rounds counts. Each run also measures how fast the machine multiplies matrices.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import BaseModel
from torch import Tensor

TOLERANCE = 1e-4
"""Largest absolute difference of two outputs, over the largest absolute value."""
ROUNDS = 3
"""Turns that each side gets."""
MATRIX_SIDE = 2048
"""Side of the square float32 matrices whose product gives the machine's rate."""
NEAR_ONE = 2.0
"""Below it a ratio is told with two digits."""
GIGA = 1e9
NO_TARGET = "none"
"""What stands in the table where a number was not asked for."""

Clock = Literal["wall", "cpu"]
"""What is read: time, or the processor time of all threads, in which waiting does not count."""


class Options(NamedTuple):
    """What the command line of a benchmark says."""

    threads: int = 1
    rounds: int = ROUNDS
    clock: Clock = "wall"


class Result(BaseModel, frozen=True, extra="forbid"):
    """One answer, as a line of JSON and as a row of the table."""

    question: str
    """What was measured, with its sizes."""
    answer: str
    """The number with its unit."""
    target: str
    """What the number had to be, or "none"."""
    met: bool
    """Whether it is so."""
    detail: str
    """The times behind a ratio, and the difference of the outputs."""
    threads: int = 0
    clock: Clock = "wall"
    torch: str = ""
    matmul_gflops: float = 0.0
    """Rate of this machine in the same run, in 10^9 operations a second."""
    load: float = 0.0
    """Average number of running processes in the minute before the end."""

    def row(self, date: str, machine: str) -> str:
        """Return the answer as a row of a Markdown table, without its first cell."""
        verdict = "" if self.target == NO_TARGET else "yes" if self.met else "no"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        clock = "processor time, " if self.clock == "cpu" else ""
        rate = f"{threads} at {self.matmul_gflops:.0f} GFLOP/s"
        return (
            f"| {self.question} | {self.answer} | {self.target} | {verdict} | {self.detail} "
            f"| {date}, {clock}{rate}, load {self.load:.1f}, {machine}, PyTorch {self.torch} |"
        )


class DifferentOutputsError(Exception):
    """Two ways to compute the same thing disagree: their times mean nothing."""


def read_options(description: str | None) -> Options:
    """Read the command line of a benchmark that has no arguments of its own."""
    return options_of(argparse.ArgumentParser(description=description))[0]


def options_of(parser: argparse.ArgumentParser) -> tuple[Options, argparse.Namespace]:
    """Read --threads, --rounds and --clock, and set the threads of PyTorch.

    Args:
        parser: Knows the arguments of the benchmark's own.

    Returns:
        The options that all benchmarks have, and all that was given.
    """
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    return Options(given.threads, given.rounds, given.clock), given


@torch.no_grad()
def largest_difference(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Return the largest absolute difference over the largest absolute value, of the worst pair.

    Raises:
        DifferentOutputsError: If it is above `TOLERANCE`.
    """
    worst = 0.0
    for index, (own, other) in enumerate(zip(ours, reference, strict=True)):
        difference = float((own - other).abs().max() / other.abs().max())
        if not difference <= TOLERANCE:
            raise DifferentOutputsError(f"output {index} differs by {difference:.1e}")
        worst = max(worst, difference)
    return worst


def reader(clock: Clock) -> Callable[[], float]:
    """Return what reads a clock, in seconds."""
    return time.perf_counter if clock == "wall" else time.process_time


def best_times(sides: Mapping[str, Callable[[], object]], options: Options) -> dict[str, float]:
    """Let the sides take turns and return the best time of each, in seconds."""
    clock = reader(options.clock)
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(options.rounds):
        for name, side in sides.items():
            started = clock()
            side()
            best[name] = min(best[name], clock() - started)
    return best


def gflops(operations: float, seconds: float) -> float:
    """Return a rate in 10^9 floating-point operations a second."""
    return operations / seconds / GIGA


def matmul_gflops(options: Options) -> float:
    """Return the machine's rate of matrix multiplication."""
    matrix = torch.randn(MATRIX_SIDE, MATRIX_SIDE)
    times = best_times({"product": lambda: matrix @ matrix}, options)
    return gflops(2 * MATRIX_SIDE**3, times["product"])


def speedup(
    question: str,
    sides: Mapping[str, Callable[[], object]],
    options: Options,
    *,
    target: float | None,
    difference: float,
) -> Result:
    """Time two sides, "reference" and "ours", and say how many times faster ours is."""
    times = best_times(sides, options)
    return ratio(
        question,
        times["reference"],
        times["ours"],
        options,
        target=target,
        difference=difference,
    )


def ratio(
    question: str,
    reference: float,
    ours: float,
    options: Options,
    *,
    target: float | None,
    difference: float,
) -> Result:
    """Say how many times faster ours is than the reference; both in seconds."""
    times = reference / ours
    return Result(
        question=question,
        answer=f"{times:.1f}x" if times >= NEAR_ONE else f"{times:.2f}x",
        target=NO_TARGET if target is None else f"at least {target:g}x",
        met=target is None or times >= target,
        detail=f"{reference:.3g} s to {ours:.3g} s, best of {options.rounds}; "
        f"outputs differ by {difference:.0e}",
    )


def report(results: Sequence[Result], options: Options, rate: float | None = None) -> None:
    """Print each result with the conditions of the run, a JSON line each."""
    rate = matmul_gflops(options) if rate is None else rate
    for result in results:
        complete = result.model_copy(
            update={
                "threads": options.threads,
                "clock": options.clock,
                "torch": torch.__version__,
                "matmul_gflops": round(rate, 1),
                "load": round(os.getloadavg()[0], 1),
            }
        )
        print(complete.model_dump_json(), flush=True)
