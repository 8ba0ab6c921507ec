"""Small made-up datasets, rows and results for the protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skycue.data.scenes import SceneItem, SceneSplit
from skycue.evaluation import Evaluation
from skycue.protocols.cells import Cell, Row
from skycue.protocols.results import CellCost, CellResult, ExamResult, FitCost
from skycue.protocols.scene_data import SceneData
from skycue.scene_config import SceneConfig

N_TRAIN, N_VAL, N_TEST = 6, 5, 3


def made_up_data(
    name: str,
    class_names: Sequence[str],
    *,
    human: bool = False,
    is_seen: bool = False,
    n_train: int = N_TRAIN,
) -> SceneData:
    """Return a dataset of paths that nobody opens."""
    root = Path("/nowhere") / name

    def part(of: str, n_images: int) -> tuple[SceneItem, ...]:
        return tuple(
            SceneItem(root / folder / f"{folder}_{of}_{number}.jpg", label)
            for label, folder in enumerate(class_names)
            for number in range(n_images)
        )

    train, val, test = part("train", n_train), part("val", N_VAL), part("test", N_TEST)
    split = SceneSplit(root, tuple(class_names), train, val, test, sha256=f"{name:0<64}")
    captions = root / "captions.jsonl" if human else None
    return SceneData(name, split, test, is_seen=is_seen, human_captions=captions)


def row(name: str, label: str | None = None) -> Row:
    """Return a method with its default settings."""
    return Row(label or name, SceneConfig.model_validate({"method": {"name": name}}))


def evaluation_of(exam_classes: Sequence[str], top1: float) -> Evaluation:
    """Return an evaluation of which only the accuracy matters."""
    n_classes = len(exam_classes)
    return Evaluation(
        class_names=tuple(exam_classes),
        n_images=10,
        top1=top1,
        per_class=(top1,) * n_classes,
        calibration_error=0.1,
        confusion=((1,) * n_classes,) * n_classes,
    )


def result_of(cell: Cell, accuracies: Sequence[float | None]) -> CellResult:
    """Return the result of a cell whose exams gave these accuracies."""
    return CellResult(
        identity=cell.identity("backbone"),
        row=cell.row.name,
        data=cell.data,
        shots=cell.shots,
        seed=cell.seed,
        backbone="backbone",
        splits={},
        config=cell.row.config,
        texts=cell.row.texts,
        n_train=len(cell.train),
        n_learned=7,
        exams=tuple(
            ExamResult(
                name=exam.name,
                evaluation=None if top1 is None else evaluation_of(exam.class_names, top1),
            )
            for exam, top1 in zip(cell.exams, accuracies, strict=True)
        ),
        cost=CellCost(
            encode_s=1.0,
            fit=FitCost(seconds=1.0, peak_mb=1.0),
            exam_s=1.0,
            exam_peak_mb=1.0,
            images_a_second=10.0,
            scoring_ms=0.25,
        ),
    )
