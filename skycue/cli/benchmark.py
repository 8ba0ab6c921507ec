"""`skycue benchmark`: compare methods under a protocol, over datasets, shots and seeds."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated, Literal

import typer

from skycue.cli.options import (
    BackboneOption,
    ConfigOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OutputOption,
    SetOption,
)

Protocol = Literal["base-to-new", "cross-dataset", "domain-shift", "few-shot", "ablation"]


def benchmark(
    protocol: Annotated[Protocol, typer.Argument(help="How to compare.", show_default=False)],
    data: Annotated[
        list[str],
        typer.Option("--data", metavar="NAME=PATH", help="A dataset's folder; repeatable."),
    ],
    output: OutputOption,
    methods: Annotated[
        str,
        typer.Option(
            help="Rows of the table, by commas, or all; zero-shot and linear-probe always."
        ),
    ] = "coop,cocoop,bimors",
    shots: Annotated[str, typer.Option(help="Training images of a class, by commas.")] = "16",
    seeds: Annotated[str, typer.Option(help="Seeds, by commas.")] = "1,2,3",
    backbone: BackboneOption = "mini",
    config: ConfigOption = None,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=1, metavar="N", help="Processes that share the work and the cores."
        ),
    ] = 1,
    force: ForceOption = False,
) -> None:
    """Compare methods and write tables, pictures and one JSON file per seed into a folder.

    A run that was killed goes on when the same command is given again. The last line on standard
    output is the path of the report.
    """
    from skycue.config import load_config  # heavy: imported when used
    from skycue.protocols.benchmark import BenchmarkConfig, Request, run_benchmark
    from skycue.reports import build_card, write_report

    request = Request(
        protocol=protocol,
        data=tuple(data),
        methods=_words(methods),
        shots=numbers_of(shots, "--shots"),
        seeds=numbers_of(seeds, "--seeds"),
        backbone=backbone,
        folder=output,
        device=device,
        dtype=dtype,
        force=force,
        jobs=jobs,
    )
    outcome = run_benchmark(request, load_config(BenchmarkConfig, config, settings or ()))
    command = shlex.join(["skycue", *sys.argv[1:]])
    card = build_card(protocol, outcome, command=command, backbone=backbone)
    typer.echo(str(write_report(output, card, outcome)))


def _words(text: str) -> tuple[str, ...]:
    """Split at commas, each word once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def numbers_of(text: str, option: str) -> tuple[int, ...]:
    """Read whole numbers of at least 1, in rising order."""
    words = _words(text)
    if not words or any(not word.isdecimal() or int(word) < 1 for word in words):
        raise typer.BadParameter(
            f"{text!r} is no list of whole numbers of at least 1: {option} 1,4"
        )
    return tuple(sorted(int(word) for word in words))
