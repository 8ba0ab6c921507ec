"""Put the tables of runs of all methods into `docs/comparison.md`, below what people wrote.

Run as `python -m docs.family RUNS`, where RUNS holds a folder for each protocol, as
`docs/results_family.sh` makes them. First come tables over all protocols, then their reports.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.results import check_one_backbone, section
from skycue.files import write_atomically
from skycue.protocols.tables import NOT_APPLICABLE

PAGE = Path(__file__).parent / "comparison.md"
MARK = "<!-- Below: python -m docs.family RUNS -->"
PROTOCOLS = ("base-to-new", "cross-dataset", "few-shot", "domain-shift")
"""Folders of runs under one budget, in the order of the page."""
PUBLISHED = {
    "published": "base-to-new, trained as published",
    "published-few-shot": "few-shot, trained as published",
}
"""Folders of the runs in which each method trains as its authors did, and what heads them."""
HEADINGS = {name: name for name in PROTOCOLS} | PUBLISHED
"""What the page heads each run with."""
SHOWN_PICTURES = re.compile(r"(ranks|accuracy-against)[-_].*\.png")
COSTS = ("learned numbers", "fit, s", "images a second", "scoring, ms", "peak memory, MB")
"""Columns of the table of costs that the summary shows, from the first run."""


def summary(folders: list[Path]) -> str:
    """Return the tables over all protocols: mean scores and ranks in each, then what rows cost.

    First come the targets that the backbone has not seen: only they say something about new data.
    """
    costs = _table(folders[0], "costs")
    unseen = [_column(folder, "ranks-unseen") for folder in folders]
    whole = [_column(folder, "ranks") for folder in folders]
    cost = [(name, {row: line[name] for row, line in costs.items()}) for name in COSTS]
    note = (
        "Means over places and seeds at the most shots of each run, of what its paired comparison "
        f"calls the score; ranks are mean ranks, 1 the best. Costs are those of {folders[0].name}."
    )
    return "\n".join(
        [
            *("## All protocols", "", "### Targets that the backbone has not seen", ""),
            *_lines(list(costs), unseen),
            *("", "### All targets, and costs", ""),
            *_lines(list(costs), [*whole, *cost]),
            *("", note, ""),
        ]
    )


def _column(folder: Path, kind: str) -> tuple[str, dict[str, str]]:
    """Return a head and what stands below it for each row that was compared."""
    scores = {name: _score(line) for name, line in _table(folder, kind).items()}
    return f"{folder.name}: mean, % (rank)", scores


def _table(folder: Path, kind: str) -> dict[str, dict[str, str]]:
    """Return the lines of a run's table by method; of several numbers of shots the most."""
    files = (folder / "tables").glob(f"{kind}_*-shots.csv")
    most = max(files, key=lambda path: int(path.stem.removeprefix(f"{kind}_").split("-")[0]))
    with most.open(encoding="utf-8", newline="") as file:
        return {line["method"]: line for line in csv.DictReader(file)}


def _score(line: dict[str, str]) -> str:
    """Return "81.2 (3.50)"."""
    return f"{100 * float(line['mean, % mean']):.1f} ({line['mean rank']})"


def _lines(rows: list[str], columns: list[tuple[str, dict[str, str]]]) -> Iterator[str]:
    """Yield a table; a row without a score in every place was not compared."""
    yield "| method | " + " | ".join(head for head, _ in columns) + " |"
    yield "| --- |" + " ---: |" * len(columns)
    for row in rows:
        fields = [column.get(row, NOT_APPLICABLE) for _, column in columns]
        yield f"| {row} | " + " | ".join(fields) + " |"


def main(arguments: list[str]) -> None:
    """Rewrite the page below its mark."""
    runs = Path(arguments[0])
    folders = [runs / name for name in HEADINGS if (runs / name / "report.md").is_file()]
    compared = [folder for folder in folders if folder.name in PROTOCOLS]
    if not compared:
        raise SystemExit(f"no finished run in {runs}: make them by docs/results_family.sh")
    check_one_backbone(folders)
    written, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    sections = [
        section(
            folder, HEADINGS[folder.name], shown=SHOWN_PICTURES, prefix=f"family_{folder.name}_"
        )
        for folder in folders
    ]
    write_atomically(PAGE, "\n".join([written + MARK, "", summary(compared), *sections]))


if __name__ == "__main__":
    main(sys.argv[1:])
