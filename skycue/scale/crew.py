"""Hand the units of a plan to worker processes, any of which may die at any moment.

An engine starts workers; how, is its matter. Each holds one unit at a time, so that a death is the
death of one known unit. That unit is done again by another worker; if it takes several workers with
it, it is given up and noted. Doing a unit twice does no harm (`parts`).
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import NamedTuple, Protocol

from skycue.errors import RunError, SkycueError
from skycue.scale.parts import Receipt, write_part
from skycue.scale.plan import PLAN_FILE
from skycue.scale.work import DoUnit, Unit, Work

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Workers that may die on one unit, and starts that may fail in a row."""
Answer = Receipt | SkycueError | None
"""Of a worker: the receipt of a unit, what must end the run, or nothing after it has loaded."""
QUIET_S = 60.0
"""Seconds without any result after which the log says what is waited for."""


class Worker(Protocol):
    """A process elsewhere, as the crew sees it."""

    def load(self) -> "Future[Answer]":
        """Load the model; the result is what keeps it from doing any unit, or None."""
        ...

    def do(self, unit: Unit) -> "Future[Answer]":
        """Do a unit and keep its part; the result is its receipt, or what must end the run."""
        ...

    def stop(self) -> None:
        """Let the process end."""
        ...


class Engine(Protocol):
    """What starts workers."""

    @property
    def n_workers(self) -> int:
        """How many work at a time."""
        ...

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """What the future of a worker raises whose process or machine is gone."""
        ...

    def start(self) -> Worker:
        """Start a worker, or ask for one; its `load` tells when it is there."""
        ...

    def close(self) -> None:
        """Free what the engine holds."""
        ...


class UnitWorker:
    """What runs in the process of a worker, whatever started it."""

    def __init__(self, work: Work, folder: Path, threads: int) -> None:
        self._work, self._folder, self._threads = work, folder, threads
        self._do: DoUnit | None = None

    def load(self) -> SkycueError | None:
        """Load the model, and see that the folder of the run is the driver's."""
        if not (self._folder / PLAN_FILE).is_file():
            return RunError(
                f"a worker does not see {self._folder}: -o must lie on a file system that all "
                "machines share under the same path, and so must the rasters and the model."
            )
        try:
            self._do = self._work.load(self._threads)
        except SkycueError as error:
            return error
        return None

    def do(self, unit: Unit) -> Receipt | SkycueError:
        """Do a unit and write its part."""
        assert self._do is not None, "load comes first"
        try:
            rows = self._do(unit)
        except SkycueError as error:
            return error
        try:
            return write_part(self._folder, unit, rows)
        except OSError as error:
            return RunError(f"cannot write the part of unit {unit.id} in {self._folder}: {error}.")


class _Job(NamedTuple):
    """What a worker is at: a unit, or loading its model."""

    worker: Worker
    unit: Unit | None


class Crew:
    """The workers of a run and the units that wait for them."""

    def __init__(
        self,
        engine: Engine,
        units: Iterable[Unit],
        n_units: int,
        give_up: Callable[[Unit, str], Receipt],
    ) -> None:
        """Hold what is to be done.

        Args:
            engine: Starts workers.
            units: What is to be done, in this order.
            n_units: How many they are.
            give_up: Keeps the part of a unit that no worker survives, given the reason.
        """
        self._engine, self._give_up = engine, give_up
        self._units, self._n_left = iter(units), n_units
        self._again: deque[Unit] = deque()
        self._jobs: dict[Future[Answer], _Job] = {}
        self._idle: list[Worker] = []
        self._deaths: Counter[str] = Counter()
        self._failed_starts = 0

    def run(self) -> Iterator[Receipt]:
        """Yield the receipt of each unit when its part is there.

        Raises:
            SkycueError: If no worker can be started, or a unit asks for the end of the run.
        """
        try:
            for _ in range(min(self._engine.n_workers, self._n_left)):
                self._hire()
            while self._n_left:
                done, _ = wait(self._jobs, timeout=QUIET_S, return_when=FIRST_COMPLETED)
                if not done:
                    self._tell_what_is_awaited()
                for future in done:
                    receipt = self._settle(future, self._jobs.pop(future))
                    if receipt is not None:
                        self._n_left -= 1
                        yield receipt
        finally:
            for worker in (*self._idle, *(job.worker for job in self._jobs.values())):
                worker.stop()

    def _settle(self, future: "Future[Answer]", job: _Job) -> Receipt | None:
        """Take the answer of a worker, or its death, and give it or another one the next unit."""
        try:
            answer = future.result()
        except self._engine.lost as error:
            job.worker.stop()
            self._hire()
            return self._mourn(job.unit, error)
        if isinstance(answer, SkycueError):
            self._idle.append(job.worker)
            raise answer
        self._failed_starts = 0
        self._give_next(job.worker)
        return answer

    def _mourn(self, unit: Unit | None, error: Exception) -> Receipt | None:
        """Note the death of a worker; a unit that several died on is given up."""
        first = (str(error).splitlines() or [""])[0]
        if unit is None:
            self._failed_starts += 1
            if self._failed_starts >= ATTEMPTS:
                raise RunError(
                    f"{ATTEMPTS} workers in a row died while they loaded the model "
                    f"({type(error).__name__}: {first}). Is there enough memory for each?"
                ) from error
            return None
        self._deaths[unit.id] += 1
        if self._deaths[unit.id] >= ATTEMPTS:
            logger.warning("unit %s of %s is given up", unit.id, unit.raster)
            return self._give_up(unit, f"its worker died {ATTEMPTS} times")
        logger.warning("a worker died; unit %s of %s is done again", unit.id, unit.raster)
        self._again.append(unit)
        if self._idle:
            self._give_next(self._idle.pop())
        return None

    def _give_next(self, worker: Worker) -> None:
        """Hand out a unit; with none left, the worker stays for one that is done again."""
        unit = self._again.popleft() if self._again else next(self._units, None)
        if unit is None:
            self._idle.append(worker)
        else:
            self._jobs[worker.do(unit)] = _Job(worker, unit)

    def _hire(self) -> None:
        worker = self._engine.start()
        self._jobs[worker.load()] = _Job(worker, None)

    def _tell_what_is_awaited(self) -> None:
        n_loading = sum(job.unit is None for job in self._jobs.values())
        logger.info(
            "%d units are under way, %d workers are awaited, %d units are left",
            len(self._jobs) - n_loading,
            n_loading,
            self._n_left,
        )
