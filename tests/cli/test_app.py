"""The command line as a whole: what it imports, how it logs and how it ends."""

import json
import logging
import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from skycue import __version__
from skycue.cli.app import ORDER, CommandGroup, app
from skycue.errors import ShotsError

HEAVY = ["torch", "transformers", "numpy", "PIL", "matplotlib", "sklearn", "pydantic", "rich"]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, json\n"
        "from skycue.cli.app import app\n"
        "try:\n    app(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "doctor" in run.stdout
    assert json.loads(run.stdout.splitlines()[-1]) == []


def test_commands_are_listed_in_the_order_of_a_user_s_work() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    listed = re.findall(r"^  (\w+(?: \w+)?)  ", text[text.index("Commands:") :], re.MULTILINE)
    assert listed == list(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_each_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: root {name} " in result.output


def test_two_words_name_a_command_where_there_is_one() -> None:
    runner = CliRunner()
    regions = runner.invoke(app, ["evaluate", "regions", "--help"]).output
    assert "Usage: root evaluate regions " in regions
    assert "Usage: root evaluate [OPTIONS] {model} {data}" in (
        runner.invoke(app, ["evaluate", "scenes", "--help"]).output
    )


@pytest.mark.parametrize("name", ["caption", "fit", "classify", "evaluate", "benchmark"])
def test_each_command_that_computes_lets_device_and_dtype_be_chosen(name: str) -> None:
    text = CliRunner().invoke(app, [name, "--help"]).output
    assert "--device NAME" in text
    assert "--dtype NAME" in text


def test_the_version_is_the_package_s() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"skycue {__version__}\n")


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(app, ["clasify"]).exit_code == 2


def test_a_user_s_mistake_is_one_line_on_standard_error_and_exit_1() -> None:
    failing = typer.Typer(cls=CommandGroup)

    @failing.callback()
    def group() -> None:
        """Hold the command."""

    @failing.command("fit")
    def fail() -> None:
        """Fail as a user may make it fail."""
        raise ShotsError("class 'forest' has 3 images; 16 shots are asked for. Lower --shots.")

    result = CliRunner().invoke(failing, ["fit"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "skycue: class 'forest' has 3 images; 16 shots are asked for. Lower --shots.\n"
    )


def test_a_wrong_choice_is_told_with_what_is_allowed_and_no_more() -> None:
    result = CliRunner().invoke(app, ["classify", "m", "x.tif", "--format", "xlsx"])
    assert result.exit_code == 2
    expected = "Invalid value for '--format': 'xlsx' is not one of 'gpkg', 'parquet', 'geojson'."
    assert expected in result.output


def test_our_own_bugs_are_not_hidden() -> None:
    failing = typer.Typer(cls=CommandGroup)

    @failing.callback()
    def group() -> None:
        """Hold the command."""

    @failing.command("fit")
    def fail() -> None:
        """Fail by a bug."""
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(failing, ["fit"]).exception, ZeroDivisionError)


def test_the_log_goes_to_standard_error_and_quiet_leaves_it_out() -> None:
    loud = CliRunner().invoke(app, ["doctor", "--json"])
    quiet = CliRunner().invoke(app, ["--quiet", "doctor", "--json"])
    assert loud.stderr.startswith("device auto: ")
    assert quiet.stderr == ""
    assert logging.getLogger("skycue").handlers == []


def test_the_module_runs_as_the_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "skycue", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"skycue {__version__}\n"
