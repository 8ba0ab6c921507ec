"""Read the tensors of a weights file, and nothing else that a file may try to be.

Safetensors hold no code. Pickled files are read by `torch.load` with `weights_only=True`, here and
nowhere else in the package.
"""

import pickle
import re
import struct
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from skycue.errors import CheckpointError

SAFETENSORS_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")

DAMAGED = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError),
    *(AttributeError, OverflowError, AssertionError, OSError, struct.error, zipfile.BadZipFile),
)
"""What readers of pickles and zip archives raise when the bytes make no sense."""


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file.

    Raises:
        CheckpointError: If the file is missing, damaged or something else under that name.
    """
    check_is_file(path)
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith((b"PK\x03\x04", b"\x80")):
        raise CheckpointError(
            f"{path} is no safetensors file: it begins as a pickle of torch.save does. Get the "
            f"real one; pickles are read only by `skycue convert`, as {', '.join(PICKLE_SUFFIXES)}."
        )
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or no safetensors file: {first_line(error)}. Get it again."
        ) from error


def read_pickled(path: Path) -> object:
    """Read what `torch.save` wrote, if it holds tensors and plain containers only.

    Raises:
        CheckpointError: If the file is missing or damaged, or asks for any other object.
    """
    check_is_file(path)
    with path.open("rb") as file:
        start = file.read(16)
    if start[8:9] == b"{":
        raise CheckpointError(
            f"{path} is a safetensors file: rename it to {path.stem}{SAFETENSORS_SUFFIX}."
        )
    if not start.startswith((b"PK\x03\x04", b"\x80")):
        raise CheckpointError(
            f"{path} is no weights file: it begins with {start[:4]!r}, a file of torch.save with "
            "b'PK\\x03\\x04' or b'\\x80'. Get it again."
        )
    try:
        loaded: object = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise CheckpointError(
                f"{path} asks for {asked[1]}, which is refused: only tensors and plain containers "
                "are read. Save its state dict alone, best as safetensors."
            ) from error
        raise CheckpointError(
            f"{path} is damaged or no file of torch.save: {first_line(error)}. Get it again."
        ) from error
    return loaded


def check_is_file(path: Path) -> None:
    """Raise CheckpointError unless a file stands at `path`."""
    if not path.is_file():
        raise CheckpointError(f"no file {path}. Give a weights file, a folder or a hub name.")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without its full stop, or its class."""
    lines = str(error).splitlines()
    return lines[0].strip(" .'\"") if lines else type(error).__name__
