"""The `skycue` command: its subcommands, its logging, and how it ends.

Importing this module must stay cheap, for `skycue --help` imports it all: the modules of the
commands import torch, transformers and the like inside their functions
(`tests/cli/test_app.py`).
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from typer.core import TyperGroup

from skycue import __version__
from skycue.cli import (
    benchmark,
    benchmark_regions,
    caption,
    classify,
    convert,
    data,
    data_labels,
    data_regions,
    data_render,
    describe,
    doctor,
    evaluate,
    evaluate_regions,
    export,
    fit,
    run,
    serve,
    split,
    train,
)
from skycue.errors import SkycueError

ORDER = (
    "doctor",
    "convert",
    "split",
    "data",
    "caption",
    "fit",
    "classify",
    "describe",
    "evaluate",
    "evaluate regions",
    "benchmark",
    "benchmark regions",
    "train",
    "run",
    "export",
    "serve",
)
"""Subcommands in the order of a user's work."""


class CommandGroup(TyperGroup):
    """Subcommands in their order, and a user's mistake told in one line."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """List the subcommands in the order of `ORDER`, not by the alphabet."""
        return sorted(self.commands, key=ORDER.index)

    def resolve_command(  # type: ignore[override]
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, object, list[str]]:
        """Find a command of two words, such as `evaluate regions`, before one of one."""
        two_words = " ".join(args[:2])
        if two_words in self.commands:
            args = [two_words, *args[2:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the subcommand; a `SkycueError` becomes one line on standard error and exit 1."""
        try:
            return super().invoke(ctx)
        except SkycueError as error:
            typer.echo(f"skycue: {error}", err=True)
            raise typer.Exit(1) from error
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # typer's pydantic adds it
            raise


app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # importing rich would take longer than all the rest of --help
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        typer.echo(f"skycue {__version__}")
        raise typer.Exit


@contextlib.contextmanager
def _logging_to_stderr(level: int) -> Iterator[None]:
    """Show the log of the package on standard error while a command runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("skycue")
    level_before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level_before)


@app.callback()
def skycue(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it and end."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings only.")] = False,
) -> None:
    """Turn labelled aerial tiles into a scene classifier, and boxes into captions with masks.

    Results go to standard output or to -o, logs and progress bars to standard error.
    """
    ctx.with_resource(_logging_to_stderr(logging.WARNING if quiet else logging.INFO))


app.command()(doctor.doctor)
app.command()(convert.convert)
app.command()(split.split)
data.data.command("render")(data_render.render)
data.data.command("labels-from-instances")(data_labels.labels_from_instances)
data.data.command("captions-from-instances")(data_regions.captions_from_instances)
data.data.command("import-regions")(data_regions.import_regions)
data.data.command("check-regions")(data_regions.check_regions)
app.add_typer(data.data)
app.command()(caption.caption)
app.command()(fit.fit)
app.command()(classify.classify)
app.command()(describe.describe)
app.command()(evaluate.evaluate)
app.command("evaluate regions")(evaluate_regions.evaluate_regions)
app.command()(benchmark.benchmark)
app.command("benchmark regions")(benchmark_regions.benchmark_regions)
app.add_typer(train.train)
app.add_typer(run.run)
app.command()(export.export)
app.command()(serve.serve)


def main() -> None:
    """Run the command line; the entry point of the package."""
    app(prog_name="skycue")
