"""What a finished cell leaves behind, and how tables read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from skycue.evaluation import AnyEvaluation, Evaluation
from skycue.protocols.tables import Measure
from skycue.scene_config import SceneConfig


class ExamResult(BaseModel, frozen=True, extra="forbid"):
    """The answer to one exam."""

    name: str
    evaluation: AnyEvaluation | None
    """None where the method cannot score the classes asked for."""


class FitCost(BaseModel, frozen=True, extra="forbid"):
    """What the training of a method took."""

    seconds: float
    """Of the whole training, encodings that are kept not included."""
    peak_mb: float | None
    """Most memory above what the process held before, in 10^6 bytes; None where not measured."""


class CellCost(BaseModel, frozen=True, extra="forbid"):
    """What a cell took."""

    encode_s: float
    """Seconds to read or make encodings that are kept, which all methods share."""
    fit: FitCost | None
    """None for a training that was killed and went on."""
    exam_s: float
    """Seconds of all exams."""
    exam_peak_mb: float | None
    """Most memory of the exams above what the process held before, in 10^6 bytes."""
    images_a_second: float | None
    """Answered from image files on with nothing kept; measured in one cell of each row."""
    scoring_ms: float | None = None
    """Milliseconds an image from kept encodings to probabilities, in the same cell."""


class CellResult(BaseModel, frozen=True, extra="forbid"):
    """The result of one cell: the JSON file of one seed."""

    identity: str
    """Hash of all that the result depends on (`Cell.identity`)."""
    row: str
    data: str
    shots: int
    seed: int
    backbone: str
    """Fingerprint of the frozen backbone."""
    splits: dict[str, str]
    """Hash of the split of each dataset of the run."""
    config: SceneConfig
    texts: str
    """Which caption an image got: "own", "shuffled" or "equal"."""
    n_train: int
    """Training images."""
    n_learned: int
    """Numbers that training changed."""
    exams: tuple[ExamResult, ...]
    cost: CellCost
    """What it took: the one part that differs from run to run."""


class Results:
    """The finished cells of a run."""

    def __init__(self, cells: Iterable[CellResult]) -> None:
        self.cells: tuple[CellResult, ...] = tuple(cells)

    def of(self, row: str, data: str, shots: int) -> Sequence[CellResult]:
        """Return the cells of one row, a seed each in order; a zero-shot row has all shots."""
        return sorted(
            (
                cell
                for cell in self.cells
                if (cell.row, cell.data) == (row, data) and cell.shots in (0, shots)
            ),
            key=lambda cell: cell.seed,
        )

    def evaluations(self, row: str, data: str, exam: str, *, shots: int) -> Sequence[AnyEvaluation]:
        """Return what an exam gave, a seed each; empty where it is not applicable."""
        return [
            result.evaluation
            for cell in self.of(row, data, shots)
            for result in cell.exams
            if result.name == exam and result.evaluation is not None
        ]

    def accuracy(self, row: str, data: str, exam: str, *, shots: int) -> Measure | None:
        """Return top-1 accuracy, or mAP of several labels, over seeds; None if not applicable."""
        found = self.evaluations(row, data, exam, shots=shots)
        return Measure(tuple(each.headline for each in found)) if found else None

    def calibration_error(self, row: str, data: str, exam: str, *, shots: int) -> Measure | None:
        """Return the expected calibration error over seeds; None where it is not applicable."""
        found = self.evaluations(row, data, exam, shots=shots)
        errors = tuple(each.calibration_error for each in found if isinstance(each, Evaluation))
        return Measure(errors, is_percent=False) if errors else None

    def class_accuracy(
        self, row: str, data: str, exam: str, class_name: str, *, shots: int
    ) -> Measure | None:
        """Return accuracy or average precision of one class; None without images or an answer."""
        shares = [
            each.per_class[each.class_names.index(class_name)]
            for each in self.evaluations(row, data, exam, shots=shots)
        ]
        known = tuple(share for share in shares if share is not None)
        return Measure(known) if known else None
