"""Run the commands of a page as a user would: in order, in an empty folder.

Run as `python -m docs.readme_commands BIN PAGE...`, where BIN is the folder that holds the `skycue`
and `python` to use, such as `.venv/bin`, and a PAGE is a Markdown file, such as `README.md`. Blocks
marked `bash` and `python` are run; a block that is not for running (installation, or what needs
data of the user's) is marked `console`.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A runnable block of a page."""

    language: str
    text: str


def runnable_blocks(page: str) -> list[Block]:
    """Return the blocks of a Markdown text that are to be run, in order."""
    return [Block(language, text) for language, text in BLOCK.findall(page)]


def run(block: Block, binaries: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one block in `folder`, which is its home too, with `binaries` first on the path."""
    program = {"bash": ["bash", "-eu", "-c"], "python": [str(binaries / "python"), "-c"]}
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(folder)}  # caches of its own
    return subprocess.run(
        [*program[block.language], block.text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def run_page(page: Path, binaries: Path) -> int:
    """Run all blocks of a page one after the other; stop at the first that fails."""
    with tempfile.TemporaryDirectory() as folder:
        for block in runnable_blocks(page.read_text(encoding="utf-8")):
            result = run(block, binaries, Path(folder))
            sys.stdout.write(f"{block.text}{result.stdout}\n")
            if result.returncode:
                sys.stderr.write(f"{page}: {result.stderr}\nexit status {result.returncode}\n")
                return 1
    return 0


def main(arguments: list[str]) -> int:
    """Run the pages; the exit status is 1 if one fails."""
    binaries, *pages = (Path(argument).resolve() for argument in arguments)
    return max(run_page(page, binaries) for page in pages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
