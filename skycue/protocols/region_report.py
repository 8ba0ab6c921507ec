"""Tables and report of a region benchmark.

`report.md` is for people; `tables/*.csv` hold the same numbers at full precision; `run.json` says
what was compared. All of it is derived from the finished cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from skycue.files import write_atomically
from skycue.protocols.cells import file_name
from skycue.protocols.environment import Environment
from skycue.protocols.region_runs import PROMPT_SEED, RegionCell
from skycue.protocols.regions import RegionRun
from skycue.protocols.tables import Field, Measure, Table
from skycue.region_recipe import RegionTrainingConfig
from skycue.region_scores import COLUMNS, meaning_of


class RegionSetCard(BaseModel, frozen=True, extra="forbid"):
    """A set of a run."""

    name: str
    sha256: str
    n_records: int
    n_images: int


class RegionRunCard(BaseModel, frozen=True, extra="forbid"):
    """What a run compared: written beside its results."""

    command: str
    seeds: tuple[int, ...]
    prompt_seed: int
    """Of shuffled and jittered boxes."""
    data: tuple[RegionSetCard, ...]
    variants: dict[str, RegionTrainingConfig]
    """Complete recipe of each."""
    models: dict[str, str]
    """Finished models by the name of their row."""
    starts: tuple[str, ...]
    """Models that variants are fine-tuned from, with letters of their weights' hashes."""
    references: tuple[str, ...]
    """Rows that the others are compared with; empty, the first."""
    environment: Environment


def build_card(
    run: RegionRun, *, starts: Sequence[str], command: str, environment: Environment
) -> RegionRunCard:
    """Gather what a run compared.

    Args:
        run: As it was asked for.
        starts: What the models that variants start from call themselves.
        command: The command line that started it.
        environment: Where it was computed.
    """
    return RegionRunCard(
        command=command,
        seeds=run.seeds,
        prompt_seed=PROMPT_SEED,
        data=tuple(
            RegionSetCard(
                name=each.name,
                sha256=each.sha256,
                n_records=len(each.records),
                n_images=len({record.image for record in each.records}),
            )
            for each in run.data
        ),
        variants={row.name: row.recipe for row in run.rows if row.recipe is not None},
        models={row.name: row.model for row in run.rows if row.recipe is None},
        starts=tuple(starts),
        references=run.references,
        environment=environment,
    )


def build_tables(cells: Sequence[RegionCell], references: Sequence[str] = ()) -> list[Table]:
    """Build, for each set, the table of all columns and those of differences to some rows.

    Args:
        cells: All results.
        references: Rows that the others are compared with; empty, the first.
    """
    tables = []
    for data in dict.fromkeys(cell.data for cell in cells):
        of_data = [cell for cell in cells if cell.data == data]
        tables.append(_columns_table(data, of_data))
        rows = list(_rows(of_data))
        if len(rows) > 1:
            compared = references or rows[:1]
            tables += [_differences_table(data, of_data, reference) for reference in compared]
    return [*tables, _times_table(cells)]


def write_region_report(folder: Path, card: RegionRunCard, cells: Sequence[RegionCell]) -> Path:
    """Write tables and settings, and return the path of `report.md`."""
    tables = build_tables(cells, card.references)
    for table in tables:
        write_atomically(folder / "tables" / f"{table.name}.csv", table.csv())
    write_atomically(folder / "run.json", card.model_dump_json(indent=1) + "\n")
    pages = [_heading(card), *(table.markdown() for table in tables), _legend(cells)]
    write_atomically(folder / "report.md", "\n".join(pages))
    return folder / "report.md"


def _columns_table(data: str, cells: Sequence[RegionCell]) -> Table:
    """Build the table of all columns over the rows of one set."""
    columns = _columns(cells)
    return Table(
        name=file_name(f"regions_{data}"),
        title=f"{data}: mean ± standard deviation over seeds, times 100",
        columns=("variant", *columns),
        rows=tuple(
            (row, *(_measure(of_row, column) for column in columns))
            for row, of_row in _rows(cells).items()
        ),
        notes=(_facts(cells[0]),),
    )


def _differences_table(data: str, cells: Sequence[RegionCell], reference: str) -> Table:
    """Build the table of differences to a row, seed by seed."""
    columns, rows = _columns(cells), _rows(cells)
    return Table(
        name=file_name(f"regions_{data}_differences to {reference}"),
        title=f"{data}: difference to {reference}, times 100",
        columns=("variant", *columns),
        rows=tuple(
            (row, *(_difference(rows[row], rows[reference], column) for column in columns))
            for row in rows
            if row != reference
        ),
        notes=(
            "Differences are taken seed by seed, on the same boxes; a model with another number "
            "of seeds is not applicable.",
        ),
    )


def _times_table(cells: Sequence[RegionCell]) -> Table:
    """Build the table of seconds spent."""
    return Table(
        name="times",
        title="Seconds, summed over seeds",
        columns=("variant", "training", "describing and measuring"),
        rows=tuple(
            (
                row,
                f"{sum({cell.seed: cell.train_s for cell in of_row}.values()):.0f}",
                f"{sum(cell.exam_s for cell in of_row):.0f}",
            )
            for row, of_row in _rows(cells).items()
        ),
    )


def _rows(cells: Sequence[RegionCell]) -> dict[str, list[RegionCell]]:
    """Sort cells by their row, in order."""
    rows: dict[str, list[RegionCell]] = {}
    for cell in cells:
        rows.setdefault(cell.row, []).append(cell)
    return rows


def _columns(cells: Sequence[RegionCell]) -> list[str]:
    """Return all columns that occur, in the order of `COLUMNS`."""
    found = {column for cell in cells for column in cell.scores.columns}
    order = list(COLUMNS)
    return sorted(found, key=lambda column: (order.index(column.partition("@")[0]), column))


def _measure(cells: Sequence[RegionCell], column: str) -> Measure | None:
    """Return a column over seeds; None where a seed has no such number."""
    values = [cell.scores.columns.get(column) for cell in cells]
    numbers = tuple(value for value in values if value is not None)
    return Measure(numbers) if numbers and len(numbers) == len(values) else None


def _difference(cells: Sequence[RegionCell], reference: Sequence[RegionCell], column: str) -> Field:
    """Return the difference of two rows of the same seeds."""
    ours, theirs = _measure(cells, column), _measure(reference, column)
    if [cell.seed for cell in cells] != [cell.seed for cell in reference] or not ours or not theirs:
        return None
    return ours.minus(theirs)


def _facts(cell: RegionCell) -> str:
    """Say how much stands behind the numbers of a set; what depends on the model is left out."""
    scores = cell.scores
    counts = [
        f"{scores.counts[words]} {words}"
        for words in (
            "prompts with a look-alike",
            "records alone in their image, not shuffled",
            "records without a prompted object",
        )
        if words in scores.counts
    ]
    return "; ".join([f"{scores.n_records} boxes on {scores.n_images} images", *counts]) + "."


def _heading(card: RegionRunCard) -> str:
    """Return what stands above the tables."""
    environment = card.environment
    versions = ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    seeds = ", ".join(str(seed) for seed in card.seeds)
    lines = [
        "# Benchmark of region models",
        "",
        f"    {card.command}",
        "",
        f"Seeds {seeds} of the trainings; shuffled and jittered boxes are the same for all rows. "
        "Complete recipes stand in `run.json`.",
        "",
        f"- {environment.device}, {environment.threads} threads of {environment.cores} cores, "
        f"{environment.dtype}, {environment.matmul_gflops} GFLOP/s in matrix multiplication",
        f"- {environment.platform}, Python {environment.python}, {versions}",
    ]
    lines += [
        f"- {each.name}: {each.n_records} boxes on {each.n_images} images; "
        f"sha256 {each.sha256[:16]}"
        for each in card.data
    ]
    if card.starts:
        lines.append(f"- variants start from {', '.join(card.starts)}")
    return "\n".join(lines) + "\n"


def _legend(cells: Sequence[RegionCell]) -> str:
    """Say what the columns mean."""
    lines = [f"- `{column}`: {meaning_of(column)}" for column in _columns(cells)]
    return "\n".join(["### Columns", "", *lines]) + "\n"
