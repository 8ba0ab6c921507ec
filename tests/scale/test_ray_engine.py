"""On Ray a run ends with every row once, though workers, raylets and drivers are killed by -9."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shapely import box

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from tests.made_up_rasters import CRS, PLACE, fields, write_tiff, zero_shot
from tests.scale.made_up_work import (
    DAMAGED,
    NODATA,
    ByteWork,
    expected_rows,
    kept_rows,
    write_archive,
)
from tests.scale.test_run import planned
from tests.scale.test_run import run as run_here
from tests.tiny_clvnet import save_tiny_model

pytestmark = [pytest.mark.ray, pytest.mark.slow]

N_UNITS = 20
POLL_S = 0.05
PATIENCE_S = 300


class Cluster(NamedTuple):
    """Three raylets.

    Attributes:
        address: What `--address` takes.
        raylets: Their processes, that of the head first.
    """

    address: str
    raylets: list[int]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster for the tests of this file; one of them takes a raylet away from it."""
    command = [sys.executable, "-m", "tests.scale.ray_cluster"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    answer = next((line for line in lines if line.startswith('{"address"')), None)
    assert answer is not None, "no cluster"
    yield Cluster(**json.loads(answer))
    process.communicate()  # closes its standard input, which ends the cluster


class Run:
    """A run in a folder, whose driver is a process."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.paths = write_archive(folder / "in")
        self.command = [sys.executable, "-m", "tests.scale.ray_driver", str(folder), address]
        self.driver = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "stderr").open("ab") as stderr:
            return subprocess.Popen(self.command, stdout=stderr, stderr=stderr)

    def begun(self) -> list[tuple[int, str]]:
        """The process and the unit of every unit that was begun."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(int(line.split()[0]), line.split()[1]) for line in lines]

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait while the driver works."""
        end = time.monotonic() + PATIENCE_S
        while not is_so():
            assert self.driver.poll() is None, (self.folder / "stderr").read_text()[-3000:]
            assert time.monotonic() < end, self.begun()
            time.sleep(POLL_S)

    def finish(self) -> None:
        assert self.driver.wait(PATIENCE_S) == 0, (self.folder / "stderr").read_text()[-3000:]

    def check(self) -> None:
        """See that the end is that of a run which nobody disturbed."""
        assert kept_rows(self.folder / "run") == expected_rows(self.paths)
        assert len(list((self.folder / "run" / "parts").glob("*/*.parquet"))) == N_UNITS
        assert not list((self.folder / "run").rglob("*.partial"))
        manifest = json.loads((self.folder / "run" / "manifest.json").read_text())
        assert (manifest["n_units"], manifest["n_rows"], manifest["n_failed"]) == (N_UNITS, 40, 0)


def test_a_killed_worker_is_replaced_and_its_unit_done_again(
    tmp_path: Path, cluster: Cluster
) -> None:
    run = Run(tmp_path, cluster.address)
    run.wait_for(lambda: len(run.begun()) >= 4)
    process, unit = run.begun()[-1]
    os.kill(process, signal.SIGKILL)
    run.finish()
    run.check()
    assert [other for other, begun in run.begun() if begun == unit] != [process]
    assert process not in {other for other, _ in run.begun()[8:]}


def test_a_killed_driver_is_started_again_and_does_only_what_is_left(
    tmp_path: Path, cluster: Cluster
) -> None:
    run = Run(tmp_path, cluster.address)
    run.wait_for(lambda: len(run.begun()) >= 8)
    run.driver.kill()
    run.driver.wait()
    n_kept = len(list((tmp_path / "run" / "parts").glob("*/*.parquet")))
    assert 0 < n_kept < N_UNITS
    run.driver = run.start()
    run.finish()
    run.check()
    assert len(run.begun()) <= N_UNITS + 2 * 3  # at most what three workers were at, each time


def test_a_raylet_killed_with_its_worker_takes_no_row_away(
    tmp_path: Path, cluster: Cluster
) -> None:
    run = Run(tmp_path, cluster.address)
    run.wait_for(lambda: len({process for process, _ in run.begun()}) == 3)
    os.kill(cluster.raylets[-1], signal.SIGKILL)
    assert len(run.begun()) < N_UNITS  # it dies in the middle; its worker ends when it notices
    run.finish()
    run.check()


def test_ray_and_this_process_give_equal_rows_and_equal_manifests(
    tmp_path: Path, cluster: Cluster
) -> None:
    """Where a place is damaged and one has nothing, too."""
    paths = write_archive(tmp_path / "in")
    paths[0].write_bytes(bytes([DAMAGED, NODATA]) + paths[0].read_bytes()[2:])
    command = [sys.executable, "-m", "tests.scale.ray_driver", str(tmp_path), cluster.address]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    by_ray = kept_rows(tmp_path / "run"), (tmp_path / "run" / "manifest.json").read_bytes()
    (tmp_path / "run").rename(tmp_path / "by_ray")
    run_here(tmp_path, planned(tmp_path, ByteWork(), unit_size=2), ByteWork())
    here = kept_rows(tmp_path / "run"), (tmp_path / "run" / "manifest.json").read_bytes()
    assert by_ray == here
    assert here[0] == expected_rows(paths)


def test_windows_classified_on_ray_and_on_this_machine_are_equal(
    tmp_path: Path, tiny_clip: Clip
) -> None:
    """By the command itself, Ray's own cluster included."""
    save_clip(tiny_clip, tmp_path / "backbone")
    classifier = zero_shot(tiny_clip)
    classifier.backbone = str(tmp_path / "backbone")
    classifier.save(tmp_path / "model")
    write_rasters(tmp_path / "in")
    tables = tables_of(tmp_path, "classify", str(tmp_path / "model"), "--window", "32")
    assert tables[0].num_rows == 2 * 5 * 5
    assert tables[1].equals(tables[0])
    assert tables[2].equals(tables[0])


def test_boxes_described_on_ray_and_on_this_machine_are_equal(tmp_path: Path) -> None:
    """By the command itself; every box lies on both rasters, which are at the same place."""
    write_rasters(tmp_path / "in")
    boxes = {}
    for number in range(6):
        west, south = PLACE.c + 9 * number, PLACE.f - 30 - 7 * number
        boxes[f"{number}"] = box(west, south, west + 12, south + 8)
    frame = gpd.GeoDataFrame({"id": [*boxes]}, geometry=[*boxes.values()], crs=CRS)
    frame.to_file(tmp_path / "boxes.gpkg")
    model = save_tiny_model(tmp_path / "tiny")
    tables = tables_of(tmp_path, "describe", str(model), "--boxes", str(tmp_path / "boxes.gpkg"))
    described = set(zip(*tables[0].select(["raster", "box_id"]).to_pydict().values(), strict=True))
    rasters = [str(tmp_path / "in" / f"{number}.tif") for number in range(2)]
    assert described == {(raster, name) for raster in rasters for name in boxes}
    assert any(tables[0]["phrase"].is_valid().to_pylist())
    assert tables[1].equals(tables[0])
    assert tables[2].equals(tables[0])


def write_rasters(folder: Path) -> None:
    """Write two rasters of 160 pixels a side."""
    folder.mkdir()
    for number in range(2):
        write_tiff(folder / f"{number}.tif", fields(4, 4, seed=number))


def tables_of(folder: Path, work: str, model: str, *options: str) -> list[pa.Table]:
    """Do the archive in `in` by one process, by two and on Ray; return the merged rows of each."""
    tables = []
    for engine, workers in (("local", 1), ("local", 2), ("ray", 2)):
        output = folder / f"{engine}_{workers}"
        command = ["skycue", "run", work, model, str(folder / "in"), "-o", str(output), *options]
        command += ["--engine", engine, "--workers", str(workers), "--compact"]
        command += ["--set", "unit_size=5", "--set", "device=cpu"]
        subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
        tables.append(pq.read_table(output / "rows-00000.parquet"))
    return tables
