"""The report of a benchmark: tables, pictures, settings and environment in the folder of the run.

`report.md` is for people; `tables/*.csv` hold the same numbers at full precision; `run.json` says
what was compared, with the hashes of splits, backbone and settings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from skycue.comparison_drawing import draw_critical_difference, draw_score_against_cost
from skycue.drawing import ShotPoint, draw_accuracy_against_shots, draw_confusion
from skycue.evaluation import Evaluation
from skycue.files import write_atomically
from skycue.protocols.benchmark import Outcome
from skycue.protocols.budget import CommonBudget
from skycue.protocols.cells import file_name
from skycue.protocols.costs import cost_points, cost_table
from skycue.protocols.environment import Environment
from skycue.protocols.label_table import has_several_labels, label_table
from skycue.protocols.paired import (
    PairedComparison,
    Scores,
    compare,
    differences_table,
    pairs_table,
    ranks_table,
)
from skycue.protocols.results import Results
from skycue.protocols.scene_data import SEEN
from skycue.protocols.tables import Field, Table, shots_text
from skycue.scene_config import SceneConfig


class DataCard(BaseModel, frozen=True, extra="forbid"):
    """A dataset of a run."""

    name: str
    classes: tuple[str, ...]
    split_sha256: str
    n_train: int
    n_val: int
    n_test: int
    n_excluded: int
    """Test images left out because they nearly equal an image of the backbone's training."""
    is_seen: bool
    """Whether the backbone's training showed it captions of these classes."""


class RunCard(BaseModel, frozen=True, extra="forbid"):
    """What a run compared: written beside its results."""

    protocol: str
    command: str
    backbone: str
    backbone_sha256: str
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    data: tuple[DataCard, ...]
    rows: dict[str, SceneConfig]
    """Settings of each row before `common_budget` and before what other shots ask for; the file of
    each cell has those that it trained by."""
    common_budget: CommonBudget | None
    environment: Environment

    @property
    def config_sha256(self) -> str:
        """Hash of the settings of all rows."""
        settings = {name: config.model_dump_json() for name, config in self.rows.items()}
        if self.common_budget is not None:
            settings[""] = self.common_budget.model_dump_json()
        return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()


def build_card(protocol: str, outcome: Outcome, *, command: str, backbone: str) -> RunCard:
    """Gather what a run compared.

    Args:
        protocol: Its name.
        outcome: The finished run.
        command: The command line that started it.
        backbone: The backbone as it was asked for.
    """
    comparison = outcome.comparison
    return RunCard(
        protocol=protocol,
        command=command,
        backbone=backbone,
        backbone_sha256=outcome.fingerprint,
        shots=comparison.shots,
        seeds=comparison.seeds,
        data=tuple(
            DataCard(
                name=data.name,
                classes=data.split.class_names,
                split_sha256=data.split.sha256,
                n_train=len(data.split.train),
                n_val=len(data.split.val),
                n_test=len(data.test),
                n_excluded=data.n_excluded,
                is_seen=data.is_seen,
            )
            for data in comparison.data
        ),
        rows={row.name: row.config for row in comparison.rows},
        common_budget=outcome.common_budget,
        environment=outcome.environment,
    )


def write_report(folder: Path, card: RunCard, outcome: Outcome) -> Path:
    """Write tables, comparisons, costs, pictures and settings; return the path of `report.md`.

    Everything is derived from the finished cells, so writing it again changes nothing but what
    times and the environment say.
    """
    results, most = outcome.results, outcome.scores[-1]
    more = label_table if has_several_labels(results) else calibration_table
    compared = [found for scores in outcome.scores if (found := compare(scores))]
    parts = [found for scores in outcome.parts if (found := compare(scores))]
    shown = [
        *outcome.tables,
        *map(ranks_table, parts),
        *(table for found in compared for table in (ranks_table(found), differences_table(found))),
        cost_table(results, most),
        more(results, most.shots),
        times_table(results),
    ]
    silent = [
        per_class_table(results, most.shots),
        *map(differences_table, parts),
        *map(pairs_table, (*parts, *compared)),
    ]
    for table in (*shown, *silent):
        write_atomically(folder / "tables" / f"{table.name}.csv", table.csv())
    pictures = [
        *_draw_comparisons(folder / "pictures", compared),
        *_draw_costs(folder / "pictures", results, most),
        *_draw(folder / "pictures", card, results),
    ]
    write_atomically(folder / "run.json", card.model_dump_json(indent=1) + "\n")
    pieces = [_heading(card), *(table.markdown() for table in shown)]
    if pictures:
        pieces.append("\n".join(f"![{path.stem}](pictures/{path.name})" for path in pictures))
    write_atomically(folder / "report.md", "\n".join(pieces) + "\n")
    return folder / "report.md"


def calibration_table(results: Results, shots: int) -> Table:
    """Build the table of expected calibration errors; the longer of exams and methods goes down."""
    places, rows = _places_and_rows(results)
    titles = [f"{data}, {exam}" for data, exam in places]
    errors: list[list[Field]] = [
        [results.calibration_error(row, data, exam, shots=shots) for row in rows]
        for data, exam in places
    ]
    corner, down, across = "trained on, asked about", titles, rows
    if len(rows) > len(places):
        corner, down, across = "method", rows, titles
        errors = [list(column) for column in zip(*errors, strict=True)]
    return Table(
        name=f"calibration_{shots}-shots",
        title=f"Expected calibration error, {shots_text(shots)} (15 bins; 0 is best)",
        columns=(corner, *across),
        rows=tuple((name, *fields) for name, fields in zip(down, errors, strict=True)),
    )


def per_class_table(results: Results, shots: int) -> Table:
    """Build the long table of the accuracy, or average precision, of each class of each exam."""
    measure = "average precision" if has_several_labels(results) else "accuracy"
    seen: dict[tuple[str, str, str, str], None] = {}
    for cell in results.cells:
        for exam in cell.exams:
            for name in exam.evaluation.class_names if exam.evaluation else ():
                seen[cell.data, exam.name, name, cell.row] = None
    return Table(
        name=f"per-class_{shots}-shots",
        title=f"{measure.capitalize()} of each class, {shots_text(shots)}",
        columns=("trained on", "asked about", "class", "method", measure),
        rows=tuple(
            (
                data,
                exam,
                name,
                row,
                results.class_accuracy(row, data, exam, name, shots=shots),
            )
            for data, exam, name, row in seen
            if results.of(row, data, shots)
        ),
    )


def times_table(results: Results) -> Table:
    """Build the table of seconds spent, summed over cells."""
    _, rows = _places_and_rows(results)
    of_row = {row: [cell for cell in results.cells if cell.row == row] for row in rows}
    return Table(
        name="times",
        title="Seconds, summed over cells",
        columns=("method", "cells", "training", "exams"),
        rows=tuple(
            (
                row,
                str(len(cells)),
                f"{sum(cell.cost.fit.seconds for cell in cells if cell.cost.fit):.0f}",
                f"{sum(cell.cost.exam_s for cell in cells):.0f}",
            )
            for row, cells in of_row.items()
        ),
        notes=(
            "Encodings that are kept are not counted. A training that another run left counts with "
            "what it took there.",
        ),
    )


def _places_and_rows(results: Results) -> tuple[list[tuple[str, str]], list[str]]:
    """Return every (data, exam) and every row, in the order in which they were run."""
    places = {(cell.data, exam.name): None for cell in results.cells for exam in cell.exams}
    return list(places), list({cell.row: None for cell in results.cells})


def _heading(card: RunCard) -> str:
    """Return what the run was, before its tables."""
    environment = card.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    lines = [
        f"# {card.protocol}",
        "",
        f"    {card.command}",
        "",
        f"Mean ± sample standard deviation over seeds {', '.join(map(str, card.seeds))}; a single "
        "number has no seeds. Nothing was selected on test images.",
        "",
        card.common_budget.sentence()
        if card.common_budget
        else "Each row trains as its settings say (`run.json`).",
        "",
        f"- backbone {card.backbone}, sha256 {card.backbone_sha256[:16]}; "
        f"settings sha256 {card.config_sha256[:16]} (`run.json`)",
        f"- {environment.device}, processes at a time: {environment.jobs}, threads of each: "
        f"{environment.threads}, cores: {environment.cores}, "
        f"{environment.dtype}, {environment.matmul_gflops} GFLOP/s in matrix multiplication",
        f"- {environment.platform}, Python {environment.python}, {versions}",
    ]
    for data in card.data:
        seen = f"; {SEEN}" if data.is_seen else ""
        lines.append(
            f"- {data.name}: {len(data.classes)} classes, {data.n_train} train, {data.n_val} val, "
            f"{data.n_test} test images ({data.n_excluded} near-duplicates of training images "
            f"left out); split sha256 {data.split_sha256[:16]}{seen}"
        )
    return "\n".join(lines) + "\n"


def _draw_comparisons(folder: Path, compared: Sequence[PairedComparison]) -> list[Path]:
    """Draw the critical difference where there is one."""
    return [
        _write_picture(
            folder,
            f"ranks_{found.scores.shots}-shots",
            draw_critical_difference(found.ranks, found.critical, found.scores.title),
        )
        for found in compared
        if found.critical is not None
    ]


def _draw_costs(folder: Path, results: Results, scores: Scores) -> list[Path]:
    """Draw what rows score against what they cost."""
    panels = cost_points(results, scores)
    if not panels:
        return []
    png = draw_score_against_cost(panels, f"{scores.title}, %", shots_text(scores.shots))
    return [_write_picture(folder, "accuracy-against-cost", png)]


def _draw(folder: Path, card: RunCard, results: Results) -> list[Path]:
    """Draw the confusion of each row at the most shots, and accuracy against shots."""
    written = []
    shots = max(card.shots)
    firsts = {(cell.data, cell.row): cell.exams[0].name for cell in results.cells}
    for (data, row), exam in firsts.items():
        found = [
            each
            for each in results.evaluations(row, data, exam, shots=shots)
            if isinstance(each, Evaluation)
        ]
        if found:
            confusion = np.sum([each.confusion for each in found], axis=0)
            title = f"{row}, {data}: {exam}, {len(found)} seeds"
            png = draw_confusion(confusion, found[0].class_names, title)
            written.append(_write_picture(folder, f"confusion_{data}_{row}", png))
    if len(card.shots) > 1:
        for data in dict.fromkeys(data for data, _ in firsts):
            png = _draw_curves(data, results)
            written.append(_write_picture(folder, f"accuracy-against-shots_{data}", png))
    return written


def _draw_curves(data: str, results: Results) -> bytes:
    """Draw accuracy on the first exam against the number of shots."""
    curves: dict[str, list[ShotPoint]] = {}
    of_data = [cell for cell in results.cells if cell.data == data]
    for row, shots in dict.fromkeys((cell.row, cell.shots) for cell in of_data):
        measure = results.accuracy(row, data, of_data[0].exams[0].name, shots=shots)
        if measure is not None:
            point = ShotPoint(shots, 100 * measure.mean, 100 * measure.std)
            curves.setdefault(row, []).append(point)
    return draw_accuracy_against_shots(curves, f"{data}: {of_data[0].exams[0].name}")


def _write_picture(folder: Path, name: str, png: bytes) -> Path:
    """Write a picture under a name that is safe in files and links."""
    path = folder / f"{file_name(name)}.png"
    write_atomically(path, png)
    return path
