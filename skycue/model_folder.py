"""The folder of a fitted classifier: `config.json` and `learned.safetensors`, and nothing to run.

The folder holds what training changed and every frozen random tensor, but not the backbone: it
names that by a fingerprint of configuration, vocabulary and weights.
"""

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from skycue.backbones.sentence import SentenceSettings
from skycue.backbones.text_source import TextSettings
from skycue.config import Config
from skycue.errors import BackboneMismatchError, CaptionError, CheckpointError
from skycue.files import write_atomically
from skycue.label_scores import LabelScores
from skycue.scene_config import SceneConfig
from skycue.training_state import EpochRecord

CONFIG_FILE = "config.json"
LEARNED_FILE = "learned.safetensors"
STATE_FOLDER = ".state"
"""Holds the training state while the model is unfinished."""
SHOWN_DIGITS = 12
"""Digits of a hash that a message shows."""


class FitFacts(Config):
    """How a classifier came about; not given where it was fitted from a list of images."""

    seed: int
    """Of the few-shot draw, of the random starts and of the batches."""
    n_train: int
    """Images learned from."""
    shots: int | None = None
    """Images of each class, K."""
    split_sha256: str | None = None
    """Hash of the split that the images were drawn from."""
    validation_accuracy: float | None = None
    """Share of the validation images whose most probable class is the true one, in [0, 1]."""
    validation_map: float | None = None
    """Mean average precision on the validation images, where images show several classes."""
    n_validation: int = 0
    """Validation images."""
    epochs: tuple[EpochRecord, ...] = ()
    """How training went."""
    interpolation: float | None = None
    """Share of what was learned that was kept, where the configuration says `interpolate`."""


class ModelRecord(Config):
    """All that `config.json` says."""

    format: Literal["skycue-scene-1"] = "skycue-scene-1"
    """Another value is another layout and is refused."""
    config: SceneConfig
    """Method, training and names, complete."""
    class_names: tuple[str, ...]
    """Names of the classes as their folders say."""
    prompt_names: tuple[str, ...]
    """The same as prompts read them: cleaned, unless `config.raw_names`."""
    backbone: str
    """Name that the backbone was loaded by."""
    backbone_fingerprint: str
    """SHA-256 of the backbone itself."""
    captions: TextSettings | None = None
    """What wrote the captions; none where the method reads none."""
    sentence_encoder: SentenceSettings | None = None
    """What turned them into vectors."""
    label_scores: LabelScores | None = None
    """How logits become probabilities and labels, where images show several classes."""
    fit: FitFacts
    """How the classifier came about."""
    learned_sha256: str
    """Of `learned.safetensors`."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of skycue, torch and Python."""

    def require_backbone(self, name: str, fingerprint: str) -> None:
        """Refuse another backbone than the one the classifier was fitted with.

        Raises:
            BackboneMismatchError: If the fingerprints differ; the message names both.
        """
        if fingerprint != self.backbone_fingerprint:
            raise BackboneMismatchError(
                f"this classifier was fitted with backbone {self.backbone!r} "
                f"({self.backbone_fingerprint[:SHOWN_DIGITS]}), not with {name!r} "
                f"({fingerprint[:SHOWN_DIGITS]}): give the one it was fitted with by --backbone, "
                "or fit it again."
            )

    def require_captions(
        self, captions: TextSettings | None, sentence: SentenceSettings | None
    ) -> None:
        """Refuse captions or sentence vectors of another origin than those learned from.

        Raises:
            CaptionError: If their makers differ.
        """
        if self.captions and captions and not self.captions.same_maker(captions):
            raise CaptionError(
                f"this classifier learned from captions of {self.captions.maker}, not of "
                f"{captions.maker}: caption the images in the same way."
            )
        if self.sentence_encoder != sentence:
            raise CaptionError(
                f"this classifier learned from vectors of {self.sentence_encoder}, not of "
                f"{sentence}: install that sentence encoder, or fit again."
            )


class LearnedModel(NamedTuple):
    """What a model folder holds."""

    record: ModelRecord
    learned: dict[str, Tensor]


def learned_bytes(learned: Mapping[str, Tensor]) -> bytes:
    """Return the content of `learned.safetensors`."""
    return safetensors_bytes({name: tensor.cpu().contiguous() for name, tensor in learned.items()})


def hash_of_bytes(content: bytes) -> str:
    """Return the SHA-256 of some bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def installed_versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "skycue": version("skycue"),
        "torch": version("torch"),
        "python": platform.python_version(),
    }


def write_model(folder: Path, record: ModelRecord, content: bytes) -> None:
    """Write a model folder; `config.json` comes last, so a folder that has one is complete."""
    write_atomically(folder / LEARNED_FILE, content)
    write_atomically(folder / CONFIG_FILE, record.model_dump_json(indent=1) + "\n")


def read_model(folder: Path) -> LearnedModel:
    """Read a model folder.

    Raises:
        CheckpointError: If a file is missing or damaged, or the two do not belong together.
    """
    path, learned = folder / CONFIG_FILE, folder / LEARNED_FILE
    for file in (path, learned):
        if not file.is_file():
            raise CheckpointError(
                f"no {file.name} in {folder}: a model is a folder made by `skycue fit`; if that "
                "was interrupted, run the same command again."
            )
    try:
        record = ModelRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is not the file of a fitted model: {_first(error)}."
        ) from None
    content = learned.read_bytes()
    if hash_of_bytes(content) != record.learned_sha256:
        raise CheckpointError(f"{learned} does not belong to {path} or is damaged. Fit it again.")
    try:
        return LearnedModel(record, tensors_of(content))
    except SafetensorError as error:
        raise CheckpointError(
            f"{learned} is no safetensors file ({error}). Fit it again."
        ) from None


def _first(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in detail["loc"])
    return f"{place or 'content'}: {detail['msg']}"
