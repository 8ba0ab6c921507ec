"""`skycue doctor`: what is installed, what is used to compute, where caches lie."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer


class Finding(NamedTuple):
    """One fact about the installation."""

    topic: str
    name: str
    value: str


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines instead.")] = False,
) -> None:
    """Say what is installed, which device and threads are used, and where caches lie."""
    topic = ""
    for finding in examine():
        if as_json:
            typer.echo(json.dumps(finding._asdict()))
            continue
        if finding.topic != topic:
            typer.echo(finding.topic if not topic else f"\n{finding.topic}")
            topic = finding.topic
        typer.echo(f"  {finding.name:<34}{finding.value}")


def examine() -> Iterator[Finding]:
    """Find out everything that a report of a problem should say."""
    yield Finding("installed", "skycue", importlib.metadata.version("skycue"))
    yield Finding("installed", "python", platform.python_version())
    yield Finding("installed", "platform", platform.platform())
    for name, extra in requirements():
        topic = "optional packages" if extra else "installed"
        missing = f"not installed; pip install 'skycue[{extra}]'" if extra else "MISSING"
        yield Finding(topic, name, installed_version(name) or missing)
    yield from _computing()
    yield from _caches()
    yield from _weights()


def requirements() -> list[tuple[str, str]]:
    """List the packages that Skycue names, each with its extra, those of no extra first."""
    found = []
    for line in importlib.metadata.requires("skycue") or ():
        match = re.match(r"([A-Za-z0-9._-]+)", line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        if match and match.group(1) != "skycue":
            found.append((match.group(1), extra.group(1) if extra else ""))
    return sorted(found, key=lambda requirement: (requirement[1], requirement[0]))


def installed_version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _computing() -> Iterator[Finding]:
    """Say which devices there are and which is taken by default."""
    import torch  # heavy: imported when used

    from skycue.device import available_devices, describe_device, resolve_device

    for name in available_devices():
        yield Finding("computing", f"device {name}", describe_device(torch.device(name)))
    yield Finding("computing", "device auto takes", str(resolve_device("auto")))
    yield Finding("computing", "threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores")
    bundled_cuda = torch.version.cuda or "none: a CPU build"
    yield Finding("computing", "CUDA that torch was built with", bundled_cuda)


def _caches() -> Iterator[Finding]:
    """Say where kept encodings and downloaded models lie."""
    from huggingface_hub import constants

    from skycue.store import default_cache_folder

    yield Finding("caches", "encodings of images", _describe_folder(default_cache_folder()))
    yield Finding("caches", "downloaded models", _describe_folder(Path(constants.HF_HUB_CACHE)))
    offline = "yes" if constants.HF_HUB_OFFLINE else "no"
    yield Finding("caches", "offline (HF_HUB_OFFLINE)", offline)


def _weights() -> Iterator[Finding]:
    """Name the weights inside the package and what their licences begin with."""
    for folder in sorted((Path(__file__).parents[1] / "weights").glob("*/")):
        yield Finding("weights in the package", folder.name, _describe_folder(folder))
        for licence in folder.glob("LICEN[CS]E*"):
            terms = re.search(r"^Licen[cs]e: (.*)$", licence.read_text(encoding="utf-8"), re.M)
            value = terms.group(1) if terms else str(licence)
            yield Finding("weights in the package", f"licence of {folder.name}", value)


def _describe_folder(folder: Path) -> str:
    """Say where a folder lies and how large it is, in MB (10^6 bytes)."""
    if not folder.is_dir():
        return f"{folder} (not there yet)"
    n_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{folder} ({n_bytes / 1e6:.1f} MB)"
