"""Units reach workers, survive their death, and are given up when no worker survives them."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from skycue.errors import RunError, SkycueError
from skycue.scale.crew import ATTEMPTS, Answer, Crew, UnitWorker
from skycue.scale.parts import Receipt, read_receipt
from skycue.scale.plan import make_plan
from skycue.scale.work import Unit
from tests.scale.made_up_work import ByteWork, write_archive


class DeathError(Exception):
    """What the futures of a dead worker raise here."""


class FakeEngine:
    """Answers at once, as two functions say; counts who was started and stopped."""

    lost = (DeathError,)

    def __init__(
        self,
        n_workers: int,
        do: Callable[[int, Unit], Receipt | SkycueError],
        load: Callable[[int], SkycueError | None] = lambda worker: None,
    ) -> None:
        self.n_workers = n_workers
        self.do, self.load = do, load
        self.started: list[FakeWorker] = []

    def start(self) -> "FakeWorker":
        self.started.append(FakeWorker(self, len(self.started)))
        return self.started[-1]

    def close(self) -> None:
        pass


class FakeWorker:
    def __init__(self, engine: FakeEngine, number: int) -> None:
        self.engine, self.number = engine, number
        self.done: list[str] = []
        self.is_stopped = False

    def load(self) -> "Future[Answer]":
        return _answered(lambda: self.engine.load(self.number))

    def do(self, unit: Unit) -> "Future[Answer]":
        assert not self.is_stopped
        self.done.append(unit.id)
        return _answered(lambda: self.engine.do(self.number, unit))

    def stop(self) -> None:
        self.is_stopped = True


def _answered(function: Callable[[], Answer]) -> "Future[Answer]":
    future: Future[Answer] = Future()
    try:
        future.set_result(function())
    except DeathError as error:
        future.set_exception(error)
    return future


UNITS = [Unit(f"unit {n}", "raster", "", 0, 0, n, 1) for n in range(5)]


def receipt_of(unit: Unit, reason: str = "") -> Receipt:
    failures = (
        [{"raster": "raster", "place": "", "n_places": 1, "reason": reason}] if reason else []
    )
    return Receipt.model_validate(
        {"id": unit.id, "n_places": 1, "n_rows": 1, "n_skipped": 0, "failures": failures}
    )


def run(engine: FakeEngine) -> list[Receipt]:
    return list(Crew(engine, UNITS, len(UNITS), receipt_of).run())


def test_every_unit_is_done_once_and_every_worker_is_stopped() -> None:
    engine = FakeEngine(2, lambda worker, unit: receipt_of(unit))
    assert sorted(receipt.id for receipt in run(engine)) == [unit.id for unit in UNITS]
    done = [unit for worker in engine.started for unit in worker.done]
    assert sorted(done) == [unit.id for unit in UNITS]
    assert [worker.is_stopped for worker in engine.started] == [True, True]


def test_no_more_workers_are_started_than_there_are_units() -> None:
    engine = FakeEngine(50, lambda worker, unit: receipt_of(unit))
    run(engine)
    assert len(engine.started) == len(UNITS)


def test_the_unit_of_a_dead_worker_is_done_by_another() -> None:
    def do(worker: int, unit: Unit) -> Receipt:
        if worker == 0 and unit.id == "unit 1":
            raise DeathError
        return receipt_of(unit)

    engine = FakeEngine(1, do)
    assert sorted(receipt.id for receipt in run(engine)) == [unit.id for unit in UNITS]
    assert len(engine.started) == 2
    assert "unit 1" in engine.started[1].done


def test_a_unit_that_kills_every_worker_is_given_up_and_the_others_are_done() -> None:
    def do(worker: int, unit: Unit) -> Receipt:
        if unit.id == "unit 3":
            raise DeathError
        return receipt_of(unit)

    engine = FakeEngine(2, do)
    receipts = {receipt.id: receipt for receipt in run(engine)}
    assert len(receipts) == len(UNITS)
    assert [failure.reason for failure in receipts["unit 3"].failures] == [
        "its worker died 3 times"
    ]
    assert not any(receipts[unit.id].failures for unit in UNITS if unit.id != "unit 3")
    assert sum("unit 3" in worker.done for worker in engine.started) == ATTEMPTS


def test_the_last_unit_is_not_lost_when_others_have_nothing_left_to_do() -> None:
    died: list[int] = []

    def do(worker: int, unit: Unit) -> Receipt:
        if unit.id == "unit 4" and not died:
            died.append(worker)
            raise DeathError
        return receipt_of(unit)

    assert len(run(FakeEngine(5, do))) == len(UNITS)


def test_a_worker_that_cannot_load_ends_the_run_with_its_reason() -> None:
    engine = FakeEngine(
        2, lambda *_: pytest.fail("nothing is done"), lambda _: RunError("no model")
    )
    with pytest.raises(RunError, match="no model"):
        run(engine)
    assert all(worker.is_stopped for worker in engine.started)


def test_workers_that_die_while_they_load_end_the_run_after_a_few() -> None:
    def load(worker: int) -> None:
        raise DeathError("killed by signal 9")

    engine = FakeEngine(1, lambda *_: pytest.fail("nothing is done"), load)
    with pytest.raises(RunError, match=r"3 workers in a row died .* killed by signal 9"):
        run(engine)
    assert len(engine.started) == ATTEMPTS + 1


def test_a_start_that_fails_now_and_then_ends_nothing() -> None:
    def load(worker: int) -> None:
        if worker in (0, 1):
            raise DeathError

    assert len(run(FakeEngine(1, lambda worker, unit: receipt_of(unit), load))) == len(UNITS)


def test_an_error_that_concerns_all_units_ends_the_run() -> None:
    engine = FakeEngine(1, lambda worker, unit: RunError("the disk is full"))
    with pytest.raises(RunError, match="the disk is full"):
        run(engine)


def test_a_worker_needs_the_folder_of_the_run(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in")
    plan = make_plan(paths, ByteWork(), unit_size=100)
    worker = UnitWorker(ByteWork(), tmp_path / "run", 1)
    refusal = worker.load()
    assert isinstance(refusal, RunError)
    assert "-o must lie on a file system that all machines share" in str(refusal)
    plan.save(tmp_path / "run")
    assert worker.load() is None
    unit = next(plan.units())
    assert worker.do(unit) == read_receipt(tmp_path / "run", unit.id)


def test_an_error_of_the_work_is_an_answer_of_the_worker(tmp_path: Path) -> None:
    [path] = write_archive(tmp_path / "in", n_files=1)
    plan = make_plan([path], ByteWork(), unit_size=100)
    plan.save(tmp_path)
    worker = UnitWorker(ByteWork(), tmp_path, 1)
    worker.load()
    path.write_bytes(b"other")
    assert "has changed" in str(worker.do(next(plan.units())))
    assert isinstance(UnitWorker(ByteWork(refusal=RunError("no")), tmp_path, 1).load(), RunError)
