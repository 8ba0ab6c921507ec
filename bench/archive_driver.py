"""How fast is what only one process of a run over an archive does?

    python -m bench.archive_driver

Work that needs no model: a row for each window, with as many classes as `bench.archive` has, so
that parts are those of a real run. Timed are hashing (the plan reads every raster once), handing
units out by Ray to one worker that has nothing to do, proving that parts are whole (what going on
begins with), and merging them. docs/scale.md reckons with these numbers.
"""

import tempfile
import time
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import JsonValue
from shapely import MultiPolygon, box

from bench.archive import CLASSES, PLACE, WINDOW
from bench.timing import NO_TARGET, Options, Result, read_options, report
from skycue.files import sha256_of
from skycue.geo.feature_files import Feature
from skycue.scale.classify_work import PROBABILITY, ClassifyWork
from skycue.scale.compact import compact
from skycue.scale.parts import PARTS_FOLDER, write_part
from skycue.scale.plan import Plan, PlanRecord
from skycue.scale.ray_engine import RayEngine
from skycue.scale.rows import rows_of
from skycue.scale.run import finished_units, run_plan
from skycue.scale.work import DoUnit, Places, Unit, UnitRows

if TYPE_CHECKING:
    import pyarrow as pa

MEGA = 1e6
HASHED_BYTES = 500_000_000


class Size(NamedTuple):
    """How much is done: parts and their rows, and units that Ray hands out."""

    n_parts: int = 40
    n_rows: int = 1024
    n_units: int = 300


class NoWork(NamedTuple):
    """Gives no rows at once: what is left is the engine's."""

    schema: "pa.Schema"

    @property
    def identity(self) -> str:
        """Name the work."""
        return "nothing"

    def places(self, raster: Path) -> Places:
        """Return nothing: the plan is made by hand."""
        return Places(0)

    def off_all_rasters(self, placed: AbstractSet[str]) -> list[tuple[str, str]]:
        """Return nothing."""
        return []

    def empty(self) -> "pa.Table":
        """Return a table without rows."""
        return self.schema.empty_table()

    def load(self, threads: int) -> DoUnit:
        """Load nothing."""
        return lambda unit: UnitRows(self.empty(), (), unit.n_places)


def measure(options: Options, size: Size | None = None) -> list[Result]:
    """Time each of the tasks of a driver."""
    chosen = size or Size()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hashing = _hashing(folder / "raster")
        plan, work, n_bytes, write_s = _write_parts(folder, chosen)
        started = time.perf_counter()
        assert len(finished_units(folder, plan)) == chosen.n_parts
        proof_s = time.perf_counter() - started
        started = time.perf_counter()
        files = compact(folder, plan, work.empty())
        merge_s = time.perf_counter() - started
        n_rows = chosen.n_parts * chosen.n_rows
        merged_bytes = sum(path.stat().st_size for path in files)
        hand_out_s = _hand_out(folder / "ray", work.empty().schema, chosen.n_units)
    return [
        _told("hashing a raster that is in memory, one thread", f"{hashing / MEGA:.0f} MB/s", ""),
        _told(
            f"placing, writing and syncing a part of {chosen.n_rows} rows",
            f"{1000 * write_s / chosen.n_parts:.0f} ms",
            f"{n_bytes / n_rows:.0f} bytes a row with {len(CLASSES)} classes; "
            f"{merged_bytes / n_rows:.0f} when merged",
        ),
        _told(
            f"proving parts of {chosen.n_rows} rows",
            f"{chosen.n_parts / proof_s:.0f} parts/s",
            "read, hashed and parsed by 8 threads; files in memory",
        ),
        _told("merging parts", f"{n_rows / merge_s / MEGA:.2f} million rows/s", "one process"),
        _told(
            "units that Ray hands to a worker which does nothing",
            f"{chosen.n_units / hand_out_s:.0f} units/s",
            "there, an empty part written and synced, and back; start excluded",
        ),
    ]


def _hashing(path: Path) -> float:
    """Return bytes a second."""
    path.write_bytes(bytes(HASHED_BYTES))
    sha256_of(path)
    started = time.perf_counter()
    sha256_of(path)
    taken = time.perf_counter() - started
    path.unlink()
    return HASHED_BYTES / taken


def _write_parts(folder: Path, size: Size) -> tuple[Plan, ClassifyWork, int, float]:
    """Write the parts of a plan; return it with its work, their bytes and the seconds taken."""
    work = ClassifyWork(Path(), "", CLASSES, WINDOW, WINDOW, "EPSG:4326")
    rng = np.random.default_rng(1)
    units = _units(size.n_parts, size.n_rows)
    taken = 0.0
    for unit in units:
        chances = rng.dirichlet(np.ones(len(CLASSES)), size.n_rows).tolist()
        features = [_feature(unit, number, row) for number, row in enumerate(chances)]
        started = time.perf_counter()
        table = rows_of(features, PLACE, work.columns(), out_crs=work.out_crs)
        write_part(folder, unit, UnitRows(table))
        taken += time.perf_counter() - started
    n_bytes = sum(part.stat().st_size for part in (folder / PARTS_FOLDER).glob("*/*"))
    return Plan.of_units(_record(size.n_rows), units), work, n_bytes, taken


def _feature(unit: Unit, number: int, chances: list[float]) -> Feature:
    """Return what is found of a window."""
    row, column = divmod(number, 64)
    x, y = column * WINDOW, row * WINDOW
    best = max(chances)
    properties: dict[str, JsonValue] = {
        "unit": unit.id,
        "raster": unit.raster,
        "source_crs": PLACE.crs,
        "x": x,
        "y": y,
        "width": WINDOW,
        "height": WINDOW,
        "class": CLASSES[chances.index(best)],
        "score": best,
        **{PROBABILITY + name: value for name, value in zip(CLASSES, chances, strict=True)},
    }
    return Feature(MultiPolygon([box(x, y, x + WINDOW, y + WINDOW)]), properties)


def _hand_out(folder: Path, schema: "pa.Schema", n_units: int) -> float:
    """Return the seconds that a longer run on Ray takes more than one of a single unit."""
    work = NoWork(schema)
    times = []
    for n_done in (1, n_units + 1):
        plan = Plan.of_units(_record(1), _units(n_done, 1))
        run = folder / str(n_done)
        plan.save(run)
        started = time.perf_counter()
        run_plan(run, plan, work, partial(RayEngine, work, run, n_workers=1))
        times.append(time.perf_counter() - started)
    return times[1] - times[0]


def _units(number: int, n_places: int) -> list[Unit]:
    return [Unit(f"{n:032x}", "/archive/raster.tif", "", 0, 0, n, n_places) for n in range(number)]


def _record(unit_size: int) -> PlanRecord:
    return PlanRecord(identity="nothing", settings={}, inputs=(), unit_size=unit_size)


def _told(question: str, answer: str, detail: str) -> Result:
    """Return an answer of which nothing was asked."""
    return Result(question=question, answer=answer, target=NO_TARGET, met=True, detail=detail)


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
