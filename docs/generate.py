"""Write `docs/commands.md` from the help of each command, or check that it is up to date.

Run as `python -m docs.generate`, or with `--check`.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup

from skycue.cli.app import app

PAGE = Path(__file__).parent / "commands.md"
WIDTH = 100  # columns of the help

HEADER = """\
# Commands

Written by `make docs` from `skycue COMMAND --help`; do not edit.

Results go to standard output (JSON Lines) or to `-o`; logs and progress bars to standard error. A
command exits with 0 when it is done, with 1 and one line when something can be mended by the user,
with 2 when it was called wrongly. Nothing is overwritten without `--force`.
"""


def helps(command: TyperCommand | TyperGroup, parent: typer.Context | None) -> Iterator[str]:
    """Yield a section with the help of a command, then those of its subcommands."""
    context = typer.Context(
        command,
        info_name=command.name,
        parent=parent,
        max_content_width=WIDTH,
        terminal_width=WIDTH,
    )
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert isinstance(inner, TyperCommand | TyperGroup)
            yield from helps(inner, context)


def build_page() -> str:
    """Build the text of `docs/commands.md`."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    command.name = "skycue"
    return "\n".join([HEADER, *helps(command, None)])


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` say whether it is up to date by the exit status."""
    page = build_page()
    if arguments == ["--check"]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        sys.stderr.write(f"{PAGE.name} is out of date; run `make docs`\n")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
