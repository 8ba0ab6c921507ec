"""Ask all questions and write `docs/benchmarks.md`.

    python -m bench [--threads N] [--clock wall|cpu] [-o FILE]

Each script runs in a process of its own, one after the other.
"""

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

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
HEADER = """# Speed and memory

Made by `make bench` (`python -m bench`), which runs every script of `bench/`; each of them runs
alone too, such as `python -m bench.text_encoding`. A script says in its first lines what it
compares. Both sides of a ratio have the same inputs, float32 and the same threads; their outputs
and gradients are compared first (largest difference at most 1e-4 of the largest value); then they
run in turns and the best of a few rounds counts. The reference is the straightforward way, written
in `bench/reference.py` and `bench/released_ways.py`, or that of `transformers` where its name
stands.
Weights are random, which changes no time, except where `mini` is named. Peak memory is that of a
process that does nothing else, PyTorch included.

Measured {date}, PyTorch {torch}, {machine}, {cores} cores, threads used: {threads}, {clock}.
The matrix rate (GFLOP/s, float32) is that of the same run; load is the machine's average number of
running processes in that minute: above {cores}, others took part of the machine, and commands timed
by the wall clock would be quicker on a quiet one.

| question | answer | target | met | how | threads | matrix rate | load |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
CLOCKS: dict[Clock, str] = {
    "wall": "by the wall clock",
    "cpu": "by\nprocessor time, without waiting for other processes (whole commands: "
    "by the\nwall clock)",
}


def ask(script: str, options: Options) -> list[Result]:
    """Run one script and read its answers."""
    command = [sys.executable, "-m", f"bench.{script}", "--threads", str(options.threads)]
    if script != "fit_time":
        command += ["--rounds", str(options.rounds), "--clock", options.clock]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(answer.stdout, end="", flush=True)
    return [Result.model_validate_json(line) for line in answer.stdout.splitlines()]


def page(results: list[Result], options: Options) -> str:
    """Return the page with the table."""
    header = HEADER.format(
        date=datetime.now(UTC).date().isoformat(),
        torch=torch.__version__,
        machine=_processor(),
        cores=os.cpu_count(),
        threads=options.threads,
        clock=CLOCKS[options.clock],
    )
    return header + "".join(f"{result.row()}\n" for result in results)


def _processor() -> str:
    """Name the processor where the system says it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Run what can be run here and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    given = parser.parse_args()
    options = Options(given.threads, given.rounds, given.clock)
    scripts = list(SCRIPTS)
    if not DATA.is_dir():
        scripts.remove("fit_time")
        print(f"fit_time is left out: no images in {DATA}", file=sys.stderr)
    results = [result for script in scripts for result in ask(script, options)]
    given.output.write_text(page(results, options), encoding="utf-8")


if __name__ == "__main__":
    main()
