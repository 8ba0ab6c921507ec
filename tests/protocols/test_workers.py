"""Several processes do what one does, survive the death of a worker, and end with their parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from skycue.backbones.pretrained import load_clip
from skycue.errors import ConfigError, RunError
from skycue.process_memory import PeakMeter
from skycue.protocols import few_shot
from skycue.protocols.benchmark import Request, run_benchmark
from skycue.protocols.cell_work import CellWorker, RunFolder, Task
from skycue.protocols.cells import Comparison
from skycue.protocols.encoders import PoolPlan
from skycue.protocols.runs import tasks_of
from skycue.protocols.scene_data import load_data
from skycue.protocols.workers import Limits
from tests.protocols.made_up import made_up_data, row
from tests.protocols.quick import BORN, DEATHS, mortal_work, quick_config

psutil = pytest.importorskip("psutil")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL: Windows has none")


def cells_in(folder: Path) -> dict[str, object]:
    """What each file of a cell says but for its costs."""
    found = {path.name: json.loads(path.read_bytes()) for path in (folder / "cells").iterdir()}
    assert all(cell.pop("cost") for cell in found.values())
    return found


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As each worker has: sums over more threads may differ in their last bit."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of other processes
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def alone(request_for: Request, tmp_path: Path) -> dict[str, object]:
    """The cells that one process makes."""
    folder = tmp_path / "alone"
    run_benchmark(request_for._replace(folder=folder), quick_config())
    return cells_in(folder)


@pytest.fixture
def mortal(request_for: Request, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A run of two workers, each of which may be told to die."""
    monkeypatch.setattr("skycue.protocols.workers._work", mortal_work)
    request_for.folder.mkdir()
    return request_for._replace(jobs=2)


@posix_only
def test_two_processes_one_of_which_is_killed_make_the_cells_that_one_makes(
    mortal: Request, alone: dict[str, object]
) -> None:
    (mortal.folder / DEATHS).write_text("3")
    outcome = run_benchmark(mortal, quick_config())
    assert (mortal.folder / DEATHS).read_text() == ""
    assert cells_in(mortal.folder) == alone
    resumed = [cell for cell in outcome.results.cells if cell.cost.fit is None]
    assert [cell.row for cell in resumed] == ["coop"]  # its whole time is not known
    assert outcome.environment.jobs == 2
    order = [(cell.row, cell.shots, cell.seed) for cell in outcome.results.cells]
    drawn = [(shots, seed) for shots in (1, 2) for seed in (1, 2)]
    learned = [(name, *draw) for name in ("linear-probe", "coop") for draw in drawn]
    assert order == [("zero-shot", 0, 0), *learned]


@posix_only
def test_a_cell_that_kills_two_workers_ends_the_run(mortal: Request) -> None:
    (mortal.folder / DEATHS).write_text("30")
    config = quick_config(fits=mortal.folder / "fits")
    with pytest.raises(RunError, match=r"2 workers died at tiles_coop_.*finished cells are kept"):
        run_benchmark(mortal._replace(shots=(2,), seeds=(1,)), config)
    left = {int(path.name) for path in (mortal.folder / BORN).iterdir()} & set(psutil.pids())
    assert not left


RUN = """
from pathlib import Path
from skycue.protocols.benchmark import Request, run_benchmark
from tests.protocols.quick import mortal_work, quick_config

request = Request("few-shot", ({data!r},), ("coop",), (1, 2), (1, 2), {backbone!r},
                  Path({folder!r}), "cpu")
run_benchmark(request, quick_config())
"""
KILLED_PARENT = """
import os, signal
import skycue.protocols.runs as runs
import skycue.protocols.workers as workers
from tests.protocols.quick import mortal_work

workers._work = mortal_work
runs._headline = lambda result: os.kill(os.getpid(), signal.SIGKILL)
""" + RUN.replace('"cpu"', '"cpu", jobs=2')


@posix_only
def test_workers_end_with_a_killed_parent_and_the_run_goes_on(
    request_for: Request, alone: dict[str, object]
) -> None:
    script = KILLED_PARENT.format(
        data=request_for.data[0], backbone=request_for.backbone, folder=str(request_for.folder)
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    born = [int(path.name) for path in (request_for.folder / BORN).iterdir()]
    assert born
    workers = [psutil.Process(pid) for pid in born if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert 0 < len(cells_in(request_for.folder)) < len(alone)
    run_benchmark(request_for, quick_config())
    assert cells_in(request_for.folder) == alone


def test_memory_that_holds_no_worker_is_refused(request_for: Request) -> None:
    with pytest.raises(RunError, match=r"memory_gb=0\.01 holds no worker: .* takes \d\.\d\d GB"):
        run_benchmark(request_for, quick_config(memory_gb=0.01))


def test_workers_are_as_many_as_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skycue.protocols.workers.held_bytes", lambda: 500_000_000)
    gigabyte = 10**9
    assert Limits(8).n_workers(gigabyte, is_measured=True) == 8
    assert Limits(8, 3.6).n_workers(0, is_measured=False) == 1
    assert Limits(8, 3.6).n_workers(gigabyte, is_measured=False) == 1
    assert Limits(8, 3.6).n_workers(gigabyte, is_measured=True) == 3
    assert Limits(2, 3.6).n_workers(gigabyte, is_measured=True) == 2
    with pytest.raises(RunError, match=r"takes 0\.50 GB and a worker 3\.20 GB"):
        Limits(8, 3.6).n_workers(3_200_000_000, is_measured=True)


def test_two_runs_on_one_folder_share_its_cells(
    request_for: Request, alone: dict[str, object]
) -> None:
    script = RUN.format(
        data=request_for.data[0], backbone=request_for.backbone, folder=str(request_for.folder)
    )
    runs = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert cells_in(request_for.folder) == alone


def test_a_claimed_cell_is_left_and_taken_up_when_it_is_free(request_for: Request) -> None:
    name, _, path = request_for.data[0].partition("=")
    data = load_data(name, Path(path), seen=(), excluded=())
    clip = load_clip(request_for.backbone)
    coop = row("coop")
    plan = PoolPlan(
        request_for.backbone, "cpu", "float32", request_for.folder / "e", 8, (data,), coop.needs
    )
    probe = row("linear-probe")
    (cell,) = few_shot.plan(Comparison((data,), (probe,), (1,), (1,)))
    folder = RunFolder(request_for.folder, clip.fingerprint, {})
    worker = CellWorker(folder, plan.open(clip))
    with folder.claim(cell) as is_mine:
        assert is_mine
        assert worker.do(Task(cell)) is None
    done = worker.do(Task(cell, measures_rate=True))
    assert done is not None
    assert done.cost.images_a_second is not None
    assert done.cost.scoring_ms is not None
    assert worker.do(Task(cell)) == done  # read, not made again


def test_rate_is_measured_once_a_row_at_the_most_shots(request_for: Request) -> None:
    name, _, path = request_for.data[0].partition("=")
    data = load_data(name, Path(path), seen=(), excluded=())
    rows = (row("zero-shot"), row("coop"))
    tasks = tasks_of(few_shot.plan(Comparison((data,), rows, (1, 2), (1, 2))))
    measured = [(t.cell.row.name, t.cell.shots, t.cell.seed) for t in tasks if t.measures_rate]
    assert measured == [("zero-shot", 0, 0), ("coop", 2, 1)]


def test_rate_is_measured_with_the_most_classes() -> None:
    few, many = made_up_data("few", ("forest", "river")), made_up_data("many", tuple("abcd"))
    tasks = tasks_of(few_shot.plan(Comparison((few, many), (row("coop"),), (1, 2), (1, 2))))
    measured = [(t.cell.data, t.cell.shots, t.cell.seed) for t in tasks if t.measures_rate]
    assert measured == [("many", 2, 1)]


def test_a_captioning_model_is_not_run_in_each_process(request_for: Request) -> None:
    config = quick_config(methods={"bimors": {"captions": "hf:blip"}})
    with pytest.raises(ConfigError, match="each of 2 processes would write again"):
        run_benchmark(request_for._replace(methods=("bimors",), jobs=2), config)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc: only Linux tells memory")
def test_memory_that_was_freed_before_counts_again() -> None:
    meter = PeakMeter()
    found = []
    for _ in range(2):
        with meter.measure():
            pieces = [bytearray(4096) for _ in range(10_000)]  # too small to be mapped apart
            del pieces
        if meter.of_work is None:
            pytest.skip("/proc/self/clear_refs: cannot be written in this sandbox")
        found.append(meter.of_work)
    assert found[1] > 0.8 * found[0] > 30e6


@pytest.mark.skipif(sys.platform != "linux", reason="/proc: only Linux tells memory")
def test_peak_of_a_piece_of_work_is_what_it_adds() -> None:
    meter = PeakMeter()
    with meter.measure():
        bytearray(os.urandom(1)) * (64 << 20)
    large = meter.of_work
    with meter.measure():
        pass
    small = meter.of_work
    if large is None or small is None:
        pytest.skip("/proc/self/clear_refs: cannot be written in this sandbox")
    assert 60e6 < large < 80e6
    assert small < 4e6
    assert meter.largest is not None
    assert meter.largest > large
