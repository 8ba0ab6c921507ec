"""Several processes work off the cells of a run, within a budget of memory.

Each worker holds one cell at a time, so that a death (out of memory, `kill -9`) is the death of one
known cell. Another worker goes on with it from the state that its training left; a cell that takes
a second worker with it ends the run. Workers end with the process that started them.
"""

from __future__ import annotations

import logging
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import torch

from skycue.errors import RunError, SkycueError
from skycue.process_memory import held_bytes
from skycue.progress import hide_bars
from skycue.protocols.cell_work import CellWorker, RunFolder, Task
from skycue.protocols.encoders import PoolPlan
from skycue.protocols.results import CellResult
from skycue.spawned import SPAWN, end_with_the_parent

logger = logging.getLogger(__name__)

DEATHS = 2
"""Workers that may die on one cell, or in a row before their first."""
POLL_S = 1.0
"""Seconds until a cell that another run is at is asked for again."""
GIGA = 1e9


class Limits(NamedTuple):
    """How much of the machine a run may take."""

    jobs: int = 1
    """Cells done at a time, each in a process; the threads of torch are divided among them."""
    memory_gb: float | None = None
    """Resident memory of all processes together, in 10^9 bytes; None is as much as there is."""

    @property
    def threads(self) -> int:
        """Threads of each process: an equal part of those that torch has here."""
        return max(torch.get_num_threads() // self.jobs, 1)

    def n_workers(self, peak: int, *, is_measured: bool) -> int:
        """Return how many workers may be there; where memory is limited one, until it is measured.

        Args:
            peak: Bytes that the greediest worker held until now; 0 if nothing is known.
            is_measured: Whether a worker has done a whole cell.

        Raises:
            RunError: If not even one fits.
        """
        if self.memory_gb is None or not peak:
            return self.jobs if self.memory_gb is None else 1
        own = held_bytes() or 0
        n_fitting = int((self.memory_gb * GIGA - own) // peak)
        if n_fitting < 1:
            raise RunError(
                f"memory_gb={self.memory_gb:g} holds no worker: this process takes "
                f"{own / GIGA:.2f} GB and a worker {peak / GIGA:.2f} GB. Raise it, or lower "
                "batch_size or method.text_memory_mb."
            )
        return min(self.jobs, n_fitting) if is_measured else 1


class _Answer(NamedTuple):
    """What a worker says: that it has loaded, what became of its cell, or what ends the run."""

    result: CellResult | SkycueError | None
    """None after loading, and for a cell that another run is at."""
    peak: int | None
    """Bytes that the worker held at most until now; None where it cannot be read."""


def do_in_processes(
    tasks: Sequence[Task], folder: RunFolder, plan: PoolPlan, limits: Limits
) -> Iterator[CellResult]:
    """Do cells in worker processes and yield their results as they come.

    Where memory is limited, one worker starts, and others when it has done a cell, as many as
    fit: the peak of the greediest so far counts for each.

    Raises:
        RunError: If a cell takes two workers with it, or the memory holds no worker.
        SkycueError: What a worker raised.
    """
    crew = _Crew(tasks, folder, plan, limits)
    try:
        yield from crew.run()
    finally:
        crew.end()


class _Worker:
    """A process, as the one that started it sees it."""

    def __init__(self, folder: RunFolder, plan: PoolPlan, threads: int) -> None:
        self.connection, theirs = SPAWN.Pipe()
        arguments = (theirs, folder, plan, threads)
        self.process = SPAWN.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # so that the death of the process closes the connection
        self.task: Task | None = None
        self.is_loaded = False

    def give(self, task: Task) -> None:
        """Hand out a cell."""
        self.task = task
        try:
            self.connection.send(task)
        except BrokenPipeError:  # it died idle; `answer` tells
            logger.debug("worker %d is gone", self.process.pid)

    def answer(self) -> _Answer | None:
        """Receive what the worker says; None if it died."""
        try:
            answer: _Answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return None
        return answer

    def end(self) -> None:
        """Let the process end now."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Crew:
    """The workers of a run and the cells that wait for them."""

    def __init__(
        self, tasks: Sequence[Task], folder: RunFolder, plan: PoolPlan, limits: Limits
    ) -> None:
        self._start: Callable[[], _Worker] = lambda: _Worker(folder, plan, limits.threads)
        self._limits = limits
        self._waiting = deque(tasks)
        self._taken: list[tuple[float, Task]] = []
        """Cells that another run is at, and when to ask again."""
        self._n_left = len(tasks)
        self._workers: list[_Worker] = []
        self._deaths: Counter[str] = Counter()
        self._peak = 0
        self._has_done_one = False

    def run(self) -> Iterator[CellResult]:
        """Yield results until all cells are done."""
        while self._n_left:
            self._hand_out()
            for ready in wait([w.connection for w in self._workers], timeout=POLL_S):
                worker = next(w for w in self._workers if w.connection is ready)
                result = self._settle(worker)
                if result is not None:
                    self._n_left -= 1
                    yield result

    def end(self) -> None:
        """Let all workers end now."""
        while self._workers:
            self._workers.pop().end()

    def _hand_out(self) -> None:
        """Let go or start workers as memory says, and give a cell to each that has none."""
        now = time.monotonic()
        self._waiting += (task for at, task in self._taken if at <= now)
        self._taken = [(at, task) for at, task in self._taken if at > now]
        n_allowed = self._limits.n_workers(self._peak, is_measured=self._has_done_one)
        for worker in [w for w in self._workers if w.is_loaded and w.task is None]:
            if len(self._workers) > n_allowed:
                self._workers.remove(worker)
                worker.end()
            elif self._waiting:
                worker.give(self._waiting.popleft())
        n_starting = sum(not worker.is_loaded for worker in self._workers)
        while len(self._workers) < n_allowed and n_starting < len(self._waiting):
            self._workers.append(self._start())
            n_starting += 1

    def _settle(self, worker: _Worker) -> CellResult | None:
        """Take what a worker says, or its death; return the result of a cell that is done."""
        answer, task = worker.answer(), worker.task
        if answer is None:
            self._mourn(worker)
            return None
        self._note_peak(answer.peak)
        worker.is_loaded, worker.task = True, None
        if isinstance(answer.result, SkycueError):
            raise answer.result
        if task is not None and answer.result is None:
            self._taken.append((time.monotonic() + POLL_S, task))
        self._has_done_one |= answer.result is not None
        return answer.result

    def _note_peak(self, peak: int | None) -> None:
        if peak is None and self._limits.memory_gb is not None:
            raise RunError(
                "memory_gb cannot be kept here: the memory of a process is read on Linux alone. "
                "Leave it out and choose --jobs."
            )
        self._peak = max(self._peak, peak or 0)

    def _mourn(self, worker: _Worker) -> None:
        """Note the death of a worker; its cell comes next.

        Raises:
            RunError: If it is not the first death on the cell.
        """
        self._workers.remove(worker)
        name = "loading" if worker.task is None else worker.task.cell.key
        self._deaths[name] += 1
        code = worker.process.exitcode
        if self._deaths[name] >= DEATHS:
            raise RunError(
                f"{DEATHS} workers died at {name} (exit status {code}): is there enough memory for "
                f"{self._limits.jobs}? Lower --jobs or set memory_gb; finished cells are kept."
            )
        logger.warning("a worker died at %s (exit status %s); another goes on with it", name, code)
        if worker.task is not None:
            self._waiting.appendleft(worker.task)


def _work(connection: Connection, folder: RunFolder, plan: PoolPlan, threads: int) -> None:
    """Run in a worker: load, then do cells until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it ends it
    end_with_the_parent()
    hide_bars()
    torch.set_num_threads(threads)
    try:
        worker = CellWorker(folder, plan.open())
        connection.send(_Answer(None, worker.meter.largest))
        while True:
            result = worker.do(connection.recv())
            connection.send(_Answer(result, worker.meter.largest))
    except SkycueError as error:
        connection.send(_Answer(error, None))
    except (EOFError, BrokenPipeError):
        return
