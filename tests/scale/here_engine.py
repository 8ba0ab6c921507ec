"""An engine for tests: its one worker is the process that asks."""

from concurrent.futures import Future
from pathlib import Path

from skycue.scale.crew import Answer, UnitWorker
from skycue.scale.work import Unit, Work


class HereEngine:
    """Does every unit at once."""

    lost: tuple[type[Exception], ...] = ()
    n_workers = 1

    def __init__(self, work: Work, folder: Path) -> None:
        self.worker = UnitWorker(work, folder, 1)

    def start(self) -> "HereEngine":
        return self

    def load(self) -> "Future[Answer]":
        future: Future[Answer] = Future()
        future.set_result(self.worker.load())
        return future

    def do(self, unit: Unit) -> "Future[Answer]":
        future: Future[Answer] = Future()
        future.set_result(self.worker.do(unit))
        return future

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass
