"""Work that needs neither raster nor model: a file's bytes are its places, and say what happens.

Workers import it, those of Ray too, so it stands in a module of its own.
"""

import json
import os
import signal
import time
from collections.abc import Set as AbstractSet
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from skycue.errors import GeoError, ImageReadError, SkycueError
from skycue.scale.work import DoUnit, Failure, Places, Unit, UnitRows

NODATA = 0
"""A byte that is skipped."""
DAMAGED = 255
"""A byte that cannot be read."""
DEADLY = 254
"""A byte that kills whoever reads it."""
REFUSED = b"not a raster"
"""Content of a file that cannot be planned."""

SCHEMA = pa.schema([("raster", pa.string()), ("place", pa.int64()), ("level", pa.int64())])


class ByteWork(NamedTuple):
    """Gives a row for each byte of a file.

    Attributes:
        factor: What a byte is multiplied with.
        pause_s: Seconds that each unit takes.
        log: File in which every worker notes its process and the units that it begins.
        refusal: What keeps every worker from loading.
    """

    factor: int = 1
    pause_s: float = 0.0
    log: Path | None = None
    refusal: SkycueError | None = None

    @property
    def identity(self) -> str:
        return f"{self.factor} times bytes"

    def places(self, raster: Path) -> Places:
        content = raster.read_bytes()
        if content == REFUSED:
            raise ImageReadError(f"cannot read {raster}: it is no raster.")
        return Places(len(content))

    def off_all_rasters(self, placed: AbstractSet[str]) -> list[tuple[str, str]]:
        return []

    def empty(self) -> pa.Table:
        return _table([], "")

    def load(self, threads: int) -> DoUnit:
        if self.refusal is not None:
            raise self.refusal
        return self.do

    def do(self, unit: Unit) -> UnitRows:
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {unit.id}\n")
        time.sleep(self.pause_s)
        content = Path(unit.raster).read_bytes()
        if sha256(content).hexdigest() != unit.sha256:
            raise GeoError(f"{unit.raster} has changed.")
        levels, failures, n_skipped = [], [], 0
        for place in range(unit.first, unit.first + unit.n_places):
            if content[place] == DEADLY:
                os.kill(os.getpid(), signal.SIGKILL)
            if content[place] == DAMAGED:
                failures.append(Failure(unit.raster, f"{place}", 1, "damaged"))
            elif content[place] == NODATA:
                n_skipped += 1
            else:
                levels.append((place, content[place] * self.factor))
        return UnitRows(_table(levels, unit.raster), tuple(failures), n_skipped)


def _table(levels: list[tuple[int, int]], raster: str) -> pa.Table:
    rows = [{"raster": raster, "place": place, "level": level} for place, level in levels]
    column: dict[str, object] = {"encoding": "WKB", "geometry_types": [], "crs": None}
    if levels:
        column["bbox"] = [float(levels[0][0]), 0.0, float(levels[-1][0]), 1.0]
        column["geometry_types"] = ["MultiPolygon"]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return table.replace_schema_metadata({"geo": json.dumps(geo)})


def write_archive(folder: Path, n_files: int = 4, n_places: int = 10) -> list[Path]:
    """Write files whose bytes lie between 1 and 200."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(n_files):
        path = folder / f"raster_{number:03d}.bin"
        path.write_bytes(bytes((number * 7 + place * 3) % 200 + 1 for place in range(n_places)))
        paths.append(path)
    return paths


def expected_rows(paths: list[Path], factor: int = 1) -> list[tuple[str, int, int]]:
    """Return the rows that the work gives of files, worked out without it, sorted."""
    return sorted(
        (str(path.resolve()), place, level * factor)
        for path in paths
        for place, level in enumerate(path.read_bytes())
        if level not in (NODATA, DAMAGED, DEADLY)
    )


def kept_rows(folder: Path) -> list[tuple[str, int, int]]:
    """Return the rows of all parts in the folder of a run, sorted."""
    return sorted(
        (row["raster"], row["place"], row["level"])
        for part in (folder / "parts").glob("*/*.parquet")
        for row in pq.read_table(part).to_pylist()
    )
