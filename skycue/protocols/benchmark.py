"""A benchmark from its settings to its results: data, rows, encoders, cells, tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from pydantic import Field, field_validator

from skycue.backbones.clip import Clip
from skycue.backbones.pretrained import load_clip, trained_on
from skycue.config import Config, configs_folder
from skycue.data.datasets.shared_classes import SharedClass
from skycue.device import resolve_device, resolve_dtype
from skycue.errors import ConfigError
from skycue.protocols import ablation, base_to_new, cross_dataset, domain_shift, few_shot
from skycue.protocols.budget import CommonBudget
from skycue.protocols.cell_work import RunFolder
from skycue.protocols.cells import (
    ALWAYS_SHOWN,
    ORACLE,
    Cell,
    Comparison,
    Row,
    Targets,
    split_hashes,
)
from skycue.protocols.encoders import EncoderPool, PoolPlan
from skycue.protocols.environment import Environment, describe_environment
from skycue.protocols.paired import Scores
from skycue.protocols.results import Results
from skycue.protocols.runs import run_cells
from skycue.protocols.scene_data import (
    load_data,
    parse_data,
    read_near_duplicates,
    require_one_kind,
)
from skycue.protocols.tables import Table
from skycue.protocols.workers import Limits
from skycue.scene_config import SceneConfig, config_of, require_known_descriptions
from skycue.scenes.registry import METHODS

logger = logging.getLogger(__name__)

ProtocolName: TypeAlias = Literal[
    "base-to-new", "cross-dataset", "domain-shift", "few-shot", "ablation"
]


NEAR_DUPLICATES = "near_duplicates.json"
"""Beside the configurations: test images that nearly equal images that `mini` may have seen."""


ALL = "all"
"""Stands for the names of all methods."""


class Protocol(NamedTuple):
    """How a protocol lists its cells, builds its tables, and sums up a row in one score."""

    plan: Callable[[Comparison], list[Cell]]
    tables: Callable[[Comparison, Results], list[Table]]
    scores: Callable[[Comparison, Results, int, Targets], Scores]


PROTOCOLS: Mapping[ProtocolName, Protocol] = {
    "base-to-new": Protocol(base_to_new.plan, base_to_new.tables, base_to_new.scores),
    "cross-dataset": Protocol(cross_dataset.plan, cross_dataset.tables, cross_dataset.scores),
    "domain-shift": Protocol(domain_shift.plan, domain_shift.tables, domain_shift.scores),
    "few-shot": Protocol(few_shot.plan, few_shot.tables, few_shot.scores),
    "ablation": Protocol(ablation.plan, ablation.tables, ablation.scores),
}


class BenchmarkConfig(Config):
    """Settings of a benchmark that are not on its command line."""

    methods: dict[str, SceneConfig] = Field(default_factory=dict)
    """Settings of a row by its name; a method's name without settings takes its defaults."""
    protocols: dict[ProtocolName, dict[str, SceneConfig]] = Field(default_factory=dict)
    """Settings of rows under one protocol, in place of those under `methods`."""
    epochs_of_shots: dict[str, dict[int, int]] = Field(default_factory=dict)
    """Epochs of a row at numbers of shots, where its authors name others than for 16."""
    common_budget: CommonBudget | None = None
    """The same images seen, augmentation and choice of an epoch for all rows; not given, each row
    has its own."""
    seen: tuple[str, ...] | None = None
    """Datasets, as `--data` names them, whose classes the backbone's training has shown it: they
    are marked, and means and tests are told apart by them; not given, those that the backbone's
    folder names in `trained_on.json`."""
    shared_classes: tuple[SharedClass, ...] | None = None
    """Which classes of the datasets mean the same, for domain shift: each a `name` for prompts and,
    for each dataset as `--data` names it, the `folders` (labels) that carry it, which are merged;
    not given, what `data/datasets/shared_classes.py` has of known datasets."""
    near_duplicates: Path | None = None
    """List of test images to leave out; not given, the one that comes with the package."""
    cache: Path | None = None
    """Folder of kept encodings; not given, `encodings` in the folder of the run."""
    fits: Path | None = None
    """Folder of finished trainings, for runs that train the same; not given, none are kept."""
    batch_size: int = Field(default=32, ge=1)
    """Images encoded at once."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Resident memory that all processes may take, in 10^9 bytes: fewer than `--jobs` start where
    more do not fit."""

    @field_validator("methods", mode="before")
    @classmethod
    def _name_methods(cls, given: object) -> object:
        return _named(given)

    @field_validator("protocols", mode="before")
    @classmethod
    def _name_methods_of_protocols(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {protocol: _named(rows) for protocol, rows in given.items()}

    def rows(self, protocol: ProtocolName, wanted: Sequence[str]) -> list[Row]:
        """Return the rows asked for behind those that always stand.

        Args:
            protocol: Whose settings count.
            wanted: Names of rows; "all" stands for every method.

        Raises:
            ConfigError: If a name is neither a method nor a row of the configuration.
        """
        known = {name: config_of(name) for name in METHODS} | self.methods
        known |= self.protocols.get(protocol, {})
        known.setdefault(ORACLE, known["bimors"])
        asked = [name for word in wanted for name in (METHODS if word == ALL else (word,))]
        names = list(dict.fromkeys((*ALWAYS_SHOWN, *asked)))
        for name in (*names, *self.epochs_of_shots):
            if name not in known:
                raise ConfigError(f"no method {name!r}; there are {', '.join(known)}, and {ALL}.")
        return [
            Row(
                name,
                known[name],
                epochs_of_shots=self.epochs_of_shots.get(name, {}),
                budget=self.common_budget,
            )
            for name in names
        ]


def _named(given: object) -> object:
    """Let a row without `method.name` be the method that the row is called after."""
    if not isinstance(given, dict):
        return given
    named: dict[object, object] = {}
    for name, settings in given.items():
        if name in METHODS and isinstance(settings, dict):
            method = settings.get("method", {})
            if isinstance(method, dict):
                settings = settings | {"method": {"name": name} | method}
        named[name] = settings
    return named


class Request(NamedTuple):
    """What is asked for on the command line."""

    protocol: ProtocolName
    data: tuple[str, ...]
    """`NAME=PATH` each."""
    methods: tuple[str, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    backbone: str
    folder: Path
    """Where the run is written."""
    device: str = "auto"
    dtype: str = "float32"
    force: bool = False
    jobs: int = 1
    """Cells done at a time, each in a process."""


@dataclass(frozen=True)
class Outcome:
    """A finished benchmark."""

    comparison: Comparison
    results: Results
    tables: tuple[Table, ...]
    scores: tuple[Scores, ...]
    """One for each number of shots that was asked for."""
    parts: tuple[Scores, ...]
    """The same of targets that the backbone has seen and of others, where there are both."""
    fingerprint: str
    environment: Environment
    common_budget: CommonBudget | None


def run_benchmark(request: Request, config: BenchmarkConfig) -> Outcome:
    """Run a benchmark, or what is left of it.

    Data and settings are checked before anything is trained.

    Raises:
        ConfigError: If a row is unknown or an option does not fit the protocol.
        SkycueError: Of the kind that fits what is wrong with data, backbone or the run's folder.
    """
    rows = config.rows(request.protocol, request.methods)
    _refuse_to_caption_in_each_process(rows, request.jobs)
    excluded = read_near_duplicates(config.near_duplicates or configs_folder() / NEAR_DUPLICATES)
    seen = trained_on(request.backbone) if config.seen is None else config.seen
    data = tuple(
        load_data(name, folder, seen=seen, excluded=excluded)
        for name, folder in parse_data(request.data).items()
    )
    require_one_kind(data)
    device = resolve_device(request.device)
    dtype = resolve_dtype(request.dtype, device)
    clip = load_clip(request.backbone, device)
    plan = PoolPlan(
        backbone=request.backbone,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        cache=config.cache or request.folder / "encodings",
        batch_size=config.batch_size,
        data=data,
        needs=frozenset().union(*(row.needs for row in rows)),
    )
    pool = plan.open(clip)
    if request.protocol == "ablation":
        rows = _ablation_rows(rows, clip, pool)
    comparison = Comparison(data, tuple(rows), request.shots, request.seeds, config.shared_classes)
    protocol = PROTOCOLS[request.protocol]
    folder = RunFolder(
        request.folder, clip.fingerprint, split_hashes(data), config.fits, request.force
    )
    scored = request.shots[:1] if request.protocol == "ablation" else request.shots
    limits = Limits(request.jobs, config.memory_gb)
    cells = protocol.plan(comparison)
    for row in rows:
        exams = [exam for cell in cells if cell.row.name == row.name for exam in cell.exams]
        require_known_descriptions(row.config, dict.fromkeys(e.class_names for e in exams))
    results = run_cells(cells, folder, pool, plan, limits)
    return Outcome(
        comparison=comparison,
        results=results,
        tables=tuple(protocol.tables(comparison, results)),
        scores=tuple(protocol.scores(comparison, results, shots, "all") for shots in scored),
        parts=tuple(
            protocol.scores(comparison, results, shots, targets)
            for shots in scored
            for targets in comparison.parts
        ),
        fingerprint=clip.fingerprint,
        environment=describe_environment(device, dtype, jobs=limits.jobs, threads=limits.threads),
        common_budget=config.common_budget,
    )


def _refuse_to_caption_in_each_process(rows: Sequence[Row], jobs: int) -> None:
    """Refuse a captioning model in several processes: each would write the same captions."""
    for row in rows:
        if jobs > 1 and row.reads_captions and row.config.captions.startswith("hf:"):
            raise ConfigError(
                f"{row.name} takes captions from {row.config.captions}, which each of {jobs} "
                "processes would write again: write them once by `skycue caption` and name the "
                "file, captions=file:captions.jsonl, or use --jobs 1."
            )


def _ablation_rows(rows: Sequence[Row], clip: Clip, pool: EncoderPool) -> list[Row]:
    """Return what always stands and the variants of BiMoRS."""
    reference = next((row for row in rows if row.name == ablation.REFERENCE), None)
    if reference is None:
        raise ConfigError("an ablation is one of bimors: ask for it, --methods bimors.")
    sentence = pool.encoder_of(reference).sentence
    assert sentence is not None, "bimors reads captions"
    fixed = [row for row in rows if row.name in ALWAYS_SHOWN]
    width = sentence.settings.dim
    variants = ablation.ablation_rows(reference.config, clip, width)
    return [*fixed, *(replace(row, budget=reference.budget) for row in variants)]
