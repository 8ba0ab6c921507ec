"""Ablation of a region model: variants of one recipe, trained with several seeds, on several sets.

A variant is the recipe with some settings changed. Each is trained once a seed and describes the
same boxes: tight ones, and shuffled and jittered ones that are drawn alike for all. Finished models
stand beside the variants as rows of their own. Everything that is finished is kept in the folder of
the run (`models/`, `predictions/`, `cells/`), so a run that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, Field, ValidationError

from skycue.backbones.sentence import SentenceEncoder
from skycue.config import Config, configs_folder, load_config
from skycue.data.instances import InstanceImage, read_coco
from skycue.data.regions import RegionRecord, read_records
from skycue.errors import ConfigError, RunError
from skycue.files import sha256_of, write_atomically
from skycue.protocols.cells import file_name
from skycue.protocols.scene_data import parse_data
from skycue.region_evaluation import RegionEvaluationOptions, evaluate_regions
from skycue.region_measures import METRICS, Metric
from skycue.region_predictions import Describer, drop_other_answers, identify_model
from skycue.region_recipe import RegionTrainingConfig
from skycue.region_scores import RegionScores

logger = logging.getLogger(__name__)

Train: TypeAlias = Callable[[RegionTrainingConfig, Path, int], None]
"""Trains a recipe into a folder with a seed, and goes on where a killed training was."""
Load: TypeAlias = Callable[[str], Describer]
"""Opens a model by the name of its folder, or another name."""

PROMPT_SEED = 1
"""Of shuffled and jittered boxes: the same boxes for every model, so that rows can be compared."""


class RegionBenchmarkConfig(Config):
    """Settings of `skycue benchmark regions`."""

    base: Path = Path("mini_region")
    """Recipe that the variants change: a YAML file, or the name of a shipped one."""
    variants: dict[str, tuple[str, ...]] = Field(default={"reference": ()})
    """Settings that each variant changes, such as "model.mask_decoder.context='off'"; the first
    variant is the one that the others are compared with."""
    models: dict[str, str] = Field(default_factory=dict)
    """Finished models by the name of their row: folders, or names such as `mini`."""
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
        sha256: Of the files of records and instances.
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


class _Kept(BaseModel, frozen=True, extra="forbid"):
    """What is kept of finished work."""

    identity: str
    """Hash of all that the result depends on."""


R = TypeVar("R", bound=_Kept)


class RegionCell(_Kept):
    """The result of one model on one set: the JSON file of a cell."""

    row: str
    data: str
    seed: int
    """Of the training; 0 for a finished model."""
    scores: RegionScores
    train_s: float
    """Seconds of training; of a training that was killed, the last part."""
    exam_s: float
    """Seconds of describing and measuring, likewise."""


class _Training(_Kept):
    """Says that a model of the run is finished."""

    train_s: float


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
    """

    folder: Path
    rows: tuple[RegionRow, ...]
    data: tuple[RegionSet, ...]
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...] = METRICS
    sentence: SentenceEncoder | None = None
    force: bool = False


def plan_rows(config: RegionBenchmarkConfig) -> tuple[RegionRow, ...]:
    """Load the recipe of each variant, so that a mistake in the last shows before the first trains.

    Raises:
        ConfigError: If a recipe is wrong or two rows have one name.
    """
    doubled = config.variants.keys() & config.models.keys()
    if doubled:
        raise ConfigError(f"two rows are named {min(doubled)!r}: rename the variant or the model.")
    variants = [
        RegionRow(name, recipe=load_config(RegionTrainingConfig, config.base, changes))
        for name, changes in config.variants.items()
    ]
    return (*variants, *(RegionRow(name, model=model) for name, model in config.models.items()))


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
                sha256=_hash([sha256_of(file) for file in files]),
            )
        )
    return tuple(sets)


def run_regions(run: RegionRun, *, train: Train, load: Load) -> tuple[RegionCell, ...]:
    """Train and examine what is not finished yet, and return all cells.

    Args:
        run: What is asked for.
        train: Trains a variant into a folder.
        load: Opens a model.

    Raises:
        RunError: If something in the folder was made with other settings and `force` is not set.
    """
    cells = []
    for row in run.rows:
        for seed in row.seeds(run.seeds):
            model, identity, train_s = _trained(run, row, seed, train)
            found = [_finished(run, row, seed, each, identity) for each in run.data]
            describer = load(model) if None in found else None
            for data, cell in zip(run.data, found, strict=True):
                if cell is None:
                    assert describer is not None, "opened where a cell is not finished"
                    cell = _examine(run, row, seed, data, describer, identity, train_s)
                cells.append(cell)
    return tuple(cells)


def _trained(run: RegionRun, row: RegionRow, seed: int, train: Train) -> tuple[str, str, float]:
    """Return name, identity and training seconds of a model, which is trained if it is not."""
    if row.recipe is None:
        return row.model, identify_model(row.model), 0.0
    key = file_name(f"{row.name}_seed-{seed}")
    identity = _hash({"recipe": row.recipe.model_dump(mode="json"), "seed": seed})
    folder, marker = run.folder / "models" / key, run.folder / "models" / f"{key}.json"
    done = _read(_Training, marker, identity, force=run.force)
    if done is None:
        if marker.is_file():  # of other settings, and `force` is set
            shutil.rmtree(folder, ignore_errors=True)
        logger.info("training %s with seed %d", row.name, seed)
        started = time.perf_counter()
        train(row.recipe, folder, seed)
        done = _Training(identity=identity, train_s=round(time.perf_counter() - started, 3))
        write_atomically(marker, done.model_dump_json() + "\n")
    return str(folder), f"{row.name}, seed {seed} ({identity[:12]})", done.train_s


def _finished(
    run: RegionRun, row: RegionRow, seed: int, data: RegionSet, model: str
) -> RegionCell | None:
    """Return the cell that an earlier run left; None if there is none to use."""
    path = _cell_file(run, row, seed, data)
    return _read(RegionCell, path, _cell_identity(run, data, model), force=run.force)


def _examine(
    run: RegionRun,
    row: RegionRow,
    seed: int,
    data: RegionSet,
    describer: Describer,
    model: str,
    train_s: float,
) -> RegionCell:
    """Let a model describe a set, and keep what it got."""
    path = _cell_file(run, row, seed, data)
    started = time.perf_counter()
    options = RegionEvaluationOptions(
        predictions=run.folder / "predictions" / f"{path.stem}.jsonl",
        model=model,
        name=data.name,
        metrics=run.metrics,
        sentence=run.sentence,
        instances=data.instances,
        seed=PROMPT_SEED,
    )
    if run.force:
        drop_other_answers(options.predictions, model)
    scores = evaluate_regions(describer, data.records, data.root, options)
    cell = RegionCell(
        identity=_cell_identity(run, data, model),
        row=row.name,
        data=data.name,
        seed=seed,
        scores=scores,
        train_s=train_s,
        exam_s=round(time.perf_counter() - started, 3),
    )
    write_atomically(path, cell.model_dump_json(indent=1) + "\n")
    logger.info("%s: P-IoU %s", path.stem, scores.columns.get("p_iou"))
    return cell


def _cell_file(run: RegionRun, row: RegionRow, seed: int, data: RegionSet) -> Path:
    """Return where a cell's result lies."""
    return run.folder / "cells" / f"{file_name(f'{row.name}_{data.name}_seed-{seed}')}.json"


def _cell_identity(run: RegionRun, data: RegionSet, model: str) -> str:
    """Hash all that a cell's result depends on."""
    encoder = run.sentence and run.sentence.name
    return _hash([model, data.sha256, sorted(run.metrics), encoder])


def _read(kind: type[R], path: Path, identity: str, *, force: bool) -> R | None:
    """Return what an earlier run left in a file; None if there is nothing to use."""
    if not path.is_file():
        return None
    try:
        found = kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = f"is no result of this version ({error.error_count()} fields are wrong)"
    else:
        if found.identity == identity:
            return found
        problem = "was made with other settings, data or model"
    if force:
        return None
    raise RunError(f"{path} {problem}: write to another folder with -o, or run again with --force.")


def _hash(facts: object) -> str:
    """Return the SHA-256 of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
