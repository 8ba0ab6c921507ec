"""What the Makefile would do on a fresh machine, read from dry runs."""

import re
import subprocess
from pathlib import Path

import pytest

from skycue.boxes import check_box
from skycue.cli.app import ORDER
from skycue.data.examples import write_examples
from skycue.raster_results import ANSWER_FILE, FEATURES_FILE, PICTURE_FILE
from skycue.region_inputs import parse_numbers, read_region_image

ROOT = Path(__file__).parents[1]


@pytest.fixture
def no_venv(tmp_path: Path) -> str:
    """A setting that makes the Makefile find nothing installed."""
    return f"VENV={tmp_path / 'venv'}"


def dry_run(*arguments: str) -> str:
    """Return the commands that a call of make would run."""
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_is_downloaded_is_said_before_it_starts(no_venv: str) -> None:
    commands = dry_run("demo", no_venv)
    assert commands.index("torch 2.13.0") < commands.index("pip install")
    assert re.search(r"torch 2\.13\.0 +190 MB", commands)


def test_the_index_of_torch_is_used_for_torch_alone(no_venv: str) -> None:
    lines = dry_run("test", no_venv, "TORCH_INDEX=https://example.org/cpu").splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert len(installs) == 3
    assert installs[0].endswith("--extra-index-url https://example.org/cpu torch")
    assert not [line for line in installs[1:] if "example.org" in line]
    assert all("--constraint constraints.txt" in line for line in installs)


def test_without_an_index_of_torch_the_package_index_serves(no_venv: str) -> None:
    assert "extra-index-url" not in dry_run("test", no_venv)


def test_the_demo_fits_classifies_evaluates_compares_and_describes(no_venv: str) -> None:
    commands = re.findall(r"bin/skycue ([a-z]+)", dry_run("demo", no_venv))
    assert commands == ["data", "fit", "classify", "evaluate", "benchmark", "describe"]
    assert set(commands) <= set(ORDER)


def test_the_demo_describes_a_box_on_an_image_that_is_there_and_names_what_it_left(
    no_venv: str, tmp_path: Path
) -> None:
    commands = dry_run("demo", no_venv, f"DEMO={tmp_path}")
    found = re.search(
        rf"describe {tmp_path}/tiles/(\S+) --box (\S+) -o {tmp_path}/region", commands
    )
    assert found
    assert tmp_path / "tiles" / found[1] in write_examples(tmp_path / "tiles", per_class=1)
    image = read_region_image(tmp_path / "tiles" / found[1])
    assert image.georeference is not None  # so that there is GeoJSON
    box = parse_numbers(found[2], "box", "X0,Y0,X1,Y1")
    assert check_box(box, image.pixels.shape[1:]) == box
    for name in (ANSWER_FILE, PICTURE_FILE, FEATURES_FILE):
        assert f"{tmp_path}/region/{name}" in commands


def test_check_runs_what_must_pass(no_venv: str) -> None:
    commands = dry_run("check", no_venv)
    for expected in (
        "ruff format --check",
        "ruff check",
        "bin/mypy",
        "pytest",
        "docs.generate --c",
    ):
        assert expected in commands
