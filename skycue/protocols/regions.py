"""What an ablation of a region model compares: variants of one recipe, seeds, and sets of boxes.

A variant is the recipe with some settings changed. Finished models stand beside the variants as
rows of their own. `region_runs.py` trains and examines them, `region_report.py` writes the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from skycue.backbones.sentence import SentenceEncoder
from skycue.config import Config, configs_folder, load_config
from skycue.data.instances import InstanceImage, read_coco
from skycue.data.regions import RegionRecord, read_records
from skycue.errors import ConfigError
from skycue.files import sha256_of
from skycue.protocols.scene_data import parse_data
from skycue.region_measures import METRICS, Metric
from skycue.region_recipe import RegionTrainingConfig


class RegionBenchmarkConfig(Config):
    """Settings of `skycue benchmark regions`."""

    base: Path = Path("mini_region")
    """Recipe that the variants change: a YAML file, or the name of a shipped one."""
    variants: dict[str, tuple[str, ...]] = Field(default={"reference": ()})
    """Settings that each variant changes, such as "model.mask_decoder.context='off'"."""
    models: dict[str, str] = Field(default_factory=dict)
    """Finished models by the name of their row: folders, or names such as `mini`."""
    references: tuple[str, ...] = ()
    """Rows that the others are compared with seed by seed, in a table each; empty, the first."""
    roots: dict[str, Path] = Field(default_factory=dict)
    """Folder of the images of a set by its name; not given, the folder of its records."""
    instances: dict[str, Path] = Field(default_factory=dict)
    """COCO file of all objects of a set by its name, where its records hold only some."""
    metrics: tuple[Metric, ...] = METRICS
    """What to measure."""
    encoder: str = "minilm"
    """Compares phrases for recall."""


class RegionSet(NamedTuple):
    """Records to be measured on.

    Attributes:
        name: As tables call it.
        records: The boxes.
        root: Folder of the images.
        instances: All outlined objects; None where the records hold them all.
        sha256: Of the files of records and instances, joined by +.
    """

    name: str
    records: tuple[RegionRecord, ...]
    root: Path
    instances: tuple[InstanceImage, ...] | None
    sha256: str


@dataclass(frozen=True)
class RegionRow:
    """A row of the table: a variant to be trained, or a finished model."""

    name: str
    recipe: RegionTrainingConfig | None = None
    """What to train; None for a finished model."""
    model: str = ""
    """Name or folder of a finished model."""

    def seeds(self, seeds: Sequence[int]) -> Sequence[int]:
        """Return the seeds to run with: 0 alone for a finished model."""
        return seeds if self.recipe else (0,)


class RegionRun(NamedTuple):
    """What is asked for, checked.

    Attributes:
        folder: Where the run is written.
        rows: Models, in the order of the table.
        data: Sets to measure on.
        seeds: Of the trainings.
        metrics: What to measure.
        sentence: Compares phrases; None where recall is not measured.
        force: Replace what was made with other settings.
        references: Rows that the others are compared with; empty, the first.
    """

    folder: Path
    rows: tuple[RegionRow, ...]
    data: tuple[RegionSet, ...]
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...] = METRICS
    sentence: SentenceEncoder | None = None
    force: bool = False
    references: tuple[str, ...] = ()


def plan_rows(config: RegionBenchmarkConfig) -> tuple[RegionRow, ...]:
    """Load the recipe of each variant, so that a mistake in the last shows before the first trains.

    Raises:
        ConfigError: If a recipe is wrong, two rows have one name, or a reference is no row.
    """
    doubled = config.variants.keys() & config.models.keys()
    if doubled:
        raise ConfigError(f"two rows are named {min(doubled)!r}: rename the variant or the model.")
    names = (*config.variants, *config.models)
    for name in config.references:
        if name not in names:
            raise ConfigError(f"references: no row {name!r}; there are {', '.join(names)}.")
    variants = [
        RegionRow(name, recipe=load_config(RegionTrainingConfig, config.base, changes))
        for name, changes in config.variants.items()
    ]
    return (*variants, *(RegionRow(name, model=model) for name, model in config.models.items()))


def starts_of(rows: Sequence[RegionRow]) -> tuple[str, ...]:
    """Return the models that variants are fine-tuned from, each once."""
    starts = [str(row.recipe.start) for row in rows if row.recipe and row.recipe.start]
    return tuple(dict.fromkeys(starts))


def recipe_folder(config: RegionBenchmarkConfig) -> Path:
    """Return the folder of the recipe, beside which the lists that it names lie."""
    shipped = not config.base.suffix and len(config.base.parts) == 1
    return configs_folder() if shipped else config.base.parent


def load_sets(data: Sequence[str], config: RegionBenchmarkConfig) -> tuple[RegionSet, ...]:
    """Read the records of `NAME=RECORDS` arguments.

    Raises:
        ConfigError: If there is none, two have one name, or a setting names another set.
        SkycueError: If a file cannot be read.
    """
    paths = parse_data(data)
    for name in (*config.roots, *config.instances):
        if name not in paths:
            raise ConfigError(f"settings name a set {name!r}; --data gives {', '.join(paths)}.")
    sets = []
    for name, path in paths.items():
        records = read_records(path)
        coco = config.instances.get(name)
        files = [path] if coco is None else [path, coco]
        sets.append(
            RegionSet(
                name=name,
                records=records,
                root=config.roots.get(name, path.parent),
                instances=None if coco is None else read_coco(coco),
                sha256="+".join(sha256_of(file) for file in files),
            )
        )
    return tuple(sets)
