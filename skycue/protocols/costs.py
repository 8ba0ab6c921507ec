"""What rows cost beside what they score: learned numbers, fit, memory, speed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from skycue.comparison_drawing import CostPoint
from skycue.protocols.paired import Scores
from skycue.protocols.results import CellCost, CellResult, Results
from skycue.protocols.tables import Field, Table, shots_text
from skycue.scenes.registry import METHODS
from skycue.training import steps_of

FIT_AXIS = "seconds of one fit"
SCORING_AXIS = "milliseconds of scoring an image, beyond its encoding"


def cost_table(results: Results, scores: Scores) -> Table:
    """Build the table of costs at the shots of `scores`, cells of all places and seeds together."""
    rows: list[tuple[Field, ...]] = []
    for name, cells in _cells_of_rows(results, scores).items():
        learned = sorted({cell.n_learned for cell in cells})
        fit, peak, measured = _fit_s(cells), _peak_mb(cells), _measured(cells)
        rate = measured.images_a_second if measured else None
        scoring = measured.scoring_ms if measured else None
        rows.append(
            (
                name,
                scores.mean(name),
                f"{learned[0]:,}" if len(learned) == 1 else f"{learned[0]:,} to {learned[-1]:,}",
                *_effort(cells),
                "not measured" if fit is None else f"{fit:.2f}",
                "not measured" if rate is None else f"{rate:.0f}",
                "not measured" if scoring is None else f"{scoring:.3f}",
                "not measured" if peak is None else f"{peak:.0f}",
            )
        )
    return Table(
        name=f"costs_{scores.shots}-shots",
        title=f"Accuracy and cost, {shots_text(scores.shots)}: {scores.title}",
        columns=(
            "method",
            "mean, %",
            "learned numbers",
            "images seen",
            "steps",
            "fit, s",
            "images a second",
            "scoring, ms",
            "peak memory, MB",
        ),
        rows=tuple(rows),
        notes=(
            "Images seen and steps of the optimiser: means over trainings, for rows that train step"
            " by step. Fit: mean seconds of a training, without the encodings that are kept and "
            "shared, and without trainings that were killed on the way. Images a second: one "
            "process, from files to probabilities, nothing kept, in the cell of each row with the "
            "most classes; reading and encoding are included. Scoring: milliseconds an image there "
            "from kept encodings to probabilities, class names encoded once for all the images. "
            "Peak memory: most that a fit or its exams took above what the process held before, "
            "resident, 10^6 bytes.",
        ),
    )


def cost_points(results: Results, scores: Scores) -> dict[str, list[CostPoint]]:
    """Return the score of each row against its fit and scoring; what costs nothing has none."""
    panels: dict[str, list[CostPoint]] = {FIT_AXIS: [], SCORING_AXIS: []}
    for name, cells in _cells_of_rows(results, scores).items():
        score = scores.mean(name)
        fit, measured = _fit_s(cells), _measured(cells)
        if score is None:
            continue
        point = CostPoint(name, math.nan, 100 * score.mean, 100 * score.std)
        if fit and any(cell.n_learned for cell in cells):
            panels[FIT_AXIS].append(point._replace(cost=fit))
        if measured and measured.scoring_ms:
            panels[SCORING_AXIS].append(point._replace(cost=measured.scoring_ms))
    return {axis: points for axis, points in panels.items() if points}


def _cells_of_rows(results: Results, scores: Scores) -> dict[str, list[CellResult]]:
    """Return the cells of each row at the shots of the scores, in the order in which they ran."""
    found: dict[str, list[CellResult]] = {}
    for cell in results.cells:
        if cell.shots in (0, scores.shots):
            found.setdefault(cell.row, []).append(cell)
    return found


def _effort(cells: Sequence[CellResult]) -> tuple[str, str]:
    """Return the mean numbers of images seen and of steps, where a row trains step by step."""
    method, _ = METHODS[cells[0].config.method.name]
    if method.trains != "gradient":
        return "", ""
    seen, steps = [], []
    for cell in cells:
        train = cell.config.train
        epoch = steps_of(cell.n_train, train, seed=cell.seed, epoch=1)
        seen.append(train.epochs * sum(len(batch) for step in epoch for batch in step))
        steps.append(train.epochs * len(epoch))
    return f"{statistics.fmean(seen):,.0f}", f"{statistics.fmean(steps):,.0f}"


def _fit_s(cells: Sequence[CellResult]) -> float | None:
    known = [cell.cost.fit.seconds for cell in cells if cell.cost.fit is not None]
    return statistics.fmean(known) if known else None


def _measured(cells: Sequence[CellResult]) -> CellCost | None:
    """Return the cost of the cell whose rates were measured, of several that of most classes."""

    def n_classes(cell: CellResult) -> int:
        known = (exam.evaluation for exam in cell.exams if exam.evaluation is not None)
        return max((len(each.class_names) for each in known), default=0)

    measured = [cell for cell in cells if cell.cost.images_a_second is not None]
    return max(measured, key=n_classes).cost if measured else None


def _peak_mb(cells: Sequence[CellResult]) -> float | None:
    peaks = [cell.cost.exam_peak_mb for cell in cells]
    peaks += [cell.cost.fit.peak_mb for cell in cells if cell.cost.fit is not None]
    return max((peak for peak in peaks if peak is not None), default=None)
