"""Tables of results over seeds, as Markdown for people and CSV for programs."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

NOT_APPLICABLE = "not applicable"
"""Stands where a method cannot answer, such as a linear probe on classes it has not learned."""


@dataclass(frozen=True)
class Measure:
    """One measure over seeds."""

    values: tuple[float, ...]
    """One number a seed, as shares in [0, 1]."""
    is_percent: bool = True
    """Shown times 100 with one decimal; otherwise as it is with three."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds (divided by n - 1); NaN for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan

    @classmethod
    def average(cls, measures: Iterable[Measure | None]) -> Measure | None:
        """Average measures seed by seed; None if one of them is missing.

        A measure without seeds of its own (zero-shot) counts with its one number at every seed.
        """
        present = list(measures)
        known = [measure for measure in present if measure is not None]
        if not known or len(known) < len(present):
            return None
        n_seeds = max(len(measure.values) for measure in known)
        rows = [m.values * n_seeds if len(m.values) == 1 else m.values for m in known]
        return cls(tuple(statistics.fmean(of_seed) for of_seed in zip(*rows, strict=True)))

    def minus(self, other: Measure) -> Measure:
        """Return the difference of each seed: its deviation leaves out what seeds share."""
        return Measure(tuple(a - b for a, b in zip(self.values, other.values, strict=True)))

    def text(self) -> str:
        """Return "81.2 ± 0.9", or the number alone where there is one seed."""
        scale, digits = (100, 1) if self.is_percent else (1, 3)
        mean = f"{scale * self.mean:.{digits}f}"
        return mean if math.isnan(self.std) else f"{mean} ± {scale * self.std:.{digits}f}"


Field: TypeAlias = Measure | str | None
"""What stands in a table: a measure, words, or None for `NOT_APPLICABLE`."""


@dataclass(frozen=True)
class Table:
    """A named table whose first columns are words."""

    name: str
    """File name without its ending."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Field, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences below the table: what the numbers are and what limits them."""

    def markdown(self) -> str:
        """Return the table under its title, numbers as percent "mean ± standard deviation"."""
        lines = [f"### {self.title}", ""]
        lines += _markdown_row(self.columns)
        lines += _markdown_row("---" if i == 0 else "---:" for i in range(len(self.columns)))
        for row in self.rows:
            lines += _markdown_row(_text(field) for field in row)
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Return the table with columns `mean`, `std` and `seeds` for each measured column.

        Numbers are shares in [0, 1] at full precision; what is not applicable stays empty.
        """
        measured = [
            any(isinstance(row[i], Measure) for row in self.rows) for i in range(len(self.columns))
        ]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        header: list[str] = []
        for column, is_measured in zip(self.columns, measured, strict=True):
            ends = (" mean", " std", " seeds") if is_measured else ("",)
            header += [column + end for end in ends]
        writer.writerow(header)
        for row in self.rows:
            fields: list[str] = []
            for field, is_measured in zip(row, measured, strict=True):
                fields += _csv_fields(field) if is_measured else [_text(field)]
            writer.writerow(fields)
        return buffer.getvalue()


def shots_text(shots: int) -> str:
    """Return "1 shot" or "16 shots"."""
    return "1 shot" if shots == 1 else f"{shots} shots"


def _markdown_row(fields: Iterable[str]) -> list[str]:
    """Return one line of a Markdown table; a bar inside a field would end it."""
    return ["| " + " | ".join(field.replace("|", "\\|") for field in fields) + " |"]


def _text(field: Field) -> str:
    """Return what a reader sees."""
    if field is None:
        return NOT_APPLICABLE
    return field.text() if isinstance(field, Measure) else field


def _csv_fields(field: Field) -> list[str]:
    """Return mean, standard deviation and number of seeds; empty where there is none."""
    if not isinstance(field, Measure):
        return ["", "", ""]
    std = "" if math.isnan(field.std) else repr(field.std)
    return [repr(field.mean), std, str(len(field.values))]
