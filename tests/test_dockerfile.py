"""The Dockerfile, where no Docker is: its parts fit each other, the package and its commands."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from skycue.cli.app import app
from skycue.cli.serve import TOKEN_VARIABLE

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def instruction(name: str) -> str:
    """Return what follows the only instruction of a name."""
    [found] = re.findall(rf"^{name} (.*)$", TEXT, re.MULTILINE)
    return str(found)


def test_what_is_copied_is_all_that_is_sent_to_docker() -> None:
    *sources, _ = instruction("COPY").split()
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "*",
        *(f"!{source}" for source in sources),
    ]
    assert (ROOT / sources[0]).is_file()
    assert fnmatch("dist/skycue-0.1.0-py3-none-any.whl", sources[1])  # as `make wheel` names it


def test_extras_are_an_argument_and_those_that_are_named_exist() -> None:
    named = [*re.findall(r"EXTRAS=([a-z,]+)", TEXT)]
    assert named == ["ray", "serve,cloud"]  # in the example, and by default
    assert {extra for names in named for extra in names.split(",")} <= {*EXTRAS}
    assert '.whl)[$EXTRAS]"' in TEXT
    arguments = re.findall(r"^ARG (\w+)=", TEXT, re.MULTILINE)
    assert {*re.findall(r"--build-arg (\w+)=", TEXT)} <= {*arguments}


def test_the_state_is_a_volume_that_the_user_owns_and_the_line_to_run_mounts() -> None:
    words = json.loads(instruction("CMD"))
    state = words[words.index("--state") + 1]
    assert instruction("VOLUME") == state
    folder = Path(instruction("WORKDIR"))
    made = TEXT.index(f"RUN mkdir {Path(state).relative_to(folder)}\n")
    assert TEXT.index("USER skycue\n") < made < TEXT.index("VOLUME ")
    [line] = [line for line in TEXT.splitlines() if "docker run " in line]
    mounts = [word.split(":") for word in shlex.split(line) if word.count(":/")]
    assert [mount[:2] for mount in mounts] == [["/data", "/data"], ["skycue-state", state]]


def test_the_command_is_understood_and_wants_the_token_of_the_line_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    result = CliRunner().invoke(app, json.loads(instruction("CMD")))
    assert result.exit_code == 1
    assert "so a token is needed" in result.stderr
    assert f"-e {TOKEN_VARIABLE}=" in TEXT


def test_kubernetes_runs_the_image_that_the_example_builds() -> None:
    job = yaml.safe_load((ROOT / "docs" / "kuberay.yaml").read_text(encoding="utf-8"))
    cluster = job["spec"]["rayClusterSpec"]
    images = {
        container["image"].rsplit("/", 1)[1]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        for container in group["template"]["spec"]["containers"]
    }
    [tag] = re.findall(r"EXTRAS=ray .*-t (\S+) \.", TEXT)
    assert images == {tag}
