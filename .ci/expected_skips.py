"""Fail if a test was skipped for a reason that CI does not expect.

Run as `python .ci/expected_skips.py REPORT`, with the JUnit report of pytest.
"""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.system_programs import MARKS, skip_reason

EXPECTED = (
    r"^gpu: this machine has no CUDA device$",
    r"shared/data",  # the datasets of the results lie beside the repository where there is room
)


def unexpected(report: str) -> list[str]:
    """List the skips of a JUnit report that no expected pattern covers.

    A skip for want of a program is expected where the program is missing, and nowhere else.
    """
    reasons = [reason for mark in MARKS if (reason := skip_reason(mark)) is not None]
    patterns = [*EXPECTED, *(f"^{re.escape(reason)}$" for reason in reasons)]
    found = []
    for case in ET.parse(report).iter("testcase"):
        for skip in case.iter("skipped"):
            reason = skip.get("message", "")
            if not any(re.search(pattern, reason) for pattern in patterns):
                found.append(f"{case.get('classname')}.{case.get('name')}: {reason}")
    return found


def main() -> int:
    """Say what was skipped without leave; the exit status is 1 if anything was."""
    surprises = unexpected(sys.argv[1])
    for line in surprises:
        sys.stderr.write(f"unexpected skip: {line}\n")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
