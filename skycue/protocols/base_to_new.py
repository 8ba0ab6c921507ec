"""Base to new: train on half of the classes, then tell apart each half among its own names.

Zhou et al., "Conditional Prompt Learning for Vision-Language Models" (CoCoOp), CVPR 2022,
section 4.1, https://arxiv.org/abs/2203.05557. The first ceil(n/2) classes in label order are base.
Base images are scored among base names only, new images among new names only. H is the harmonic
mean of the two accuracies of a seed; its mean and deviation are taken over seeds afterwards.

Where images show several classes, mAP stands for accuracy; an image belongs to a half if it shows
a class of it, and to both halves if it shows classes of both, with the labels of the half. So
training images may show new classes, unlabelled.

A linear probe has no weights for a class it has not seen: "not applicable" stands there and no H is
formed. A second probe is trained on all classes and named as what it is, an upper reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from skycue.data.few_shot import base_new
from skycue.data.scenes import SceneItem, relabel
from skycue.metrics.classification import harmonic_mean
from skycue.protocols.cells import (
    LINEAR_PROBE,
    Cell,
    Comparison,
    Exam,
    Row,
    Targets,
    draw_cells,
)
from skycue.protocols.paired import SEEN_OR_NOT, Scores, table_name
from skycue.protocols.results import Results
from skycue.protocols.scene_data import SceneData
from skycue.protocols.tables import Field, Measure, Table, shots_text

BASE, NEW = "base", "new"
ALL_CLASSES = f"{LINEAR_PROBE}, all classes (upper reference)"
"""Row of the probe that was trained on the new classes too."""


def plan(comparison: Comparison) -> list[Cell]:
    """List the cells: each row on the base half of each dataset, and the reference probe on all."""
    return [
        cell
        for data in comparison.data
        for row in rows_with_reference(comparison, data)
        for cell in half_cells(comparison, data, row)
    ]


def tables(comparison: Comparison, results: Results) -> list[Table]:
    """Build one table for each dataset and number of shots, then means over several datasets."""
    found = [
        _table(comparison, data, shots, results)
        for shots in comparison.shots
        for data in comparison.data
    ]
    kinds: tuple[Targets, ...] = (*comparison.parts, "all")
    return found + [
        _mean_table(comparison, shots, results, targets)
        for shots in comparison.shots
        for targets in kinds
        if len(comparison.asked(targets)) > 1
    ]


def scores(
    comparison: Comparison, results: Results, shots: int, targets: Targets = "all"
) -> Scores:
    """Return H of each row on each dataset."""
    return Scores(
        title="H of base to new",
        shots=shots,
        targets=targets,
        of_place={
            data.name: {
                row.name: base_new_measures(results, row.name, data.name, shots)[2]
                for row in comparison.rows_for(data)
            }
            for data in comparison.asked(targets)
        },
    )


def base_new_measures(
    results: Results, row: str, data: str, shots: int
) -> tuple[Measure | None, Measure | None, Measure | None]:
    """Return base accuracy, new accuracy and their harmonic mean per seed."""
    base = results.accuracy(row, data, BASE, shots=shots)
    new = results.accuracy(row, data, NEW, shots=shots)
    if base is None or new is None or row == ALL_CLASSES:
        return base, new, None
    pairs = zip(base.values, new.values, strict=True)
    return base, new, Measure(tuple(harmonic_mean(b, n) for b, n in pairs))


def rows_with_reference(comparison: Comparison, data: SceneData) -> list[Row]:
    """Return the rows of a dataset, the reference probe behind the probe."""
    rows: list[Row] = []
    for row in comparison.rows_for(data):
        rows.append(row)
        if row.name == LINEAR_PROBE:
            rows.append(Row(ALL_CLASSES, row.config))
    return rows


def half_cells(comparison: Comparison, data: SceneData, row: Row) -> list[Cell]:
    """List the cells of one row on one dataset: trained on the base half, asked about both."""
    names = data.split.class_names
    base, new = base_new(names)
    exams = [
        Exam(half, part, _part(data.test, names, part)) for half, part in ((BASE, base), (NEW, new))
    ]
    trained_on = names if row.name == ALL_CLASSES else base
    parts = (_part(data.split.train, names, trained_on), _part(data.split.val, names, trained_on))
    return list(draw_cells(comparison, row, data.name, trained_on, parts, exams))


def _part(
    items: Sequence[SceneItem], names: Sequence[str], wanted: Sequence[str]
) -> tuple[SceneItem, ...]:
    """Keep the images of some classes, labelled by their place among them."""
    return relabel(items, names, {name: label for label, name in enumerate(wanted)})


def _table(comparison: Comparison, data: SceneData, shots: int, results: Results) -> Table:
    """Build the table of one dataset."""
    base, new = base_new(data.split.class_names)
    return Table(
        name=f"base-to-new_{data.name}_{shots}-shots",
        title=f"Base to new on {data.name}{data.mark}, {shots_text(shots)}: {data.measure}, %",
        columns=("method", f"base ({len(base)} classes)", f"new ({len(new)} classes)", "H"),
        rows=tuple(
            (row.name, *base_new_measures(results, row.name, data.name, shots))
            for row in rows_with_reference(comparison, data)
        ),
        notes=(
            f"Base: {', '.join(base)}. New: {', '.join(new)}.",
            "H: harmonic mean of a seed's base and new accuracy; its mean and standard deviation "
            "are taken over seeds.",
        ),
    )


def _mean_table(comparison: Comparison, shots: int, results: Results, targets: Targets) -> Table:
    """Build the table of means over datasets: of a seed first, then over seeds."""
    rows, asked = [], comparison.asked(targets)
    for row in rows_with_reference(comparison, asked[0]):
        of_data = [base_new_measures(results, row.name, data.name, shots) for data in asked]
        fields: list[Field] = [Measure.average(column) for column in zip(*of_data, strict=True)]
        rows.append((row.name, *fields))
    names = ", ".join(data.name for data in asked)
    mark = SEEN_OR_NOT[targets]
    measure = comparison.data[0].measure
    return Table(
        name=f"base-to-new_{table_name('mean', targets, shots)}",
        title=f"Base to new, mean over {names}{mark}, {shots_text(shots)}: {measure}, %",
        columns=("method", "base", "new", "H"),
        rows=tuple(rows),
        notes=("Means over datasets are taken for each seed; H is the mean of the datasets' H.",),
    )
