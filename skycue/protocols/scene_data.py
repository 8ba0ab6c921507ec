"""Datasets as a benchmark uses them: their split, what the backbone has seen, what is left out."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from skycue.data.captions import CAPTIONS_FILE, read_captions
from skycue.data.scenes import SceneItem, SceneSplit
from skycue.data.splits import load_split
from skycue.errors import ConfigError

logger = logging.getLogger(__name__)

SEEN = "classes seen in pre-training"
"""How tables mark a dataset whose classes the backbone's training has shown it."""


class _Pair(BaseModel, frozen=True):
    """Two images that show the same place."""

    train: str
    evaluation: str


class _NearDuplicates(BaseModel, frozen=True):
    """What is read of a list of near-duplicates."""

    pairs: tuple[_Pair, ...]


@dataclass(frozen=True)
class SceneData:
    """A dataset of a run."""

    name: str
    split: SceneSplit
    test: tuple[SceneItem, ...]
    """The test part without images that the backbone may have seen."""
    n_excluded: int = 0
    """Test images left out because they nearly equal an image of the backbone's training."""
    is_seen: bool = False
    """Whether the backbone's training showed it images of these classes with their names."""
    human_captions: Path | None = None
    """Captions by people, where there are some: for the oracle row alone."""

    @property
    def mark(self) -> str:
        """What follows the name in titles: `SEEN` in brackets, or nothing."""
        return f" ({SEEN})" if self.is_seen else ""

    @property
    def measure(self) -> str:
        """What tables of this dataset show: mAP where images show several classes."""
        return "mAP" if self.split.is_multi_label else "top-1 accuracy"


def require_one_kind(data: Sequence[SceneData]) -> None:
    """Refuse datasets of one label an image beside datasets of several.

    Raises:
        ConfigError: If there are both; their numbers are not of one kind.
    """
    several = [each.name for each in data if each.split.is_multi_label]
    if several and len(several) < len(data):
        raise ConfigError(
            f"images of {', '.join(several)} have several labels, those of the other datasets one: "
            "run a benchmark for each kind."
        )


def parse_data(arguments: Sequence[str]) -> dict[str, Path]:
    """Read `NAME=PATH` arguments; a bare path is named after its folder.

    Raises:
        ConfigError: If there is none, or two have one name.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        name, separator, path = argument.partition("=")
        folder = Path(path if separator else argument)
        name = name if separator else folder.resolve().name
        if name in found:
            raise ConfigError(f"two datasets are named {name!r}: name them apart, NAME=PATH.")
        found[name] = folder
    if not found:
        raise ConfigError("no dataset is given: name at least one, as in --data ucm=tiles/ucm.")
    return found


def read_near_duplicates(path: Path) -> frozenset[str]:
    """Return the evaluation images of a list of near-duplicates, as `dataset/path`.

    Raises:
        ConfigError: If the file is missing or no such list.
    """
    try:
        found = _NearDuplicates.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read the near-duplicates {path}: {error.strerror}.") from error
    except ValidationError as error:
        raise ConfigError(f"{path} is no list of near-duplicates: no `pairs` are in it.") from error
    return frozenset(pair.evaluation for pair in found.pairs)


def load_data(
    name: str, folder: Path, *, seen: Collection[str], excluded: Collection[str]
) -> SceneData:
    """Load the split of a dataset and leave near-duplicates out of its test part.

    Args:
        name: The dataset's name in tables.
        folder: Its folder.
        seen: Names of the datasets that the backbone was trained on.
        excluded: Images to leave out, as `name/path relative to folder`.

    Raises:
        DatasetError: If something is wrong with the folder or its images.
        SplitError: If its split file cannot be used.
    """
    split = load_split(folder)
    test = tuple(
        item
        for item in split.test
        if f"{name}/{item.path.relative_to(folder).as_posix()}" not in excluded
    )
    n_excluded = len(split.test) - len(test)
    if n_excluded:
        logger.info("%s: %d near-duplicates left out of the test images", name, n_excluded)
    return SceneData(
        name=name,
        split=split,
        test=test,
        n_excluded=n_excluded,
        is_seen=name in seen,
        human_captions=_human_captions(folder),
    )


def _human_captions(folder: Path) -> Path | None:
    """Return the dataset's captions file if people wrote it: its lines name no maker."""
    path = folder / CAPTIONS_FILE
    if path.is_file() and not any(record.settings for record in read_captions(path)):
        return path
    return None
