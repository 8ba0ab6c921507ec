"""Domain shift: the same classes, learned from one dataset and told apart on another.

After the single-source domain generalisation of Singha et al., "APPLeNet", CVPRW 2023,
https://arxiv.org/abs/2304.05995: label space and names stay, only sensor, resolution and place
change. Every ordered pair of datasets is run on the classes that the pair shares; of three or more
datasets a second table has the classes that all of them share. Which classes mean the same, with
doubtful merges, is written in `data/datasets/shared_classes.py`, or said in the configuration.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

from skycue.data.datasets.shared_classes import SharedClass, labels_of, mapping_of, shared_by
from skycue.data.scenes import SceneItem, relabel
from skycue.errors import DatasetError
from skycue.protocols.cells import Cell, Comparison, Exam, Targets, draw_cells
from skycue.protocols.paired import SEEN_OR_NOT, Scores
from skycue.protocols.results import Results
from skycue.protocols.scene_data import SceneData
from skycue.protocols.tables import Field, Measure, Table, shots_text

logger = logging.getLogger(__name__)

NAME = "domain-shift"
MIN_CLASSES = 5
"""A pair that shares fewer classes is not run, unless the configuration says which they are."""
SOURCE = "source"


def plan(comparison: Comparison) -> list[Cell]:
    """List the cells: each row on each pair, and on each source with the common classes.

    Raises:
        DatasetError: If a dataset's classes are not mapped, or no pair shares enough of them.
    """
    cells = []
    for source, target, classes in _pairs(comparison):
        cells += _cells_of(comparison, pair_name(source, target), classes, source, [target])
    if not cells:
        raise DatasetError(
            f"no two of {', '.join(data.name for data in comparison.data)} share "
            f"{_least(comparison)} classes: nothing to run."
        )
    common = _common(comparison)
    for source in comparison.data if common else ():
        others = [data for data in comparison.data if data is not source]
        cells += _cells_of(comparison, common_name(source), common, source, others)
    return cells


def tables(comparison: Comparison, results: Results) -> list[Table]:
    """Build a table of pairs and one of the common classes for each number of shots."""
    subjects = {"pairs": ("classes of each pair", _places_of_pairs(comparison))}
    if classes := _common(comparison):
        subjects["common"] = (
            ", ".join(shared.name for shared in classes),
            [
                _Place(
                    title=pair_name(source, target),
                    data=common_name(source),
                    exam=target.name,
                    doubts=_doubts(classes, source, target),
                )
                for source, target in permutations(comparison.data, 2)
            ],
        )
    measure = comparison.data[0].measure
    return [
        Table(
            name=f"{NAME}_{kind}_{shots}-shots",
            title=f"Domain shift, {subject}, {shots_text(shots)}: {measure} on the target, %",
            columns=("source to target", *(row.name for row in comparison.rows)),
            rows=_lines(places, comparison, shots, results),
            notes=_notes(places),
        )
        for shots in comparison.shots
        for kind, (subject, places) in subjects.items()
    ]


def scores(
    comparison: Comparison, results: Results, shots: int, targets: Targets = "all"
) -> Scores:
    """Return the accuracy on the target of each row from each source, on a pair's classes."""
    return Scores(
        title=f"{comparison.data[0].measure.removeprefix('top-1 ')} on the target",
        shots=shots,
        targets=targets,
        of_place={
            place.data: {
                row.name: results.accuracy(row.name, place.data, place.exam, shots=shots)
                for row in comparison.rows
            }
            for place in _asked(_places_of_pairs(comparison), comparison, targets)
        },
    )


class _Place(NamedTuple):
    """A line of a table."""

    title: str
    data: str
    exam: str
    doubts: tuple[str, ...]
    """Merges of classes that one may doubt."""


def _places_of_pairs(comparison: Comparison) -> list[_Place]:
    """Return a line for each pair that shares enough classes."""
    return [
        _Place(
            title=f"{pair_name(source, target)} ({len(classes)} classes)",
            data=pair_name(source, target),
            exam=target.name,
            doubts=_doubts(classes, source, target),
        )
        for source, target, classes in _pairs(comparison)
    ]


def _asked(places: Sequence[_Place], comparison: Comparison, targets: Targets) -> list[_Place]:
    """Keep the lines whose target counts."""
    names = {data.name for data in comparison.asked(targets)}
    return [place for place in places if place.exam in names]


def pair_name(source: SceneData, target: SceneData) -> str:
    """Name an ordered pair."""
    return f"{source.name} to {target.name}"


def common_name(source: SceneData) -> str:
    """Name a source that is learned with the common classes only."""
    return f"{source.name}, common classes"


def _mapping(comparison: Comparison) -> tuple[SharedClass, ...]:
    """Return which classes mean the same."""
    names = [data.name for data in comparison.data]
    given = comparison.shared_classes
    if given is None:
        return mapping_of(names)
    for name in names:
        if not shared_by(given, [name]):
            raise DatasetError(f"no class in `shared_classes` names folders of {name}: add them.")
    return given


def _least(comparison: Comparison) -> int:
    """Return how many classes a pair must share to be run."""
    return MIN_CLASSES if comparison.shared_classes is None else 2


def _common(comparison: Comparison) -> tuple[SharedClass, ...]:
    """Return the classes that all datasets share; none of two, which are a pair."""
    if len(comparison.data) < 3:
        return ()
    classes = shared_by(_mapping(comparison), [data.name for data in comparison.data])
    return classes if len(classes) > 1 else ()


def _pairs(
    comparison: Comparison,
) -> list[tuple[SceneData, SceneData, tuple[SharedClass, ...]]]:
    """Return the ordered pairs that share enough classes, with these."""
    mapping, pairs = _mapping(comparison), []
    for source, target in permutations(comparison.data, 2):
        classes = shared_by(mapping, [source.name, target.name])
        if len(classes) >= _least(comparison):
            pairs.append((source, target, classes))
        else:
            logger.warning("%s: %d shared classes only", pair_name(source, target), len(classes))
    return pairs


def _cells_of(
    comparison: Comparison,
    name: str,
    classes: Sequence[SharedClass],
    source: SceneData,
    targets: Sequence[SceneData],
) -> list[Cell]:
    """List the cells of one source; the targets are asked first, then the source itself."""
    class_names = tuple(shared.name for shared in classes)
    parts = (
        _part(source, source.split.train, classes),
        _part(source, source.split.val, classes),
    )
    asked = [(data.name, data) for data in targets] + [(SOURCE, source)]
    exams = [Exam(called, class_names, _part(data, data.test, classes)) for called, data in asked]
    return [
        cell
        for row in comparison.rows_for(source)
        for cell in draw_cells(comparison, row, name, class_names, parts, exams)
    ]


def _part(
    data: SceneData, items: Sequence[SceneItem], classes: Sequence[SharedClass]
) -> tuple[SceneItem, ...]:
    """Keep the images of shared classes, with the shared labels."""
    try:
        return relabel(items, data.split.class_names, labels_of(classes, data.name))
    except DatasetError as error:
        raise DatasetError(f"shared classes of {data.name}: {error}") from error


def _lines(
    places: Sequence[_Place], comparison: Comparison, shots: int, results: Results
) -> tuple[tuple[Field, ...], ...]:
    """Return a line for each place, then means of them, taken for each seed first."""

    def fields(place: _Place) -> list[Measure | None]:
        return [
            results.accuracy(row.name, place.data, place.exam, shots=shots)
            for row in comparison.rows
        ]

    def means(targets: Targets) -> list[Measure | None]:
        columns = zip(*map(fields, _asked(places, comparison, targets)), strict=True)
        return [Measure.average(column) for column in columns]

    return (
        *((place.title, *fields(place)) for place in places),
        *(
            (f"mean{SEEN_OR_NOT[part]}", *means(part))
            for part in comparison.parts
            if _asked(places, comparison, part)
        ),
        ("mean", *means("all")),
    )


def _doubts(
    classes: Sequence[SharedClass], source: SceneData, target: SceneData
) -> tuple[str, ...]:
    """Say why classes of a pair may mean something else."""
    return tuple(
        f"{shared.name} in {data.name}: {shared.doubts[data.name]}"
        for shared in classes
        for data in (source, target)
        if data.name in shared.doubts
    )


def _notes(places: Sequence[_Place]) -> tuple[str, ...]:
    """Name each doubtful merge once."""
    doubts = sorted({doubt for place in places for doubt in place.doubts})
    return (f"Doubtful merges. {'; '.join(doubts)}.",) if doubts else ()
