"""Build a region model from its configuration, and keep it in a folder.

A folder holds `config.json`, `model.safetensors` and the vocabulary. The frozen image encoder is
not in it: it is named, with its fingerprint.
"""

import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from skycue.backbones.clip_folder import check_names_and_shapes
from skycue.backbones.convert.segment_anything import measure_sam
from skycue.backbones.language import (
    LanguageModel,
    language_model_from_hf_config,
    load_language_model,
    prepare,
)
from skycue.backbones.pretrained import load_clip
from skycue.backbones.sam import SCRATCH, SamSettings
from skycue.backbones.vocabulary import load_tokenizer
from skycue.config import Config
from skycue.errors import BackboneMismatchError, CheckpointError
from skycue.files import write_atomically
from skycue.regions.clvnet import ClvNet, ClvNetConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MINI = "mini"
"""Name of the small region model that ships with the package."""
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FORMAT = "skycue-region-1"
"""Written into `config.json`; another value is another layout and is refused."""
FROZEN = "clip."
"""Names of the image encoder's weights begin so; they are not in the folder."""


class Calibration(Config):
    """Turns a raw score s into the chance that a mask is right: sigmoid(scale logit(s) + bias)."""

    scale: float = 1.0
    """Factor on the logit of the raw score."""
    bias: float = 0.0
    """Added to it."""

    def chance_of(self, raw: float) -> float:
        """Return the calibrated score."""
        clipped = min(max(raw, 1e-6), 1 - 1e-6)
        logit = math.log(clipped / (1 - clipped))
        return 1 / (1 + math.exp(-(self.scale * logit + self.bias)))


class RegionModelRecord(Config):
    """What `config.json` says of a region model."""

    format: str = FORMAT
    """Layout of the folder."""
    model: ClvNetConfig
    """Shape of the network."""
    language: dict[str, object]
    """Configuration of the language model as `transformers` has it."""
    clip_fingerprint: str
    """Of the frozen image encoder."""
    calibration: Calibration = Calibration()
    """Of the scores."""
    trained_on: dict[str, str] = Field(default_factory=dict)
    """Data and recipe, by name; for the card."""


class RegionModel(NamedTuple):
    """A network with what its folder says of it."""

    network: ClvNet
    record: RegionModelRecord


def mini_folder() -> Path:
    """Return where the embedded region model lies."""
    return Path(str(resources.files("skycue") / "weights" / "mini_region"))


def find_region_model(name: str) -> Path:
    """Return the folder of a region model.

    Args:
        name: `mini`, a folder, or a hub name, whose files are fetched.

    Raises:
        CheckpointError: If there is no such model.
    """
    if name == MINI:
        return mini_folder()
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"no region model {name!r}: give 'mini', a folder made by `skycue train regions` or "
            "`skycue convert`, or a hub name."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.model"]))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(
            f"cannot fetch the region model {name!r} from the hub ({type(error).__name__}): give a "
            "folder, or 'mini', which needs no network."
        ) from error


def build_network(
    config: ClvNetConfig,
    tokenizer: "PreTrainedTokenizerFast | None" = None,
    *,
    device: torch.device | str = "cpu",
) -> ClvNet:
    """Build a network to be trained, pretrained parts included.

    Args:
        config: Its shape.
        tokenizer: Vocabulary of a language model from scratch.
        device: Where the weights go.

    Raises:
        CheckpointError: If a part cannot be loaded.
    """
    language = load_language_model(config.language, tokenizer, device=device)
    return ClvNet(config, load_clip(config.clip, device), language).to(device)


def save_network(
    network: ClvNet,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float16,
    calibration: Calibration | None = None,
    trained_on: Mapping[str, str] | None = None,
) -> None:
    """Write a network into a folder, which is made where it is missing."""
    language = network.reasoner.language
    record = RegionModelRecord(
        model=_without_sources(network),
        language=language.hf_config(),
        clip_fingerprint=network.clip.fingerprint,
        calibration=calibration or Calibration(),
        trained_on=dict(trained_on or {}),
    )
    folder.mkdir(parents=True, exist_ok=True)
    language.tokenizer.save_pretrained(str(folder))
    weights = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in weights_of(network).items()
    }
    write_atomically(folder / WEIGHTS_FILE, safetensors_bytes(weights))
    write_atomically(folder / CONFIG_FILE, record.model_dump_json(indent=1) + "\n")


def load_network(folder: Path, *, device: torch.device | str = "cpu") -> RegionModel:
    """Read a network that `save_network` or `skycue convert` wrote; float32, in evaluation mode.

    Raises:
        CheckpointError: If a file is missing or damaged, or weights and configuration disagree.
        BackboneMismatchError: If the image encoder is another than the one trained with.
    """
    record = read_record(folder)
    language = LanguageModel(language_model_from_hf_config(record.language), load_tokenizer(folder))
    prepare(language.model, record.model.language)
    clip = load_clip(record.model.clip, device)
    if record.clip_fingerprint not in ("", clip.fingerprint):
        raise BackboneMismatchError(
            f"{folder} was trained with another image encoder than {record.model.clip!r} is now: "
            f"fingerprint {record.clip_fingerprint[:12]} against {clip.fingerprint[:12]}."
        )
    network = ClvNet(record.model, clip, language)
    _fill(network, folder / WEIGHTS_FILE)
    network = network.to(device).eval().requires_grad_(False)
    return RegionModel(network, record)


def _without_sources(network: ClvNet) -> ClvNetConfig:
    """Return the configuration with the sizes of a SAM in place of where it came from."""
    segmenter = network.config.segmenter
    if not isinstance(segmenter, SamSettings) or segmenter.source == SCRATCH:
        return network.config
    sizes = measure_sam(network.segmenter.state_dict())
    kept = sizes.model_copy(update={"box_prompt": segmenter.box_prompt})
    return network.config.model_copy(update={"segmenter": kept})


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that a folder keeps, by name: a shared one once, the frozen CLIP not."""
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not name.startswith(FROZEN) and id(tensor) not in seen:
            seen.add(id(tensor))
            kept[name] = tensor
    return kept


def _fill(network: ClvNet, path: Path) -> None:
    own = weights_of(network)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            check_names_and_shapes(shapes, {k: tuple(v.shape) for k, v in own.items()}, path)
            with torch.no_grad():
                for name in names:
                    own[name].copy_(file.get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}).") from None


def read_record(folder: Path) -> RegionModelRecord:
    """Read what the `config.json` of a model folder says.

    Raises:
        CheckpointError: If it is missing, damaged or of another layout.
    """
    path = folder / CONFIG_FILE
    if not path.is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"no region model in {folder}: it holds {CONFIG_FILE} and {WEIGHTS_FILE}. "
            "`skycue train regions` and `skycue convert` write such a folder."
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}).") from None
    found = fields.get("format") if isinstance(fields, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has format {found!r}; {FORMAT!r} is read. A GLaMM folder must pass "
            "`skycue convert` first."
        )
    try:
        return RegionModelRecord.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        raise CheckpointError(f"{path}: {where}: {first['msg']}.") from None
