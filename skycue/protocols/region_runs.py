"""Work off an ablation of a region model: train each variant once a seed, let it describe each set.

All models describe the same boxes: tight ones, and shuffled and jittered ones that are drawn alike
for all. In the folder of a run, finished models lie under `models/` with a file that says so,
answers under `predictions/` and results under `cells/`; a run that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from skycue.errors import RunError
from skycue.files import write_atomically
from skycue.protocols.cells import file_name
from skycue.protocols.regions import RegionRow, RegionRun, RegionSet
from skycue.region_evaluation import RegionEvaluationOptions, evaluate_regions
from skycue.region_predictions import Describer, drop_other_answers
from skycue.region_recipe import RegionTrainingConfig
from skycue.region_scores import RegionScores

logger = logging.getLogger(__name__)

Train: TypeAlias = Callable[[RegionTrainingConfig, Path, int], None]
"""Trains a recipe into a folder with a seed, and goes on where a killed training was."""
Load: TypeAlias = Callable[[str], Describer]
"""Opens a model by the name of its folder, or another name."""

PROMPT_SEED = 1
"""Of shuffled and jittered boxes: the same boxes for every model, so that rows can be compared."""


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


class _Model(NamedTuple):
    """A finished model.

    Attributes:
        identity: Says all that its answers depend on.
        train_s: Seconds of its training; 0 if it was not trained here.
        open: Loads it.
    """

    identity: str
    train_s: float
    open: Callable[[], Describer]


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
            model = _model_of(run, row, seed, train, load)
            found = [_finished(run, row, seed, each, model.identity) for each in run.data]
            describer = model.open() if None in found else None
            for data, cell in zip(run.data, found, strict=True):
                if cell is None:
                    assert describer is not None, "opened where a cell is not finished"
                    cell = _examine(run, row, seed, data, model, describer)
                cells.append(cell)
    return tuple(cells)


def _model_of(run: RegionRun, row: RegionRow, seed: int, train: Train, load: Load) -> _Model:
    """Return the model of a row and seed, which is trained if it is not yet."""
    if row.recipe is None:
        describer = load(row.model)  # what it is, only its weights say
        return _Model(describer.model, 0.0, lambda: describer)
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
    return _Model(identity, done.train_s, lambda: load(str(folder)))


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
    model: _Model,
    describer: Describer,
) -> RegionCell:
    """Let a model describe a set, and keep what it got."""
    path = _cell_file(run, row, seed, data)
    started = time.perf_counter()
    options = RegionEvaluationOptions(
        predictions=run.folder / "predictions" / f"{path.stem}.jsonl",
        name=data.name,
        metrics=run.metrics,
        sentence=run.sentence,
        instances=data.instances,
        seed=PROMPT_SEED,
    )
    if run.force:
        drop_other_answers(options.predictions, describer.model)
    scores = evaluate_regions(describer, data.records, data.root, options)
    cell = RegionCell(
        identity=_cell_identity(run, data, model.identity),
        row=row.name,
        data=data.name,
        seed=seed,
        scores=scores,
        train_s=model.train_s,
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
