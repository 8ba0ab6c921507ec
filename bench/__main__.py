"""Ask questions and put the answers into the table of `docs/benchmarks.md`.

    python -m bench [SCRIPT ...] [--threads N] [--rounds N] [--clock wall|cpu] [-o PAGE]

Each script runs in a process of its own, one after the other, all if none is named. Its rows of the
table are replaced when it has ended; other rows, and the text around the table, stay.
"""

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import torch

from bench.fit_time import DATA
from bench.timing import ROUNDS, Clock, Options, Result

SCRIPTS = (
    "text_encoding",
    "method_steps",
    "scoring",
    "image_encoding",
    "fit_memory",
    "fit_time",
    "cli_start",
    "rendering",
    "region_boxes",
    "raster_boxes",
    "generation_cache",
    "many_phrases",
    "sam_boxes",
    "server",
    "archive",
    "archive_driver",
    "tiling",
    "embedding_store",
)
"""The questions, in the order of the table; how each is asked stands in its script."""
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
TABLE = """| script | question | answer | target | met | how | measured |
| --- | --- | --- | --- | --- | --- | --- |
"""


def ask(script: str, options: Options) -> list[Result]:
    """Run one script and read its answers."""
    command = [sys.executable, "-m", f"bench.{script}", "--threads", str(options.threads)]
    if script != "fit_time":
        command += ["--rounds", str(options.rounds), "--clock", options.clock]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(answer.stdout, end="", flush=True)
    return [Result.model_validate_json(line) for line in answer.stdout.splitlines()]


def with_rows(page: str, script: str, rows: Sequence[str]) -> str:
    """Replace the rows of one script in the table of a page; scripts stand in their order.

    Raises:
        ValueError: If the page has no such table.
    """
    before, head, table = page.partition(TABLE)
    if not head:
        raise ValueError(f"no table of benchmarks that begins with {TABLE.splitlines()[0]!r}.")
    lines = table.splitlines(keepends=True)
    n_rows = next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))
    others = [line for line in lines[:n_rows] if _script_of(line) != script]
    place = SCRIPTS.index(script)
    earlier = [line for line in others if SCRIPTS.index(_script_of(line)) < place]
    own = [f"| `{script}` {row}\n" for row in rows]
    return before + head + "".join([*earlier, *own, *others[len(earlier) :], *lines[n_rows:]])


def _script_of(row: str) -> str:
    return row.split("`", 2)[1]


def _processor() -> str:
    """Name the processor where the system says it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Run scripts, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="all, if none is named")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--clock", choices=list(get_args(Clock)), default="wall")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, metavar="PAGE")
    given = parser.parse_args()
    if unknown := sorted(set(given.scripts) - set(SCRIPTS)):
        parser.error(f"no script {unknown[0]!r}; there are {', '.join(SCRIPTS)}")
    options = Options(given.threads, given.rounds, given.clock)
    scripts = list(given.scripts or SCRIPTS)
    if "fit_time" in scripts and not DATA.is_dir():
        scripts.remove("fit_time")
        print(f"fit_time is left out: no images in {DATA}", file=sys.stderr)
    today, machine = datetime.now(UTC).date().isoformat(), _processor()
    for script in scripts:
        rows = [result.row(today, machine) for result in ask(script, options)]
        page = with_rows(given.output.read_text(encoding="utf-8"), script, rows)
        given.output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
