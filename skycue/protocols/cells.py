"""Cells: the units of a benchmark, each one training and the exams that follow it.

A protocol lists its cells; `runs.py` works them off. A result is a function of the fields of its
cell, so a finished cell is never computed again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from skycue.data.datasets.shared_classes import SharedClass
from skycue.data.few_shot import draw, draw_at_most
from skycue.data.scenes import SceneItem, is_multi_label
from skycue.fitting import picks_by_validation
from skycue.protocols.budget import CommonBudget
from skycue.protocols.scene_data import SceneData
from skycue.scene_config import SceneConfig
from skycue.scenes.base import Need
from skycue.scenes.registry import METHODS, needs_of

ZERO_SHOT = "zero-shot"
LINEAR_PROBE = "linear-probe"
ALWAYS_SHOWN = (ZERO_SHOT, LINEAR_PROBE)
"""Rows that stand in every table: if they win, it shows."""

ORACLE = "oracle captions"
"""Row of BiMoRS with captions that people wrote for the very images: they name the class, so it is
a bound and never a result."""

Targets: TypeAlias = Literal["unseen", "seen", "all"]
"""Which datasets' images count: those that the backbone's training has not seen, those it has."""

Texts: TypeAlias = Literal["own", "shuffled", "equal"]
"""Which caption an image gets: its own, that of another image, or the same as all others."""


@dataclass(frozen=True)
class Row:
    """A row of the table: a method with its settings."""

    name: str
    config: SceneConfig
    texts: Texts = "own"
    epochs_of_shots: Mapping[int, int] = field(default_factory=dict)
    """Epochs at numbers of shots, where they are not those of `config`."""
    budget: CommonBudget | None = None
    """What takes the place of the row's own epochs, choice of an epoch and augmentation."""

    def at(self, shots: int, n_items: int) -> Row:
        """Return the row with the settings that it trains by.

        Args:
            shots: Training images of a class.
            n_items: Training images.
        """
        method, _ = METHODS[self.config.method.name]
        if method.trains != "gradient":
            return self
        config = self.config
        if self.budget is not None:
            config = self.budget.apply(config, n_items)
        elif shots in self.epochs_of_shots:
            train = config.train.model_copy(update={"epochs": self.epochs_of_shots[shots]})
            config = config.model_copy(update={"train": train})
        return replace(self, config=config)

    @property
    def trains(self) -> bool:
        """Whether the method learns anything: if not, draws and seeds change nothing."""
        method, _ = METHODS[self.config.method.name]
        return method.trains != "nothing"

    @property
    def needs(self) -> frozenset[Need]:
        """What the method reads of an image."""
        return needs_of(self.config.method)

    @property
    def reads_captions(self) -> bool:
        """Whether the method needs captions."""
        return "caption" in self.needs

    @property
    def scores_new_classes(self) -> bool:
        """Whether classes can be scored that it was not trained on."""
        method, _ = METHODS[self.config.method.name]
        return method.scores_new_classes


@dataclass(frozen=True)
class Comparison:
    """What is compared: rows on data with numbers of shots and seeds."""

    data: tuple[SceneData, ...]
    rows: tuple[Row, ...]
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    shared_classes: tuple[SharedClass, ...] | None = None
    """Which classes mean the same, for domain shift; None for what is written down of the data."""

    def rows_for(self, data: SceneData) -> Iterator[Row]:
        """Yield the rows that can be run on a dataset: `ORACLE` needs captions by people."""
        for row in self.rows:
            if row.name != ORACLE:
                yield row
            elif data.human_captions is not None:
                captions = f"oracle:{data.human_captions}"
                yield replace(row, config=row.config.model_copy(update={"captions": captions}))

    @property
    def parts(self) -> tuple[Targets, ...]:
        """The kinds of targets to tell apart: none unless datasets of both kinds are compared."""
        return ("unseen", "seen") if len({data.is_seen for data in self.data}) > 1 else ()

    def asked(self, targets: Targets) -> tuple[SceneData, ...]:
        """Return the datasets whose test images count."""
        kinds = {"unseen": (False,), "seen": (True,), "all": (False, True)}[targets]
        return tuple(data for data in self.data if data.is_seen in kinds)

    def draws(self, row: Row) -> list[tuple[int, int]]:
        """Return the (shots, seed) to run a row with; (0, 0) alone if it learns nothing."""
        if not row.trains:
            return [(0, 0)]
        return [(shots, seed) for shots in self.shots for seed in self.seeds]


class Exam(NamedTuple):
    """Test images and the classes to tell apart on them."""

    name: str
    """What it is called in tables: "base", "new", or the name of a dataset."""
    class_names: tuple[str, ...]
    """As the folders say."""
    items: tuple[SceneItem, ...]
    """Their labels index into `class_names`."""


@dataclass(frozen=True)
class Cell:
    """One training of one row and its exams."""

    row: Row
    data: str
    """What it was trained on, as tables call it."""
    shots: int
    seed: int
    class_names: tuple[str, ...]
    train: tuple[SceneItem, ...]
    """Their labels index into `class_names`; none for a method that learns nothing."""
    validation: tuple[SceneItem, ...]
    """For the choice of what is kept of the training, and of thresholds where images show several
    classes; none where nothing is to be chosen."""
    exams: tuple[Exam, ...]

    @property
    def key(self) -> str:
        """Name the cell in file names: unique in its run."""
        return cell_key(self.data, self.row.name, self.shots, self.seed)

    @property
    def paths(self) -> list[Path]:
        """The images that it reads, each once."""
        items = [item for exam in self.exams for item in exam.items]
        return list(dict.fromkeys(i.path for i in (*items, *self.validation, *self.train)))

    def training_identity(self, fingerprint: str) -> str:
        """Hash all that the training depends on; equal wherever the datasets lie.

        Args:
            fingerprint: Of the backbone.
        """
        facts = {
            "backbone": fingerprint,
            "config": self.row.config.model_dump(mode="json"),
            "texts": self.row.texts,
            "seed": self.seed,
            "classes": self.class_names,
            "train": _names(self.train),
            "validation": _names(self.validation),
        }
        return _hash(facts)

    def identity(self, fingerprint: str) -> str:
        """Hash all that the cell's result depends on, its exams included."""
        exams = [[exam.name, exam.class_names, _names(exam.items)] for exam in self.exams]
        return _hash({"training": self.training_identity(fingerprint), "exams": exams})


def _hash(facts: Mapping[str, object]) -> str:
    """Return the SHA-256 of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def cell_key(data: str, row: str, shots: int, seed: int) -> str:
    """Return the key of a cell, fit for a file name."""
    return file_name(f"{data}_{row}_{shots}-shots_seed-{seed}")


def file_name(text: str) -> str:
    """Return words as a file name: whatever is no letter, digit, dot or underscore becomes -."""
    return re.sub(r"[^\w.]+", "-", text)


def draw_cells(
    comparison: Comparison,
    row: Row,
    data: str,
    class_names: Sequence[str],
    parts: tuple[Sequence[SceneItem], Sequence[SceneItem]],
    exams: Sequence[Exam],
) -> Iterator[Cell]:
    """Yield a cell for each number of shots and seed.

    Args:
        comparison: Says which shots and seeds.
        row: The method.
        data: Name of what is trained on.
        class_names: The classes trained on.
        parts: The train and validation images to draw from.
        exams: What the trained method is asked.

    Raises:
        ShotsError: If a class has fewer images than are to be drawn.
    """
    train, validation = parts
    for shots, seed in comparison.draws(row):
        drawn = draw(train, shots, seed, class_names) if shots else ()
        own = row.at(shots, len(drawn))
        n_validation = own.config.validation_shots if picks_by_validation(own.config) else 0
        if is_multi_label(validation):  # thresholds are chosen, by zero-shot too
            held_out = draw_at_most(validation, own.config.validation_shots, seed)
        else:
            held_out = draw(validation, n_validation, seed) if shots and n_validation else ()
        yield Cell(
            row=own,
            data=data,
            shots=shots,
            seed=seed,
            class_names=tuple(class_names),
            train=drawn,
            validation=held_out,
            exams=tuple(exams),
        )


def _names(items: Sequence[SceneItem]) -> list[tuple[str, str, int | tuple[int, ...]]]:
    """Name images by folder, file and label."""
    return [(item.path.parent.name, item.path.name, item.label) for item in items]


def split_hashes(data: Sequence[SceneData]) -> dict[str, str]:
    """Return the hash of each dataset's split."""
    return {each.name: each.split.sha256 for each in data}
