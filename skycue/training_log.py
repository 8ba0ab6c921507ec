"""What a training run writes down while it runs: JSON Lines, and curves for TensorBoard.

A run that is resumed runs some steps again. Its log then goes on before the first of these, so
that no step stands in it twice.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from skycue.distributed import process_index
from skycue.errors import MissingToolError
from skycue.files import write_atomically
from skycue.training import StepRecord
from skycue.training_state import EpochRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

TENSORBOARD_FOLDER = "tensorboard"


class TrainingLog:
    """The log of one stage of a run; only the first process writes.

    Lines hold `step`, counted from 1 since the start of the stage, and either the terms of the
    loss with rate and speed, or what an epoch gave.
    """

    def __init__(
        self, folder: Path, stage: str, *, every: int = 10, tensorboard: bool = False
    ) -> None:
        """Prepare the log; files are touched at the first record.

        Args:
            folder: Where `STAGE.jsonl` stands, and `tensorboard/STAGE` where asked for.
            stage: Name of the stage.
            every: Steps a line; its terms are those of its own step, its speed is over all.
            tensorboard: Write curves too.

        Raises:
            MissingToolError: If TensorBoard is asked for and not installed.
        """
        self.path = folder / f"{stage}.jsonl"
        self.every = every
        self._step = 0
        self._is_open = False
        self._items, self._since = 0, time.monotonic()
        self._curves_at = folder / TENSORBOARD_FOLDER / stage if tensorboard else None
        self._curves: SummaryWriter | None = None
        if tensorboard:
            _import_writer()

    def note_step(self, record: StepRecord) -> None:
        """Count a step, and write a line if it is its turn."""
        if process_index() != 0:
            return
        self._open_before(record.step)
        self._step = record.step
        self._items += record.n_items
        if record.step % self.every:
            return
        now = time.monotonic()
        speed = self._items / max(now - self._since, 1e-9)
        self._items, self._since = 0, now
        total = sum(record.terms.values())
        numbers = {"loss": total} | dict(record.terms) | {"lr": record.lr, "images_per_s": speed}
        self._write({"epoch": record.epoch}, numbers)

    def note_epoch(self, record: EpochRecord) -> None:
        """Write a line about an epoch: its mean loss and its validation."""
        if process_index() != 0:
            return
        numbers = {"mean_loss": record.loss}
        if record.validation is not None:
            numbers["validation"] = record.validation
        self._write({"epoch": record.epoch}, numbers)

    def close(self) -> None:
        """Let go of TensorBoard's file."""
        if self._curves is not None:
            self._curves.close()
            self._curves = None

    def _write(self, place: Mapping[str, int], numbers: Mapping[str, float]) -> None:
        if self._curves is not None:
            for name, value in numbers.items():
                self._curves.add_scalar(name, value, self._step)
            self._curves.flush()
        rounded = {name: float(f"{value:.6g}") for name, value in numbers.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self._step} | dict(place) | rounded) + "\n")

    def _open_before(self, step: int) -> None:
        """At the first step of this process, drop what an earlier one wrote of it and later."""
        if self._is_open:
            return
        self._is_open = True
        if self.path.is_file():
            kept = [line for line in self.path.read_text().splitlines() if _stands(line, step)]
            write_atomically(self.path, "".join(line + "\n" for line in kept))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._curves_at is not None:
            self._curves = _import_writer()(str(self._curves_at), purge_step=step)


def _stands(line: str, step: int) -> bool:
    """Tell whether a line of a log is whole and speaks of an earlier step."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:  # the process was killed while it wrote the line
        return False
    return bool(fields["step"] < step)


def _import_writer() -> "type[SummaryWriter]":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingToolError(
            "TensorBoard is not installed: pip install 'skycue[train]', or train without "
            "--tensorboard."
        ) from error
    return SummaryWriter
