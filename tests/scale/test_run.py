"""A run ends with every row once, however often it is killed and started again."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from skycue.errors import RunError
from skycue.scale.crew import Engine
from skycue.scale.local import LocalEngine
from skycue.scale.manifest import MANIFEST_FILE, Manifest
from skycue.scale.parts import part_path
from skycue.scale.plan import Plan
from skycue.scale.run import open_plan, run_plan
from tests.scale.here_engine import HereEngine
from tests.scale.made_up_work import (
    DAMAGED,
    DEADLY,
    NODATA,
    ByteWork,
    expected_rows,
    kept_rows,
    write_archive,
)


def find(inputs: Sequence[str]) -> list[Path]:
    return sorted(Path(inputs[0]).iterdir())


def planned(
    tmp_path: Path, work: ByteWork, *, unit_size: int = 4, replan: bool = False, model: str = "m"
) -> Plan:
    return open_plan(
        tmp_path / "run",
        work,
        [str(tmp_path / "in")],
        find,
        unit_size=unit_size,
        settings={"model": model},
        replan=replan,
    )


def run(tmp_path: Path, plan: Plan, work: ByteWork, *, n_workers: int = 0) -> Manifest:
    """Do a plan by so many processes, or in this one."""
    folder = tmp_path / "run"
    if not n_workers:
        return run_plan(folder, plan, work, lambda: HereEngine(work, folder))
    return run_plan(folder, plan, work, lambda: LocalEngine(work, folder, n_workers=n_workers))


def test_two_processes_end_with_every_row_once(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in")
    work = ByteWork(factor=3)
    manifest = run(tmp_path, planned(tmp_path, work), work, n_workers=2)
    assert kept_rows(tmp_path / "run") == expected_rows(paths, factor=3)
    assert (manifest.n_units, manifest.n_places, manifest.n_rows) == (12, 40, 40)
    assert manifest.is_flawless


def test_the_manifest_names_what_failed_and_counts_what_was_skipped(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in", n_files=2)
    levels = bytearray(paths[0].read_bytes())
    levels[3], levels[7], levels[8] = DAMAGED, NODATA, NODATA
    paths[0].write_bytes(levels)
    run(tmp_path, planned(tmp_path, ByteWork()), ByteWork())
    written = (tmp_path / "run" / MANIFEST_FILE).read_text()
    manifest = Manifest.model_validate_json(written)
    assert (manifest.n_rows, manifest.n_skipped, manifest.n_failed) == (17, 2, 1)
    assert manifest.failures == ((str(paths[0]), "3", 1, "damaged"),)
    assert not manifest.is_flawless


@pytest.mark.slow
def test_a_unit_that_kills_its_worker_is_given_up_and_the_rest_is_done(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in", n_files=2)
    levels = bytearray(paths[0].read_bytes())
    levels[5] = DEADLY
    paths[0].write_bytes(levels)
    manifest = run(tmp_path, planned(tmp_path, ByteWork()), ByteWork(), n_workers=2)
    lost = [(str(paths[0]), place) for place in range(4, 8)]
    assert kept_rows(tmp_path / "run") == [
        row for row in expected_rows(paths) if row[:2] not in lost
    ]
    assert manifest.failures == ((str(paths[0]), "", 4, "its worker died 3 times"),)


def test_finished_units_are_not_done_again_and_damaged_parts_are(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in")
    log = tmp_path / "log"
    work = ByteWork(log=log)
    plan = planned(tmp_path, work)
    run(tmp_path, plan, work)
    assert len(log.read_text().splitlines()) == len(plan)
    units = list(plan.units())
    part_path(tmp_path / "run", units[2].id).unlink()
    damaged = part_path(tmp_path / "run", units[5].id)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    log.unlink()
    run(tmp_path, planned(tmp_path, work), work)
    assert [line.split()[1] for line in log.read_text().splitlines()] == [units[2].id, units[5].id]
    assert kept_rows(tmp_path / "run") == expected_rows(paths)


def test_a_finished_run_starts_no_engine(tmp_path: Path) -> None:
    write_archive(tmp_path / "in")
    plan = planned(tmp_path, ByteWork())
    first = run(tmp_path, plan, ByteWork())

    def fail() -> Engine:
        raise AssertionError("an engine was started")

    assert run_plan(tmp_path / "run", plan, ByteWork(), fail) == first


def test_failed_units_are_done_again_when_asked_for(tmp_path: Path) -> None:
    [path] = write_archive(tmp_path / "in", n_files=1, n_places=4)
    log = tmp_path / "log"
    path.write_bytes(bytes([1, DAMAGED, 2, 3, 4, 5]))
    work, folder = ByteWork(log=log), tmp_path / "run"
    plan = planned(tmp_path, work, unit_size=2)
    run(tmp_path, plan, work)
    log.unlink()
    run_plan(folder, plan, work, lambda: HereEngine(work, folder), retry_failed=True)
    assert [line.split()[1] for line in log.read_text().splitlines()] == [next(plan.units()).id]


def test_a_plan_stays_as_it_is_until_it_is_made_anew(tmp_path: Path) -> None:
    paths = write_archive(tmp_path / "in", n_files=2)
    log = tmp_path / "log"
    work = ByteWork(log=log)
    run(tmp_path, planned(tmp_path, work), work)
    paths[1].unlink()
    new = tmp_path / "in" / "raster_new.bin"
    new.write_bytes(bytes([50, 51]))
    assert len(planned(tmp_path, work)) == 6
    log.unlink()
    plan = planned(tmp_path, work, replan=True)
    assert len(plan) == 4
    run(tmp_path, plan, work)
    assert len(log.read_text().splitlines()) == 1  # the new raster's only unit
    assert kept_rows(tmp_path / "run") == expected_rows([paths[0], new])


def test_another_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    write_archive(tmp_path / "in")
    planned(tmp_path, ByteWork())
    with pytest.raises(RunError, match="holds a run with unit_size 4, not 5: choose another -o"):
        planned(tmp_path, ByteWork(), unit_size=5)
    with pytest.raises(RunError, match="with model m, not n"):
        planned(tmp_path, ByteWork(factor=2), model="n")
    with pytest.raises(RunError, match="with hash of the work 1 times byte, not 2 times byte"):
        planned(tmp_path, ByteWork(factor=2))


def test_another_setting_is_refused_though_units_would_be_the_same(tmp_path: Path) -> None:
    """Such as another file of boxes, some of which are those of the first."""
    write_archive(tmp_path / "in")
    folder, inputs = tmp_path / "run", [str(tmp_path / "in")]
    open_plan(folder, ByteWork(), inputs, find, unit_size=4, settings={"boxes": "one"})
    with pytest.raises(RunError, match="with boxes one, not two"):
        open_plan(folder, ByteWork(), inputs, find, unit_size=4, settings={"boxes": "two"})


def test_a_model_that_was_only_moved_is_the_same(tmp_path: Path) -> None:
    write_archive(tmp_path / "in")
    plan = planned(tmp_path, ByteWork(), model="here")
    assert planned(tmp_path, ByteWork(), model="there").record == plan.record


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(RunError, match=r"nothing to do on .*no raster has a window or a box"):
        planned(tmp_path, ByteWork())
    assert not (tmp_path / "run").exists()


DRIVER = """
import sys
from pathlib import Path
from tests.scale.made_up_work import ByteWork
from tests.scale.test_run import planned, run

if __name__ == "__main__":
    tmp_path = Path(sys.argv[1])
    work = ByteWork(pause_s=0.05, log=tmp_path / "log")
    run(tmp_path, planned(tmp_path, work, unit_size=2), work, n_workers=2)
"""


@pytest.mark.slow
def test_a_driver_killed_at_any_moment_goes_on_and_its_workers_end(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    paths = write_archive(tmp_path / "in")
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    command = [sys.executable, str(script), str(tmp_path)]
    log = tmp_path / "log"
    for n_begun in (1, 6, 13):
        driver = subprocess.Popen(command)
        while not log.exists() or len(log.read_text().splitlines()) < n_begun:
            assert driver.poll() is None, "the driver ended before it was killed"
        workers = psutil.Process(driver.pid).children()
        driver.kill()
        driver.wait()
        gone, alive = psutil.wait_procs(workers, timeout=60)
        assert len(gone) >= 2
        assert alive == []
    finished = list((tmp_path / "run" / "parts").glob("*/*.parquet"))
    assert 0 < len(finished) < 20
    subprocess.run(command, check=True)
    assert kept_rows(tmp_path / "run") == expected_rows(paths)
    assert not list((tmp_path / "run").rglob("*.partial"))
    again = {line.split()[1] for line in log.read_text().splitlines()}
    assert len(again) == 20
