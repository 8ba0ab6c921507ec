"""Programs outside Python that some tests need: what they are called and which package has them.

A test marked with one of the names below is skipped where its programs are missing. `.ci/run`
installs what `python -m tests.system_programs` prints, and `.ci/expected_skips.py` forgives skips
for want of what could not be installed. Only the standard library is used: it runs before anything
is installed.
"""

import shutil
from pathlib import Path
from typing import NamedTuple


class Needs(NamedTuple):
    """What a mark stands for.

    Attributes:
        programs: Their names; each is on the path or in a folder that matches `elsewhere`.
        packages: Of Debian and Ubuntu, in which they come.
        elsewhere: Pattern of folders below / where the package puts them, or empty.
    """

    programs: tuple[str, ...]
    packages: tuple[str, ...]
    elsewhere: str = ""

    def is_met(self) -> bool:
        """Say whether all of the programs are there."""
        return all(find_program(name, self.elsewhere) is not None for name in self.programs)


MARKS = {
    "java": Needs(("java",), ("default-jre-headless",)),
    "gdal": Needs(("ogrinfo", "gdalinfo"), ("gdal-bin",)),
    "browser": Needs(("chromium",), ("chromium",)),
    "postgresql": Needs(("initdb", "postgres"), ("postgresql",), "usr/lib/postgresql/*/bin"),
    "node": Needs(("node", "npm"), ("nodejs", "npm")),
}
"""What tests of each mark need."""


def find_program(name: str, elsewhere: str = "") -> str | None:
    """Return the path of a program, the newest of those in `elsewhere`; None where it is not."""
    if found := shutil.which(name):
        return found
    folders = sorted(Path("/").glob(elsewhere), reverse=True) if elsewhere else []
    return next(filter(None, (shutil.which(name, path=str(folder)) for folder in folders)), None)


def skip_reason(mark: str) -> str | None:
    """Return why tests of a mark are skipped here, or None where they run."""
    if mark not in MARKS or MARKS[mark].is_met():
        return None
    needs = MARKS[mark]
    return f"{mark}: no {' or '.join(needs.programs)} here; apt install {' '.join(needs.packages)}"


def main() -> None:
    """Print the packages of what is missing, one a line."""
    for needs in MARKS.values():
        if not needs.is_met():
            print(*needs.packages, sep="\n")  # noqa: T201


if __name__ == "__main__":
    main()
