"""Put the tables of runs of all methods into `docs/comparison.md`, below what people wrote.

Run as `python -m docs.family RUNS`, where RUNS holds a folder for each protocol, as
`docs/results_family.sh` makes them. First comes one table over all protocols, then their reports.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.results import check_one_backbone, section
from skycue.files import write_atomically

PAGE = Path(__file__).parent / "comparison.md"
MARK = "<!-- Below: python -m docs.family RUNS -->"
PROTOCOLS = ("base-to-new", "cross-dataset", "few-shot", "domain-shift")
"""Folders of runs under one budget, in the order of the page."""
PUBLISHED = "published"
"""Folder of the run of base to new in which each method trains as its authors did."""
HEADINGS = {name: name for name in PROTOCOLS} | {PUBLISHED: "base-to-new, trained as published"}
"""What the page heads each run with."""
SHOWN_PICTURES = re.compile(r"(ranks|accuracy-against)[-_].*\.png")
COSTS = ("learned numbers", "fit, s", "images a second", "peak memory, MB")
"""Columns of the table of costs that the summary shows, from the first run."""


def summary(folders: list[Path]) -> str:
    """Return the table over all protocols: mean score and mean rank in each, then what it costs."""
    ranks = {folder.name: _table(folder, "ranks") for folder in folders}
    costs = _table(folders[0], "costs")
    heads = ["method", *(f"{name}: mean, % (rank)" for name in ranks), *COSTS]
    lines = ["## All protocols", "", *_lines([heads, ["---", *["---:"] * (len(heads) - 1)]])]
    for method, cost in costs.items():
        scores = [_score(table.get(method)) for table in ranks.values()]
        lines += _lines([[method, *scores, *(cost[name] for name in COSTS)]])
    note = (
        "Means over places and seeds at the most shots of each run, of what its paired comparison "
        f"calls the score; ranks are mean ranks, 1 the best. Costs are those of {folders[0].name}."
    )
    return "\n".join([*lines, "", note, ""])


def _table(folder: Path, kind: str) -> dict[str, dict[str, str]]:
    """Return the lines of a run's table by method; of several numbers of shots the most."""
    files = (folder / "tables").glob(f"{kind}_*-shots.csv")
    most = max(files, key=lambda path: int(path.stem.removeprefix(f"{kind}_").split("-")[0]))
    with most.open(encoding="utf-8", newline="") as file:
        return {line["method"]: line for line in csv.DictReader(file)}


def _score(line: dict[str, str] | None) -> str:
    """Return "81.2 (3.50)"; a method without a score everywhere was not compared."""
    if line is None:
        return "not applicable"
    return f"{100 * float(line['mean, % mean']):.1f} ({line['mean rank']})"


def _lines(rows: list[list[str]]) -> Iterator[str]:
    for row in rows:
        yield "| " + " | ".join(row) + " |"


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
