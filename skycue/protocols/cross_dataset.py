"""Cross-dataset: train on all classes of one dataset, then face other datasets as they are.

Zhou et al., "Conditional Prompt Learning for Vision-Language Models" (CoCoOp), CVPR 2022,
section 4.2, https://arxiv.org/abs/2203.05557. A target is scored on its whole test part with its
own class names; class sets may overlap or not. Every given dataset is the source once.
"""

from __future__ import annotations

from skycue.protocols.cells import Cell, Comparison, Exam, Row, Targets, draw_cells
from skycue.protocols.paired import Scores
from skycue.protocols.results import Results
from skycue.protocols.scene_data import SceneData
from skycue.protocols.tables import Measure, Table, shots_text


def plan(comparison: Comparison) -> list[Cell]:
    """List the cells: each row on each source; the source itself is the first exam."""
    return [
        cell
        for source in comparison.data
        for row in comparison.rows_for(source)
        for cell in draw_cells(
            comparison,
            row,
            source.name,
            source.split.class_names,
            (source.split.train, source.split.val),
            [
                Exam(data.name, data.split.class_names, data.test)
                for data in (source, *_targets(comparison, source))
            ],
        )
    ]


def tables(comparison: Comparison, results: Results) -> list[Table]:
    """Build one table for each source and number of shots: columns are the targets."""
    return [
        _table(comparison, source, shots, results)
        for shots in comparison.shots
        for source in comparison.data
    ]


def scores(
    comparison: Comparison, results: Results, shots: int, targets: Targets = "all"
) -> Scores:
    """Return the mean accuracy on the targets of each row from each source that has some."""
    sources = [source for source in comparison.data if _targets(comparison, source, targets)]
    return Scores(
        title=f"mean {comparison.data[0].measure} on the targets",
        shots=shots,
        targets=targets,
        of_place={
            source.name: {
                row.name: Measure.average(
                    results.accuracy(row.name, source.name, data.name, shots=shots)
                    for data in _targets(comparison, source, targets)
                )
                for row in comparison.rows_for(source)
            }
            for source in sources
        },
    )


def _targets(
    comparison: Comparison, source: SceneData, targets: Targets = "all"
) -> list[SceneData]:
    """Return the datasets that count, but not the source."""
    return [data for data in comparison.asked(targets) if data.name != source.name]


def _heading(data: SceneData) -> str:
    """Head the column of a target."""
    seen = ", seen in pre-training" if data.is_seen else ""
    return f"{data.name} ({len(data.split.class_names)} classes{seen})"


def _table(comparison: Comparison, source: SceneData, shots: int, results: Results) -> Table:
    """Build the table of one source."""
    targets = _targets(comparison, source)

    def fields(row: Row) -> tuple[Measure | None, ...]:
        own, *others = (
            results.accuracy(row.name, source.name, data.name, shots=shots)
            for data in (source, *targets)
        )
        return own, *others, Measure.average(others)

    return Table(
        name=f"cross-dataset_{source.name}_{shots}-shots",
        title=f"Cross-dataset from {source.name}, {shots_text(shots)}: {source.measure}, %",
        columns=(
            "method",
            f"{source.name} (source)",
            *(_heading(data) for data in targets),
            "mean of targets",
        ),
        rows=tuple((row.name, *fields(row)) for row in comparison.rows_for(source)),
        notes=("The mean of targets is taken for each seed, then over seeds.",),
    )
