"""Nothing that Skycue needs may need torchvision, whose wheels replace a CPU build of torch."""

import ast
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
REFUSED = {"torchvision", "torchaudio", "timm", "open-clip-torch"}
EXTRAS = ("", "train", "export", "dev")


def required_by(name: str, extra: str) -> Iterator[Requirement]:
    """Yield what an installed package requires here, with one of its extras or none ("")."""
    try:
        lines = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return  # what is not installed here for its marker or extra is not needed here
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def needed_by_skycue() -> set[str]:
    """Follow the requirements of skycue with all its extras to the end."""
    seen: set[tuple[str, str]] = set()
    waiting = [("skycue", extra) for extra in EXTRAS]
    while waiting:
        package = waiting.pop()
        if package in seen:
            continue
        seen.add(package)
        for requirement in required_by(*package):
            name = canonicalize_name(requirement.name)
            waiting += [(name, extra) for extra in ("", *requirement.extras)]
    return {name for name, _ in seen}


def test_no_dependency_needs_torchvision() -> None:
    needed = needed_by_skycue()
    assert {"torch", "transformers", "sentence-transformers", "pytest"} <= needed  # it did look
    assert needed & REFUSED == set()


def test_torchvision_is_not_installed_where_the_tests_run() -> None:
    assert importlib.util.find_spec("torchvision") is None


def test_no_file_imports_it() -> None:
    imported = {
        (str(path.relative_to(ROOT)), name.split(".")[0])
        for folder in ("skycue", "tests", "bench", "docs")
        for path in (ROOT / folder).rglob("*.py")
        for name in imported_modules(path.read_text(encoding="utf-8"))
    }
    assert ("skycue/device.py", "torch") in imported  # it did look
    assert {
        file for file, name in imported if name in {"torchvision", "timm", "open_clip"}
    } == set()


def imported_modules(source: str) -> Iterator[str]:
    """Yield the names that a source imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
