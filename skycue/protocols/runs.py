"""Work off the cells of a benchmark; finished ones are kept, so a killed run goes on.

In the folder of a run each finished cell is one JSON file under `cells/`, written atomically. A
cell under way keeps the state of its training under `state/`, so that a process killed at any
moment (-9 as well) goes on where it was and ends with the same result. Runs that are given one
folder of fits leave finished states there and take up each other's: a few-shot run and a
cross-dataset run train the same, and do it once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from skycue.errors import RunError
from skycue.evaluation import evaluate
from skycue.files import write_atomically
from skycue.inference import SceneClassifier
from skycue.progress import progress_bar
from skycue.protocols.cells import Cell, Exam, cell_key
from skycue.protocols.encoders import EncoderPool
from skycue.protocols.results import CellResult, ExamResult, Results

logger = logging.getLogger(__name__)


def run_cells(
    cells: Sequence[Cell],
    folder: Path,
    pool: EncoderPool,
    *,
    splits: dict[str, str],
    fingerprint: str,
    fits: Path | None = None,
    force: bool = False,
) -> Results:
    """Run the cells that are not finished yet, in order, and return the results of all.

    Args:
        cells: What to run.
        folder: The run's folder.
        pool: Gives each cell its encoder.
        splits: Hash of each dataset's split.
        fingerprint: Of the backbone.
        fits: Folder of trainings that several runs share; None drops each with its cell.
        force: Run finished cells again where they were made with other settings.

    Raises:
        RunError: If a finished cell was made with other settings and `force` is false.
    """
    finished = {cell.key: _read_finished(cell, folder, fingerprint, force=force) for cell in cells}
    results = [result for result in finished.values() if result is not None]
    logger.info("%d of %d cells are finished in %s", len(results), len(cells), folder)
    with progress_bar("cells", len(cells)) as advance:
        advance(len(results))
        for cell in cells:
            if finished[cell.key] is not None:
                continue
            state = _state_file(fits or folder / "state", cell, fingerprint)
            result = _run(cell, state, pool, splits, fingerprint)
            write_atomically(_cell_file(folder, cell), result.model_dump_json(indent=1) + "\n")
            if fits is None:
                state.unlink(missing_ok=True)
            results.append(result)
            advance(1)
            logger.info("%s: %s", cell.key, _headline(result))
    order = {cell.key: number for number, cell in enumerate(cells)}
    return Results(sorted(results, key=lambda r: order[cell_key(r.data, r.row, r.shots, r.seed)]))


def _run(
    cell: Cell, state: Path, pool: EncoderPool, splits: dict[str, str], fingerprint: str
) -> CellResult:
    """Train and examine one cell."""
    started = time.perf_counter()
    classifier = SceneClassifier.fit_items(
        cell.train,
        cell.class_names,
        cell.row.config,
        encoder=pool.encoder_of(cell.row),
        seed=cell.seed,
        validation=cell.validation,
        state=state,
    )
    trained = time.perf_counter()
    exams = tuple(_examine(classifier, cell, exam) for exam in cell.exams)
    return CellResult(
        identity=cell.identity(fingerprint),
        row=cell.row.name,
        data=cell.data,
        shots=cell.shots,
        seed=cell.seed,
        backbone=fingerprint,
        splits=splits,
        config=classifier.config,
        texts=cell.row.texts,
        n_train=len(cell.train),
        n_learned=classifier.n_learned,
        exams=exams,
        train_s=round(trained - started, 3),
        exam_s=round(time.perf_counter() - trained, 3),
    )


def _examine(classifier: SceneClassifier, cell: Cell, exam: Exam) -> ExamResult:
    """Ask one exam; where the method cannot score its classes there is no evaluation."""
    is_new = not set(exam.class_names) <= set(cell.class_names)
    if is_new and not cell.row.scores_new_classes:
        return ExamResult(name=exam.name, evaluation=None)
    return ExamResult(name=exam.name, evaluation=evaluate(classifier, exam.items, exam.class_names))


def _read_finished(cell: Cell, folder: Path, fingerprint: str, *, force: bool) -> CellResult | None:
    """Return the result that an earlier run left for a cell, None if there is none to use."""
    path = _cell_file(folder, cell)
    if not path.is_file():
        return None
    try:
        result = CellResult.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = f"is no result of this version ({error.error_count()} fields are wrong)"
    else:
        if result.identity == cell.identity(fingerprint):
            return result
        problem = "was made with other settings, data or backbone"
    if force:
        return None
    raise RunError(f"{path} {problem}: write to another folder with -o, or run again with --force.")


def _cell_file(folder: Path, cell: Cell) -> Path:
    """Return where the result of a cell lies."""
    return folder / "cells" / f"{cell.key}.json"


def _state_file(folder: Path, cell: Cell, fingerprint: str) -> Path:
    """Return where the training of a cell keeps its state."""
    return folder / f"{cell.training_identity(fingerprint)}.safetensors"


def _headline(result: CellResult) -> str:
    """Return the accuracies of a cell in one line."""
    scores = [
        f"{exam.name} {100 * exam.evaluation.top1:.1f} %"
        for exam in result.exams
        if exam.evaluation is not None
    ]
    return f"{', '.join(scores)} ({result.train_s:.1f} s + {result.exam_s:.1f} s)"
