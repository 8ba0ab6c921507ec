"""The table beside the mAP of a run whose images show several classes: F1 of the labels given."""

from __future__ import annotations

from skycue.evaluation import MultiLabelEvaluation
from skycue.protocols.results import Results
from skycue.protocols.tables import Field, Measure, Table, shots_text

MEASURES = ("CF1", "OF1", "CF1 top 3", "OF1 top 3")


def has_several_labels(results: Results) -> bool:
    """Say whether the images of a run show several classes."""
    return any(
        isinstance(exam.evaluation, MultiLabelEvaluation)
        for cell in results.cells
        for exam in cell.exams
    )


def label_table(results: Results, shots: int) -> Table:
    """Build the table of F1 per class (C) and overall (O), a row for each method and exam."""
    places = {
        (cell.data, exam.name, cell.row): None for cell in results.cells for exam in cell.exams
    }
    return Table(
        name=f"labels_{shots}-shots",
        title=f"F1 of the labels given, {shots_text(shots)}, %",
        columns=("trained on", "asked about", "method", *MEASURES),
        rows=tuple(
            (data, exam, row, *_fields(results, row, data, exam, shots))
            for data, exam, row in places
        ),
        notes=(
            "At thresholds chosen on validation images, by zero-shot too, and of the three most "
            "probable classes of each image. Classes not trained on have the threshold of all "
            "classes together.",
        ),
    )


def _fields(results: Results, row: str, data: str, exam: str, shots: int) -> tuple[Field, ...]:
    """Return the measures of a row; None where the method cannot answer."""
    found = [
        each
        for each in results.evaluations(row, data, exam, shots=shots)
        if isinstance(each, MultiLabelEvaluation)
    ]
    if not found:
        return (None,) * len(MEASURES)
    values = [
        (e.at_thresholds.cf1, e.at_thresholds.of1, e.at_top_3.cf1, e.at_top_3.of1) for e in found
    ]
    return tuple(Measure(column) for column in zip(*values, strict=True))
