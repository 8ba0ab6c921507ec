"""Fail if a test was skipped for a reason that CI does not expect.

Run as `python .ci/expected_skips.py REPORT`, with the JUnit report of pytest.
"""

import re
import shutil
import sys
import xml.etree.ElementTree as ET

EXPECTED = (
    r"^gpu: this machine has no CUDA device$",
    r"shared/data",  # the datasets of the results lie beside the repository where there is room
)
WITHOUT_JAVA = r"^java: "
"""Expected where there is no Java, and nowhere else."""


def unexpected(report: str, *, has_java: bool) -> list[str]:
    """List the skips of a JUnit report that no expected pattern covers."""
    patterns = EXPECTED if has_java else (*EXPECTED, WITHOUT_JAVA)
    found = []
    for case in ET.parse(report).iter("testcase"):
        for skip in case.iter("skipped"):
            reason = skip.get("message", "")
            if not any(re.search(pattern, reason) for pattern in patterns):
                found.append(f"{case.get('classname')}.{case.get('name')}: {reason}")
    return found


def main() -> int:
    """Say what was skipped without leave; the exit status is 1 if anything was."""
    surprises = unexpected(sys.argv[1], has_java=shutil.which("java") is not None)
    for line in surprises:
        sys.stderr.write(f"unexpected skip: {line}\n")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
