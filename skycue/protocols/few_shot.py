"""Few-shot classification: K images of each class teach, the whole test part is asked.

The setting of Zhou et al., "Learning to Prompt for Vision-Language Models" (CoOp), IJCV 2022,
section 4.1, https://arxiv.org/abs/2109.01134: train and test share their classes, and the draw of
a seed is the same for all methods.
"""

from __future__ import annotations

from skycue.protocols.cells import Cell, Comparison, Exam, Targets, draw_cells
from skycue.protocols.paired import Scores
from skycue.protocols.results import Results
from skycue.protocols.tables import Table, shots_text

TEST = "test"


def plan(comparison: Comparison) -> list[Cell]:
    """List the cells: each row on each dataset, for each number of shots and seed."""
    return [
        cell
        for data in comparison.data
        for row in comparison.rows_for(data)
        for cell in draw_cells(
            comparison,
            row,
            data.name,
            data.split.class_names,
            (data.split.train, data.split.val),
            [Exam(TEST, data.split.class_names, data.test)],
        )
    ]


def scores(
    comparison: Comparison, results: Results, shots: int, targets: Targets = "all"
) -> Scores:
    """Return the accuracy of each row on each dataset."""
    return Scores(
        title=f"few-shot {comparison.data[0].measure}",
        shots=shots,
        targets=targets,
        of_place={
            data.name: {
                row.name: results.accuracy(row.name, data.name, TEST, shots=shots)
                for row in comparison.rows_for(data)
            }
            for data in comparison.asked(targets)
        },
    )


def tables(comparison: Comparison, results: Results) -> list[Table]:
    """Build one table for each dataset: rows are methods, columns numbers of shots."""
    return [
        Table(
            name=f"few-shot_{data.name}",
            title=(
                f"Few-shot on {data.name}{data.mark}: {data.measure} on {len(data.test)} test "
                "images, %"
            ),
            columns=(
                "method",
                *map(shots_text, comparison.shots),
            ),
            rows=tuple(
                (
                    row.name,
                    *(
                        results.accuracy(row.name, data.name, TEST, shots=shots)
                        for shots in comparison.shots
                    ),
                )
                for row in comparison.rows_for(data)
            ),
        )
        for data in comparison.data
    ]
