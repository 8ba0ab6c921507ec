"""Settings of a benchmark that takes a moment, and a worker that dies when it is told to."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

from skycue import training_state
from skycue.protocols.benchmark import BenchmarkConfig
from skycue.protocols.cell_work import RunFolder
from skycue.protocols.encoders import PoolPlan
from skycue.protocols.workers import _work

QUICK = {
    "coop": {
        "method": {"name": "coop"},
        "train": {"epochs": 2, "batch_size": 4, "lr": 0.1, "save_every_s": 0},
    }
}
DEATHS = "deaths"
"""File in the folder of a run: for each death to come, the saves that the worker lives to see."""
SAVE = "write_atomically"
"""What a training state is saved with."""
BORN = "born"
"""Folder in that of a run with the process id of each worker as the name of a file."""


def quick_config(**changes: object) -> BenchmarkConfig:
    """Return settings of two short epochs."""
    return BenchmarkConfig.model_validate({"methods": QUICK, **changes})


def mortal_work(connection: Connection, folder: RunFolder, plan: PoolPlan, threads: int) -> None:
    """Work as a worker does, and die amid a training as often as the file of deaths says."""
    (folder.path / BORN).mkdir(parents=True, exist_ok=True)
    (folder.path / BORN / str(os.getpid())).touch()
    deaths, n_saves = folder.path / DEATHS, 0
    save = getattr(training_state, SAVE)

    def save_or_die(path: Path, content: bytes | str) -> None:
        nonlocal n_saves
        n_saves += 1
        left = deaths.read_text() if deaths.is_file() else ""
        if left and n_saves > int(left[0]):
            deaths.write_text(left[1:])
            os.kill(os.getpid(), signal.SIGKILL)
        save(path, content)

    setattr(training_state, SAVE, save_or_die)
    _work(connection, folder, plan, threads)
