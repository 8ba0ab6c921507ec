"""Logs of training: what stands in a line, and that resumed runs do not repeat steps."""

import json
from pathlib import Path

import pytest

from skycue.training import StepRecord
from skycue.training_log import TrainingLog
from skycue.training_state import EpochRecord


def note(log: TrainingLog, *steps: int) -> None:
    for step in steps:
        terms = {"mask": 0.25 * step, "text": 1.0}
        log.note_step(StepRecord(epoch=1, step=step, terms=terms, lr=0.1, n_items=4))


def lines_of(log: TrainingLog) -> list[dict[str, float]]:
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def test_a_line_holds_every_term_the_rate_and_the_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 104.0])
    monkeypatch.setattr("skycue.training_log.time.monotonic", lambda: next(clock))
    log = TrainingLog(tmp_path, "full", every=2)
    note(log, 1, 2)
    assert lines_of(log) == [
        {
            "step": 2,
            "epoch": 1,
            "loss": 1.5,
            "mask": 0.5,
            "text": 1.0,
            "lr": 0.1,
            "images_per_s": 2.0,  # two steps of four items in four seconds
        }
    ]


def test_an_epoch_has_a_line_of_its_own(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, "full", every=5)
    note(log, 1, 2, 3)
    log.note_epoch(EpochRecord(epoch=1, loss=1.5, lr=0.1, validation=0.75))
    assert lines_of(log) == [{"step": 3, "epoch": 1, "mean_loss": 1.5, "validation": 0.75}]


def test_a_resumed_run_writes_no_step_twice_and_mends_a_broken_line(tmp_path: Path) -> None:
    first = TrainingLog(tmp_path, "full", every=1)
    note(first, 1, 2, 3, 4)
    first.note_epoch(EpochRecord(epoch=1, loss=1.5, lr=0.1, validation=None))
    with first.path.open("a") as file:
        file.write('{"step": 5, "epo')
    resumed = TrainingLog(tmp_path, "full", every=1)
    note(resumed, 3, 4, 5)
    assert [line["step"] for line in lines_of(resumed)] == [1, 2, 3, 4, 5]


def test_a_run_from_the_start_begins_its_log_anew(tmp_path: Path) -> None:
    note(TrainingLog(tmp_path, "full", every=1), 1, 2, 3)
    again = TrainingLog(tmp_path, "full", every=1)
    note(again, 1)
    assert [line["step"] for line in lines_of(again)] == [1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own dependencies
def test_tensorboard_reads_the_curves_back_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra `train`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = TrainingLog(tmp_path, "full", every=1, tensorboard=True)
    note(first, 1, 2, 3)
    first.close()
    resumed = TrainingLog(tmp_path, "full", every=1, tensorboard=True)
    note(resumed, 2, 3, 4)
    resumed.close()
    curves = EventAccumulator(str(tmp_path / "tensorboard" / "full"))
    curves.Reload()
    found = [(event.step, event.value) for event in curves.Scalars("mask")]
    assert found == [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)]
