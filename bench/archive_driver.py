"""What does a run over an archive take beside its work?

    python -m bench.archive_driver

Units that only wait, half a second each, show what engines lose between units: two workers would do
them in half the time of one. That can be asked of a busy machine too. The rest is what one process
of a run does alone, with parts that are those of a real run, of as many classes as `bench.archive`
has: hashing (the plan reads every raster once), handing units out by Ray to a worker that has
nothing to do, proving that parts are whole (what going on begins with), and merging them.
docs/scale.md reckons with these numbers.
"""

import tempfile
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import JsonValue
from shapely import MultiPolygon, box

from bench.archive import CLASSES, ENGINES, PLACE, TARGET, WINDOW, speed
from bench.timing import NO_TARGET, Options, Result, read_options, reader, report
from skycue.files import sha256_of
from skycue.geo.feature_files import Feature
from skycue.scale.classify_work import PROBABILITY, ClassifyWork
from skycue.scale.compact import compact
from skycue.scale.parts import PARTS_FOLDER, write_part
from skycue.scale.plan import Plan, PlanRecord
from skycue.scale.ray_engine import RayEngine
from skycue.scale.rows import rows_of
from skycue.scale.run import finished_units
from skycue.scale.work import DoUnit, Places, Unit, UnitRows

if TYPE_CHECKING:
    import pyarrow as pa

MEGA = 1e6
HASHED_BYTES = 500_000_000


class Size(NamedTuple):
    """How much is done: parts and their rows, units that Ray hands out, and units that wait."""

    n_parts: int = 40
    n_rows: int = 1024
    n_units: int = 300
    n_waiting: int = 20
    pause_s: float = 0.5


class NoWork(NamedTuple):
    """Gives no rows, after a while in which it needs no processor: what is left is the engine's."""

    schema: "pa.Schema"
    pause_s: float = 0.0

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
        return self.wait

    def wait(self, unit: Unit) -> UnitRows:
        """Do a unit."""
        time.sleep(self.pause_s)
        return UnitRows(self.empty(), (), unit.n_places)


def measure(options: Options, size: Size | None = None) -> list[Result]:
    """Time each of the tasks of a driver."""
    chosen = size or Size()
    clock = reader(options.clock)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hashing = _hashing(folder / "raster", clock)
        plan, work, n_bytes, write_s = _write_parts(folder, chosen, clock)
        started = clock()
        assert len(finished_units(folder, plan)) == chosen.n_parts
        proof_s = clock() - started
        started = clock()
        files = compact(folder, plan, work.empty())
        merge_s = clock() - started
        n_rows = chosen.n_parts * chosen.n_rows
        merged_bytes = sum(path.stat().st_size for path in files)
        schema = work.empty().schema
        handed = Plan.of_units(_record(1), _units(chosen.n_units, 1))
        handed_out = speed(handed, NoWork(schema), RayEngine, 1)
        waiting = NoWork(schema, chosen.pause_s)
        engines = [_waiting_together(name, waiting, chosen.n_waiting) for name in ENGINES]
    return [
        *engines,
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
            f"{handed_out:.0f} units/s",
            "there, an empty part written and synced, and back; start excluded",
        ),
    ]


def _hashing(path: Path, clock: Callable[[], float]) -> float:
    """Return bytes a second."""
    path.write_bytes(bytes(HASHED_BYTES))
    sha256_of(path)
    started = clock()
    sha256_of(path)
    taken = clock() - started
    path.unlink()
    return HASHED_BYTES / taken


def _write_parts(
    folder: Path, size: Size, clock: Callable[[], float]
) -> tuple[Plan, ClassifyWork, int, float]:
    """Write the parts of a plan; return it with its work, their bytes and the seconds taken."""
    work = ClassifyWork(Path(), "", CLASSES, WINDOW, WINDOW, "EPSG:4326")
    rng = np.random.default_rng(1)
    units = _units(size.n_parts, size.n_rows)
    taken = 0.0
    for unit in units:
        chances = rng.dirichlet(np.ones(len(CLASSES)), size.n_rows).tolist()
        features = [_feature(unit, number, row) for number, row in enumerate(chances)]
        started = clock()
        table = rows_of(features, PLACE, work.columns(), out_crs=work.out_crs)
        write_part(folder, unit, UnitRows(table))
        taken += clock() - started
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


def _waiting_together(name: str, work: NoWork, n_units: int) -> Result:
    """Compare the speed of two workers with that of one, over units that wait."""
    plan = Plan.of_units(_record(1), _units(n_units, 1))
    speeds = [speed(plan, work, ENGINES[name], n_workers) for n_workers in (1, 2)]
    efficiency = speeds[1] / (2 * speeds[0])
    return Result(
        question=f"two workers against twice one, units that wait {work.pause_s:g} s, {name}",
        answer=f"{100 * efficiency:.0f} %",
        target=f"at least {100 * TARGET:.0f} %",
        met=efficiency >= TARGET,
        detail=f"{speeds[0]:.2f} and {speeds[1]:.2f} units/s, {n_units} units, start excluded",
    )


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
