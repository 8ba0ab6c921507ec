"""Do one cell: claim it, train, examine, measure what it costs, and keep the result.

In the folder of a run each finished cell is one JSON file under `cells/`, written atomically. A
cell under way keeps the state of its training under `state/`, so that a process killed at any
moment (-9 as well) goes on where it was and ends with the same result. Runs that are given one
folder of fits leave finished states there and take up each other's: a few-shot run and a
cross-dataset run train the same, and do it once.

Whoever trains holds a lock beside the state. The system frees it when its process ends, however
that ends, so that processes of one run, or of several, never train the same at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from pydantic import ValidationError

from skycue.encoding import SceneEncoder
from skycue.errors import RunError
from skycue.evaluation import evaluate
from skycue.files import write_atomically
from skycue.inference import SceneClassifier
from skycue.process_memory import PeakMeter
from skycue.protocols.cells import Cell, Exam
from skycue.protocols.encoders import EncoderPool, encode_ahead
from skycue.protocols.results import CellCost, CellResult, ExamResult, FitCost

RATE_IMAGES = 64
"""Images that the rate of a method is measured with, from their files to probabilities."""
SCORING_RUNS = 3
"""Times that kept encodings are scored; the fastest is the least disturbed one."""
WARM_IMAGES = 2
"""Images that are answered before, so that what is loaded once is there."""
MEGA = 1e6


class Task(NamedTuple):
    """A cell to do."""

    cell: Cell
    measures_rate: bool = False
    """Measure how many images a second the trained method answers: once a row is enough."""


@dataclass(frozen=True)
class RunFolder:
    """Where the cells of a run are kept, and what they must have been made with."""

    path: Path
    fingerprint: str
    """Of the backbone."""
    splits: dict[str, str]
    """Hash of each dataset's split."""
    fits: Path | None = None
    """Folder of trainings that several runs share; None drops each with its cell."""
    force: bool = False
    """Take a cell that was made with other settings for an unfinished one."""

    def read(self, cell: Cell) -> CellResult | None:
        """Return the result that was left for a cell, None if there is none to use.

        Raises:
            RunError: If it was made with other settings and `force` is false.
        """
        path = self._file(cell)
        if not path.is_file():
            return None
        try:
            result = CellResult.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problem = f"is no result of this version ({error.error_count()} fields are wrong)"
        else:
            if result.identity == cell.identity(self.fingerprint):
                return result
            problem = "was made with other settings, data or backbone"
        if self.force:
            return None
        raise RunError(
            f"{path} {problem}: write to another folder with -o, or run again with --force."
        )

    def write(self, cell: Cell, result: CellResult) -> None:
        """Keep the result of a cell."""
        write_atomically(self._file(cell), result.model_dump_json(indent=1) + "\n")

    def state(self, cell: Cell) -> Path:
        """Return where the training of a cell keeps its state."""
        folder = self.fits or self.path / "state"
        return folder / f"{cell.training_identity(self.fingerprint)}.safetensors"

    @contextmanager
    def claim(self, cell: Cell) -> Iterator[bool]:
        """Claim the training of a cell while the block runs; False if another process has it."""
        file = self.state(cell).with_suffix(".lock")
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _file(self, cell: Cell) -> Path:
        return self.path / "cells" / f"{cell.key}.json"


class CellWorker:
    """Does the cells of a run in this process.

    Args:
        folder: Where they are kept.
        pool: Gives each cell its encoder.
    """

    def __init__(self, folder: RunFolder, pool: EncoderPool) -> None:
        self.folder = folder
        self.pool = pool
        self.meter = PeakMeter()

    def do(self, task: Task) -> CellResult | None:
        """Return the result of a cell, done now or meanwhile; None if another process is at it."""
        cell = task.cell
        with self.folder.claim(cell) as is_mine:
            if not is_mine:
                return None
            result = self.folder.read(cell)
            if result is None:
                result = self._run(task)
                self.folder.write(cell, result)
            if self.folder.fits is None:
                self.folder.state(cell).unlink(missing_ok=True)
            return result

    def _run(self, task: Task) -> CellResult:
        """Train and examine a cell."""
        cell, started = task.cell, time.perf_counter()
        encoder = self.pool.encoder_of(cell.row)
        encode_ahead(encoder, cell.paths, cell.row.needs)
        encoded = time.perf_counter()
        classifier, fit = self._fit(cell, encoder)
        trained = time.perf_counter()
        with self.meter.measure():
            exams = tuple(_examine(classifier, cell, exam) for exam in cell.exams)
        exam_s = round(time.perf_counter() - trained, 3)
        rate = _measure_rate(classifier, cell) if task.measures_rate else None
        cost = CellCost(
            encode_s=round(encoded - started, 3),
            fit=fit,
            exam_s=exam_s,
            exam_peak_mb=_megabytes(self.meter.of_work),
            images_a_second=rate.images_a_second if rate else None,
            scoring_ms=rate.scoring_ms if rate else None,
        )
        return CellResult(
            identity=cell.identity(self.folder.fingerprint),
            row=cell.row.name,
            data=cell.data,
            shots=cell.shots,
            seed=cell.seed,
            backbone=self.folder.fingerprint,
            splits=self.folder.splits,
            config=classifier.config,
            texts=cell.row.texts,
            n_train=len(cell.train),
            n_learned=classifier.n_learned,
            exams=exams,
            cost=cost,
        )

    def _fit(self, cell: Cell, encoder: SceneEncoder) -> tuple[SceneClassifier, FitCost | None]:
        """Train; the cost is that of the whole training, None where part of it ran before."""
        state = self.folder.state(cell)
        cost_file = state.with_suffix(".json")
        is_new = not state.exists()
        started = time.perf_counter()
        with self.meter.measure():
            classifier = SceneClassifier.fit_items(
                cell.train,
                cell.class_names,
                cell.row.config,
                encoder=encoder,
                seed=cell.seed,
                validation=cell.validation,
                state=state,
            )
        cost = None
        if is_new:
            seconds = round(time.perf_counter() - started, 3)
            cost = FitCost(seconds=seconds, peak_mb=_megabytes(self.meter.of_work))
            if self.folder.fits is not None and state.exists():
                write_atomically(cost_file, cost.model_dump_json() + "\n")
        elif cost_file.is_file():
            cost = FitCost.model_validate_json(cost_file.read_bytes())
        return classifier, cost


def _examine(classifier: SceneClassifier, cell: Cell, exam: Exam) -> ExamResult:
    """Ask one exam; where the method cannot score its classes there is no evaluation."""
    if not _can_answer(cell, exam):
        return ExamResult(name=exam.name, evaluation=None)
    return ExamResult(name=exam.name, evaluation=evaluate(classifier, exam.items, exam.class_names))


def _can_answer(cell: Cell, exam: Exam) -> bool:
    return cell.row.scores_new_classes or set(exam.class_names) <= set(cell.class_names)


class _Rate(NamedTuple):
    """How fast a fitted classifier answers."""

    images_a_second: float
    scoring_ms: float


def _measure_rate(classifier: SceneClassifier, cell: Cell) -> _Rate | None:
    """Measure answers from image files on, nothing kept, and the share that is no encoding.

    Of the exams the one with the most classes is asked.
    """
    exams = [exam for exam in cell.exams if _can_answer(cell, exam)]
    if not exams:
        return None
    exam = max(exams, key=lambda exam: len(exam.class_names))
    encoder, needs = classifier.encoder.without_store(), classifier.method.needs
    paths = [item.path for item in exam.items[:RATE_IMAGES]]

    def answer(some: Sequence[Path]) -> None:
        classifier.probabilities(encoder.encode(some, needs), exam.class_names)

    answer(paths[:WARM_IMAGES])
    started = time.perf_counter()
    answer(paths)
    from_files = time.perf_counter() - started
    encoded = encoder.encode(paths, needs)
    seconds = []
    for _ in range(SCORING_RUNS):
        started = time.perf_counter()
        classifier.probabilities(encoded, exam.class_names)
        seconds.append(time.perf_counter() - started)
    return _Rate(
        images_a_second=round(len(paths) / from_files, 1),
        scoring_ms=round(1000 * min(seconds) / len(paths), 4),
    )


def _megabytes(n_bytes: int | None) -> float | None:
    return None if n_bytes is None else round(n_bytes / MEGA, 1)
