"""Networks of other people, loaded by `transformers` from a folder or the Hugging Face hub.

Weights are read from safetensors only and no code of a repository is ever run. A network whose
files leave a weight out is refused, where `transformers` would start it at random.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import torch
from torch import nn

from skycue.errors import CheckpointError
from skycue.files import sha256_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

HASHED_FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
"""Files of a model folder that change what it answers: weights, settings, vocabulary."""
UNREACHABLE = "couldn't connect to"  # so says `transformers`, after it looked into the cache


class _LoadingInfo(TypedDict):
    """What `from_pretrained` says of the weights that it did not find."""

    missing_keys: set[str]
    mismatched_keys: set[tuple[str, object, object]]


def load_model(
    from_pretrained: Callable[..., object],
    name: str,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    unused: tuple[str, ...] = (),
) -> "PreTrainedModel":
    """Load a frozen network in evaluation mode.

    Args:
        from_pretrained: Of an auto class, such as `AutoModel.from_pretrained`.
        name: A folder or a hub name.
        dtype: Number format of the weights.
        device: Where they go.
        unused: Beginnings of the names of weights that a file may leave out.

    Raises:
        CheckpointError: If a weight is missing or has another shape.
    """
    loaded = from_pretrained(
        name, use_safetensors=True, dtype=dtype, output_loading_info=True, **_safe(name)
    )
    model, info = cast("tuple[PreTrainedModel, _LoadingInfo]", loaded)
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(unused))
    lacking = missing + sorted(key for key, *_ in info["mismatched_keys"])
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise CheckpointError(
            f"the weights of '{name}' lack or misfit {', '.join(lacking[:3])}{more}; "
            "get the complete model."
        )
    nn.Module.to(model, device)
    nn.Module.requires_grad_(model, False)
    return model


def load_part(from_pretrained: Callable[..., object], name: str) -> object:
    """Load a tokenizer or a processor; image processors are Pillow's, never torchvision's."""
    return from_pretrained(name, backend="pil", **_safe(name))


def check_name(name: str, what: str) -> None:
    """Refuse a name that is neither a folder nor a name that the hub could have.

    Raises:
        CheckpointError: If it looks like a path and no folder is there.
    """
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or not name
    if not Path(name).is_dir() and (looks_like_path or Path(name).exists()):
        raise CheckpointError(
            f"no {what} '{name}': give a folder with config.json and model.safetensors, or a name "
            "on the Hugging Face hub."
        )


def revision_of(name: str, config: "PretrainedConfig") -> str:
    """Name the very files of a model: the hub's commit, or a SHA-256 over a folder's files."""
    folder = Path(name)
    if not folder.is_dir():
        return str(getattr(config, "_commit_hash", None) or "unknown")
    digest = hashlib.sha256()
    for path in sorted(path for pattern in HASHED_FILES for path in folder.glob(pattern)):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def explain_loading(name: str, what: str, offline: str) -> Iterator[None]:
    """Turn what `transformers` raises while it loads into one line, and keep it quiet.

    Args:
        name: A folder or a hub name.
        what: What kind of model it should be.
        offline: What to do where the hub is out of reach.

    Raises:
        CheckpointError: If the model cannot be loaded.
    """
    with _quiet():
        try:
            yield
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            reason = " ".join(str(error).split("\n\n")[0].split())
            if UNREACHABLE in reason:
                reason = f"it is not in the hub's cache and the hub is out of reach: {offline}."
            else:
                reason += " Give a folder or a hub name whose weights are model.safetensors."
            raise CheckpointError(f"cannot load the {what} '{name}': {reason}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings and progress bars of both libraries; errors are raised anyway."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    verbosity, hub_verbosity = logging.get_verbosity(), hub_logging.get_verbosity()
    with_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if with_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _safe(name: str) -> dict[str, bool]:
    """Return how everything is loaded: never with its own code, a folder never from the hub."""
    return {"trust_remote_code": False, "local_files_only": Path(name).is_dir()}
