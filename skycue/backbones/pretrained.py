"""Find a backbone by name: the embedded `mini`, a folder, or a model of the Hugging Face hub."""

from importlib import resources
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import CONFIG_FILE, FORMAT, load_clip_folder
from skycue.errors import CheckpointError

MINI = "mini"
"""Name of the small CLIP that ships with the package."""
TRAINED_ON_FILE = "trained_on.json"
"""In a backbone's folder: the names of the datasets that its training has shown it, as a list."""


def mini_folder() -> Path:
    """Return where the embedded backbone lies."""
    return Path(str(resources.files("skycue") / "weights" / MINI))


def load_clip(name: str, device: torch.device | str = "cpu") -> Clip:
    """Load a frozen CLIP in float32.

    Args:
        name: "mini", a folder (ours, or Hugging Face's), or a hub name such as
            "openai/clip-vit-base-patch16".
        device: Where the weights go.

    Raises:
        CheckpointError: If nothing of that name can be loaded.
    """
    if name == MINI:
        return load_clip_folder(mini_folder(), device)
    folder = Path(name)
    if folder.is_dir():
        config = folder / CONFIG_FILE
        if config.is_file() and FORMAT not in config.read_text(encoding="utf-8"):
            return _from_hugging_face(name, device)
        return load_clip_folder(folder, device)
    if folder.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"no backbone {name!r}: give 'mini', a folder made by `skycue convert`, or a hub name "
            "such as 'openai/clip-vit-base-patch16'."
        )
    return _from_hugging_face(name, device)


def licence_of(name: str) -> str | None:
    """Return the licence that lies beside the weights of a backbone; None where there is none.

    Args:
        name: As `load_clip` takes it.
    """
    folder = _folder_of(name)
    files = sorted(folder.glob("LICEN[CS]E*")) if folder.is_dir() else []
    return files[0].read_text(encoding="utf-8") if files else None


def trained_on(name: str) -> frozenset[str]:
    """Return the datasets that a backbone's folder says it was trained on; none where it is silent.

    Args:
        name: As `load_clip` takes it.

    Raises:
        CheckpointError: If the file that says so is no list of names.
    """
    path = _folder_of(name) / TRAINED_ON_FILE
    if not path.is_file():
        return frozenset()
    try:
        return TypeAdapter(frozenset[str]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError(
            f'{path} is no list of dataset names: write one, such as ["rsicd"], or remove it.'
        ) from error


def _folder_of(name: str) -> Path:
    """Return where a backbone lies, if it is a folder at all."""
    return mini_folder() if name == MINI else Path(name)


def _from_hugging_face(name: str, device: torch.device | str) -> Clip:
    from skycue.backbones.convert import read_foreign

    return read_foreign(name, allow_pickle=False).clip.to(device)
