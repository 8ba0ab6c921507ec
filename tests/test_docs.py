"""Generated pages are up to date, and the project's files agree with each other."""

import math
import re
import tomllib
from pathlib import Path

import pytest
import torch
import yaml

import skycue
from docs.generate import PAGE, build_page
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.registry import METHODS
from tests.scenes.published_widths import clip_of_published_widths

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = {
    line.split("==")[0].lower(): line.split("==")[1]
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line and not line.startswith("#")
}


def test_the_page_of_commands_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == build_page(), "run `make docs`"


def test_every_method_has_its_line_and_no_other_name_has_one() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) == list(METHODS)


def methods_table() -> list[tuple[str, str]]:
    """Name and learned numbers of each line of the page of methods."""
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([\d,KC ]+)", page, re.MULTILINE)


def numbers_kept(method: PromptMethod) -> int:
    """Count what a model keeps of a fit, without what labels and constants say."""
    state = method.learned_state()
    return sum(state[name].numel() for name in state.keys() - {"values", "alpha", "beta"})


@pytest.mark.parametrize(("name", "learned"), methods_table())
def test_a_method_learns_as_many_numbers_as_its_line_says(name: str, learned: str) -> None:
    n_classes, shots = 3, 2
    build, config = METHODS[name]
    torch.manual_seed(1)
    method = build(clip_of_published_widths(), config())  # type: ignore[call-arg]
    if method.trains == "solver" or method.starts_from_images:
        images = ImageInputs(embedding=torch.randn(n_classes * shots, 512))
        labels = torch.arange(n_classes * shots) % n_classes
        begin = method.solve if method.trains == "solver" else method.start_from
        begin(images, labels, ["harbor", "storage tank", "forest"])
    of_letter = {"K": shots, "C": n_classes}
    factors = [of_letter.get(f) or int(f.replace(",", "")) for f in learned.split()]
    assert numbers_kept(method) == math.prod(factors)


def test_what_trains_beside_what_is_kept_is_told_below_the_table() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for name, _ in methods_table():
        build, config = METHODS[name]
        method = build(clip_of_published_widths(), config())  # type: ignore[call-arg]
        n_trained = sum(p.numel() for p in method.learned_parameters().values())
        if n_trained > numbers_kept(method):
            assert f"{n_trained:,}" in page, name


def test_every_direct_dependency_is_pinned_and_says_why_it_is_there() -> None:
    lines = [
        line.strip()
        for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        if re.match(r'    "[A-Za-z0-9._-]+>=', line)
    ]
    assert len(lines) >= 14
    for line in lines:
        match = re.match(r'"([A-Za-z0-9._-]+)>=[^"]+",  # \w', line)
        assert match, f"no reason beside {line}"
        assert match.group(1).lower() in PINS, f"{match.group(1)} has no pin in constraints.txt"


def test_ruff_has_one_version() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"ruff==([\d.]+)", hooks)) == {PINS["ruff"]}


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == skycue.__version__
    assert citation["license"] == PROJECT["project"]["license"]


def test_every_licence_in_the_package_is_listed_and_its_folder_is_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    found = [path.relative_to(ROOT) for path in (ROOT / "skycue").rglob("LICEN[CS]E*")]
    licences = [path for path in found if "node_modules" not in path.parts]  # npm's are not ours
    assert licences
    for licence in licences:
        assert licence.as_posix() in PROJECT["project"]["license-files"]
        assert f"{licence.parent.as_posix()}/" in notice
