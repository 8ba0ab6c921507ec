"""Start a training from the weights of another model, as far as the two have the same parts."""

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from skycue.backbones.language import LanguageModel, language_model_from_hf_config, prepare
from skycue.backbones.pretrained import load_clip
from skycue.backbones.vocabulary import load_tokenizer
from skycue.errors import CheckpointError
from skycue.region_network import WEIGHTS_FILE, read_record, weights_of
from skycue.regions.clvnet import ClvNet, ClvNetConfig

log = logging.getLogger(__name__)


def network_from(
    config: ClvNetConfig, folder: Path, patterns: Sequence[str], device: torch.device | str = "cpu"
) -> ClvNet:
    """Build a network of a recipe with the language model and weights of a model folder.

    Parts that the folder does not have, such as a relation layer, start as they always do; parts of
    the folder that the recipe switches off are left out. Both are logged by number. LoRA is added
    after the weights are in place.

    Args:
        config: The recipe's network; its language model must be of the folder's shape.
        folder: From `skycue train regions` or `skycue convert`.
        patterns: Shell-style patterns of the weights to take, such as `segmenter.*`.
        device: Where the weights go.

    Raises:
        CheckpointError: If the folder is none, a pattern fits no weight, or a shape differs.
    """
    record = read_record(folder)
    language = LanguageModel(language_model_from_hf_config(record.language), load_tokenizer(folder))
    prepare(language.model, record.model.language)
    network = ClvNet(config, load_clip(config.clip, device), language).to(device)
    _take(network, folder / WEIGHTS_FILE, patterns)
    had_lora = record.model.language.lora is not None
    if config.language.lora is None or not had_lora:
        prepare(language.model, config.language)
    return network


def _take(network: ClvNet, path: Path, patterns: Sequence[str]) -> None:
    """Copy the weights whose names fit into a network."""
    wanted = weights_of(network)
    taken: set[str] = set()
    unused = 0
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise CheckpointError(f"{path}: start_names: no weight fits {pattern!r}.")
            for name in names:
                if not any(fnmatchcase(name, pattern) for pattern in patterns):
                    continue
                if name not in wanted:
                    unused += 1
                    continue
                tensor = file.get_tensor(name)
                if tensor.shape != wanted[name].shape:
                    raise CheckpointError(
                        f"{path}: {name} has shape {list(tensor.shape)}, the recipe wants "
                        f"{list(wanted[name].shape)}: give model: the folder's sizes."
                    )
                with torch.no_grad():
                    wanted[name].copy_(tensor)
                taken.add(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}).") from None
    log.info(
        "start: %d weights taken, %d of the recipe start anew, %d of the folder are switched off",
        len(taken),
        len(wanted) - len(taken),
        unused,
    )
