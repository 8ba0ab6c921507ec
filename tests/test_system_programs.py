"""Programs outside Python: found, asked for, and only what is missing is forgiven."""

import runpy
from pathlib import Path

import pytest

from tests.system_programs import MARKS, Needs, find_program, main, skip_reason

ROOT = Path(__file__).parents[1]
REPORT = """<testsuites><testsuite><testcase classname="a" name="b">
<skipped message="{reason}"/></testcase></testsuite></testsuites>"""


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any of the programs."""
    monkeypatch.setattr("tests.system_programs.find_program", lambda *_: None)


def surprises(tmp_path: Path, reason: str) -> list[str]:
    """Return what `.ci/expected_skips.py` says of a report with one skip."""
    report = tmp_path / "tests.xml"
    report.write_text(REPORT.format(reason=reason), encoding="utf-8")
    script = runpy.run_path(str(ROOT / ".ci" / "expected_skips.py"))
    found: list[str] = script["unexpected"](str(report))
    return found


def test_programs_are_found_on_the_path_and_in_the_newest_folder_elsewhere(tmp_path: Path) -> None:
    for version in ("14", "16"):
        program = tmp_path / version / "bin" / "no-such-initdb"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    pattern = f"{str(tmp_path).lstrip('/')}/*/bin"
    newest = str(tmp_path / "16" / "bin" / "no-such-initdb")
    assert find_program("no-such-initdb", pattern) == newest
    assert find_program("no-such-initdb") is None
    assert Needs(("no-such-initdb", "sh"), (), pattern).is_met()
    assert not Needs(("no-such-initdb", "no-such-postgres"), (), pattern).is_met()


@pytest.mark.usefixtures("nothing_installed")
def test_packages_of_what_is_missing_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out.split()
    assert printed == [package for needs in MARKS.values() for package in needs.packages]
    assert "gdal-bin" in printed


@pytest.mark.usefixtures("nothing_installed")
def test_a_skip_for_want_of_a_program_is_expected_where_it_is_missing(tmp_path: Path) -> None:
    reason = skip_reason("gdal")
    assert reason == "gdal: no ogrinfo or gdalinfo here; apt install gdal-bin"
    assert surprises(tmp_path, reason) == []
    assert surprises(tmp_path, "gpu: this machine has no CUDA device") == []
    assert surprises(tmp_path, "gdal: not today") == ["a.b: gdal: not today"]


def test_a_skip_for_want_of_a_program_that_is_there_is_a_surprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.system_programs.find_program", lambda *_: "/usr/bin/there")
    reason = "java: no java here; apt install default-jre-headless"
    assert skip_reason("java") is None
    assert surprises(tmp_path, reason) == [f"a.b: {reason}"]


def test_every_mark_is_declared(pytestconfig: pytest.Config) -> None:
    declared = {line.split(":")[0] for line in pytestconfig.getini("markers")}
    assert MARKS.keys() <= declared
