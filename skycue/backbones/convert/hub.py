"""Fetch what a network needs from the Hugging Face hub, safetensors first."""

from fnmatch import fnmatch
from pathlib import Path

from skycue.backbones.convert import huggingface, openclip
from skycue.backbones.convert.tensor_files import first_line
from skycue.errors import CheckpointError

DESCRIPTIONS = [
    *(huggingface.CONFIG_FILE, huggingface.PREPROCESSOR_FILE, huggingface.PROCESSOR_FILE),
    *(huggingface.TOKENIZER_FILE, *huggingface.VOCABULARY_FILES, openclip.CONFIG_FILE),
    *("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
]
"""Files that say what the weights are."""


def fetch(name: str, *, allow_pickle: bool) -> Path:
    """Bring a repository of the hub into the cache of `huggingface_hub`, or find it there.

    Args:
        name: Such as "openai/clip-vit-base-patch16".
        allow_pickle: Take pickled weights where a repository has no others.

    Returns:
        The folder with the files.

    Raises:
        CheckpointError: If the hub has no such repository or is out of reach.
    """
    folder = _download(name, DESCRIPTIONS)
    is_hugging_face = (folder / huggingface.CONFIG_FILE).is_file()
    if is_hugging_face:
        safe = [*huggingface.SAFE_WEIGHTS, "model-*-of-*.safetensors"]
        pickled = [*huggingface.PICKLED_WEIGHTS, "pytorch_model-*-of-*.bin"]
    else:
        safe, pickled = list(openclip.SAFE_WEIGHTS), list(openclip.PICKLED_WEIGHTS)
    folder = _download(name, DESCRIPTIONS + safe)
    found = any(fnmatch(path.name, pattern) for path in folder.iterdir() for pattern in safe)
    if found:
        return folder
    if not allow_pickle:
        raise CheckpointError(
            f"{name!r} on the hub has no safetensors, and pickles are not read at run time: run "
            f"`skycue convert {name} -o DIR` once and use that folder."
        )
    return _download(name, DESCRIPTIONS + pickled)


def _download(name: str, patterns: list[str]) -> Path:
    """Bring the files of these patterns into the cache."""
    from huggingface_hub import snapshot_download  # heavy: imported when used
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"cannot get {name!r} from the Hugging Face hub: {first_line(error)}. "
            "Check the name and the network, or give a folder."
        ) from error
