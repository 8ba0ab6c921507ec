"""Work off the cells of a benchmark, in this process or in several; finished ones are kept."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence

from skycue.progress import progress_bar
from skycue.protocols.cell_work import CellWorker, RunFolder, Task
from skycue.protocols.cells import Cell, cell_key
from skycue.protocols.encoders import EncoderPool, PoolPlan
from skycue.protocols.results import CellResult, Results
from skycue.protocols.workers import POLL_S, Limits, do_in_processes

logger = logging.getLogger(__name__)


def run_cells(
    cells: Sequence[Cell],
    folder: RunFolder,
    pool: EncoderPool,
    plan: PoolPlan,
    limits: Limits,
) -> Results:
    """Run the cells that are not finished yet, and return the results of all in their order.

    Several processes give what one gives: a result is a function of its cell, but for the last bit
    of sums, which may differ with the threads of torch. Two runs on one folder share the work.

    Args:
        cells: What to run.
        folder: Where results are kept.
        pool: Gives each cell its encoder, in this process.
        plan: What the pools of other processes are built of.
        limits: How many processes, and their memory.

    Raises:
        RunError: If a finished cell was made with other settings and is not to be replaced, two
            workers die on one cell, or the memory holds no worker.
    """
    finished = {cell.key: folder.read(cell) for cell in cells}
    results = [result for result in finished.values() if result is not None]
    logger.info("%d of %d cells are finished in %s", len(results), len(cells), folder.path)
    tasks = [task for task in tasks_of(cells) if finished[task.cell.key] is None]
    # Before workers start, which would all do it; and always in the same batches, whose make-up
    # changes the last bit of an encoding, so that any number of processes gives equal results.
    pool.keep_encodings((task.cell.row, task.cell.paths) for task in tasks)
    done: Iterator[CellResult]
    if limits.jobs == 1 and limits.memory_gb is None:
        done = _do_here(tasks, CellWorker(folder, pool))
    else:
        done = do_in_processes(tasks, folder, plan, limits)
    with progress_bar("cells", len(cells)) as advance:
        advance(len(results))
        for result in done:
            results.append(result)
            advance(1)
            logger.info("%s: %s", _key_of(result), _headline(result))
    order = {cell.key: number for number, cell in enumerate(cells)}
    return Results(sorted(results, key=lambda result: order[_key_of(result)]))


def tasks_of(cells: Sequence[Cell]) -> list[Task]:
    """Return what there is to do for a whole run, in order.

    The rate of each row is measured in one cell: of the most shots that with the most classes.
    """

    def size(cell: Cell) -> tuple[int, int]:
        return cell.shots, max(len(exam.class_names) for exam in cell.exams)

    measured: dict[str, str] = {}
    for cell in sorted(cells, key=size, reverse=True):
        measured.setdefault(cell.row.name, cell.key)
    return [Task(cell, measures_rate=measured[cell.row.name] == cell.key) for cell in cells]


def _do_here(tasks: Sequence[Task], worker: CellWorker) -> Iterator[CellResult]:
    """Do cells one after another; those that another run is at come last."""
    waiting, n_taken = deque(tasks), 0
    while waiting:
        task = waiting.popleft()
        result = worker.do(task)
        if result is not None:
            n_taken = 0
            yield result
            continue
        waiting.append(task)
        n_taken += 1
        if n_taken >= len(waiting):
            time.sleep(POLL_S)


def _key_of(result: CellResult) -> str:
    return cell_key(result.data, result.row, result.shots, result.seed)


def _headline(result: CellResult) -> str:
    """Return the accuracies of a cell in one line."""
    scores = [
        f"{exam.name} {100 * exam.evaluation.headline:.1f} %"
        for exam in result.exams
        if exam.evaluation is not None
    ]
    cost = result.cost
    fit = "resumed" if cost.fit is None else f"{cost.fit.seconds:.1f} s"
    return f"{', '.join(scores)} ({fit} + {cost.exam_s:.1f} s)"
