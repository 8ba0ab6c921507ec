"""The engine of one machine: each worker is a process of its own.

Every worker has an executor of one process, so that a death (out of memory, a crash in a C library,
kill -9) breaks that executor alone and tells which unit it was.
"""

from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from skycue.scale.crew import Answer, UnitWorker
from skycue.scale.work import Unit, Work
from skycue.spawned import SPAWN, end_with_the_parent

_WORKER: list[UnitWorker] = []
"""In the process of a worker: what it is. A process cannot be handed an object to keep."""


class LocalEngine:
    """Starts workers on this machine.

    Attributes:
        n_workers: How many work at a time.
        lost: What the future of a dead worker raises.
    """

    lost = (BrokenProcessPool,)

    def __init__(self, work: Work, folder: Path, *, n_workers: int, threads: int = 1) -> None:
        """Hold what every worker is given.

        Args:
            work: What is done.
            folder: Of the run.
            n_workers: How many work at a time.
            threads: Processor cores of each.
        """
        self._work, self._folder, self._threads = work, folder, threads
        self.n_workers = n_workers

    def start(self) -> "LocalWorker":
        """Start a worker."""
        return LocalWorker(self._work, self._folder, self._threads)

    def close(self) -> None:
        """Do nothing: every worker is stopped by itself."""


class LocalWorker:
    """One process of this machine."""

    def __init__(self, work: Work, folder: Path, threads: int) -> None:
        self._arguments = (work, folder, threads)
        self._executor = ProcessPoolExecutor(1, mp_context=SPAWN)

    def load(self) -> "Future[Answer]":
        """Load the model."""
        return self._executor.submit(_load, *self._arguments)

    def do(self, unit: Unit) -> "Future[Answer]":
        """Do a unit and keep its part."""
        return self._executor.submit(_do, unit)

    def stop(self) -> None:
        """Let the process end after what it is at."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _load(work: Work, folder: Path, threads: int) -> Answer:
    end_with_the_parent()
    _WORKER[:] = [UnitWorker(work, folder, threads)]
    return _WORKER[0].load()


def _do(unit: Unit) -> Answer:
    return _WORKER[0].do(unit)
