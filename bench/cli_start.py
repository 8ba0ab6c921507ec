"""How soon does `skycue --help` answer?

python -m bench.cli_start
"""

import subprocess
import sys

from bench.timing import Options, Result, best_times, read_options, report

TARGET_S = 0.5
COMMAND = (sys.executable, "-m", "skycue", "--help")


def measure(options: Options) -> list[Result]:
    """Time whole processes; always by the wall clock, for the work is done in another process."""

    def ask() -> None:
        subprocess.run(COMMAND, check=True, stdout=subprocess.DEVNULL)

    ask()  # compiles to bytecode, once an installation
    seconds = best_times({"help": ask}, options._replace(clock="wall"))["help"]
    return [
        Result(
            question="`skycue --help`",
            answer=f"{seconds:.2f} s",
            target=f"under {TARGET_S:g} s",
            met=seconds < TARGET_S,
            detail=f"best of {options.rounds}",
        )
    ]


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen._replace(clock="wall"))
