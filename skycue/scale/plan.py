"""The plan of a run: every unit of work, fixed before the first is done.

It is one Parquet file, `plan.parquet`: a row for each unit, and in the footer what the run is
about. The id of a unit is a hash of what decides its rows (the raster's content, the places, the
work), so a unit means the same on every machine and in every later plan, and what is done stays
done when an archive grows.
"""

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from pydantic import ValidationError

from skycue.config import Config
from skycue.errors import RunError, SkycueError
from skycue.files import sha256_of, write_atomically
from skycue.progress import track
from skycue.scale.work import Failure, Places, Unit, Work

if TYPE_CHECKING:
    import pyarrow as pa

    from skycue.boxes import Box, PlacedBox

logger = logging.getLogger(__name__)

PLAN_FILE = "plan.parquet"
RECORD = b"skycue:plan"
"""Key of the footer under which the record stands."""
READERS = 8
"""Threads that open and hash rasters; most of their time they wait for the file system."""
ID_DIGITS = 32
"""Hexadecimal digits of an id: 128 bits, so that 10^9 units share none."""


class PlanRecord(Config):
    """What a run is about."""

    format: Literal["skycue-archive-1"] = "skycue-archive-1"
    """Another value is another layout and is refused."""
    identity: str
    """Of the work."""
    settings: dict[str, str]
    """What the work is called by, for people."""
    inputs: tuple[str, ...]
    """INPUTS as they were given."""
    unit_size: int
    """Places of a unit at most."""
    unusable: tuple[Failure, ...] = ()
    """Rasters that could not be read when the plan was made, and boxes that lie on none."""
    duplicates: tuple[tuple[str, str], ...] = ()
    """Rasters with the content of another one, and that one; they are done once."""


class _Look(NamedTuple):
    """What the plan says of a raster: its places, its hash, its size and its time."""

    places: Places
    sha256: str
    n_bytes: int
    modified_ns: int


class Plan(NamedTuple):
    """A record and its units.

    Attributes:
        record: What the run is about.
        table: A row for each unit, as the file has them.
    """

    record: PlanRecord
    table: "pa.Table"

    @classmethod
    def of_units(cls, record: PlanRecord, units: Sequence[Unit]) -> Self:
        """Make a plan of a list of units."""
        import pyarrow as pa  # heavy: imported when used

        rows = [unit._asdict() | {"boxes": [box._asdict() for box in unit.boxes]} for unit in units]
        return cls(record, pa.Table.from_pylist(rows, schema=_schema()))

    def __len__(self) -> int:
        """Count the units."""
        return int(self.table.num_rows)

    def units(self) -> Iterator[Unit]:
        """Yield the units, each made when its turn comes: a plan may have millions."""
        from skycue.boxes import PlacedBox  # imports torch, which workers load with the model

        for batch in self.table.to_batches(max_chunksize=1024):
            for row in batch.to_pylist():
                boxes = tuple(PlacedBox(b["id"], _box(b["box"])) for b in row.pop("boxes"))
                yield Unit(**row, boxes=boxes)

    def n_places(self) -> int:
        """Count the places of all units."""
        import pyarrow.compute as pc

        return int(pc.sum(self.table["n_places"]).as_py() or 0)

    def save(self, folder: Path) -> None:
        """Write the plan into the folder of a run."""
        import pyarrow.parquet as pq

        metadata = {RECORD: self.record.model_dump_json().encode()}
        content = io.BytesIO()
        pq.write_table(self.table.replace_schema_metadata(metadata), content, compression="zstd")
        write_atomically(folder / PLAN_FILE, content.getvalue())


def load_plan(folder: Path) -> Plan | None:
    """Read the plan of a run; None where there is none.

    Raises:
        RunError: If the file is no plan of this version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / PLAN_FILE
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
        record = PlanRecord.model_validate_json((table.schema.metadata or {})[RECORD])
    except (pa.ArrowException, KeyError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise RunError(
            f"{path} is no plan that this version reads ({first}): choose another -o."
        ) from error
    return Plan(record, table.replace_schema_metadata(None))


def make_plan(
    rasters: Sequence[Path],
    work: Work,
    *,
    unit_size: int,
    inputs: Sequence[str] = (),
    settings: dict[str, str] | None = None,
) -> Plan:
    """Cut an archive into units. Each file is read once as a whole, for its hash.

    Args:
        rasters: The archive.
        work: What is to be done.
        unit_size: Places of a unit at most.
        inputs: What named the rasters, to be recorded.
        settings: What the work is called by, to be recorded.
    """
    units: list[Unit] = []
    unusable: list[Failure] = []
    path_of: dict[str, str] = {}
    duplicates: list[tuple[str, str]] = []
    each = sorted({raster.resolve() for raster in rasters})
    with ThreadPoolExecutor(READERS) as pool:
        looks = pool.map(lambda raster: _look(raster, work), each)
        for raster, look in zip(each, track(looks, "rasters planned", len(each)), strict=True):
            path = str(raster)
            if isinstance(look, SkycueError):
                logger.warning("passed over: %s", look)
                unusable.append(Failure(path, "", 0, str(look)))
            elif look.sha256 in path_of:
                duplicates.append((path, path_of[look.sha256]))
            elif look.places.n_places:
                path_of[look.sha256] = path
                units += _cut(path, look, work.identity, unit_size)
    named = {box.id for unit in units for box in unit.boxes}
    unusable += (Failure("", name, 1, reason) for name, reason in work.off_all_rasters(named))
    if duplicates:
        logger.warning("%d rasters are copies of others and done once", len(duplicates))
    record = PlanRecord(
        identity=work.identity,
        settings=settings or {},
        inputs=tuple(inputs),
        unit_size=unit_size,
        unusable=tuple(unusable),
        duplicates=tuple(duplicates),
    )
    return Plan.of_units(record, units)


def unit_id(
    identity: str,
    sha256: str,
    first: int,
    n_places: int,
    boxes: "Sequence[PlacedBox]" = (),
    note: str = "",
) -> str:
    """Return the id of a unit: a hash of raster, places and work."""
    facts = json.dumps([identity, sha256, first, n_places, boxes, note], separators=(",", ":"))
    return hashlib.sha256(facts.encode()).hexdigest()[:ID_DIGITS]


def _look(raster: Path, work: Work) -> _Look | SkycueError:
    """Find out all that the plan says of a raster, or what is wrong with it."""
    try:
        places = work.places(raster)
    except SkycueError as error:
        return error
    facts = raster.stat()
    sha256 = sha256_of(raster) if places.n_places else ""
    return _Look(places, sha256, facts.st_size, facts.st_mtime_ns)


def _cut(path: str, look: _Look, identity: str, unit_size: int) -> Iterator[Unit]:
    """Yield the units of one raster."""
    places = look.places
    for first in range(0, places.n_places, unit_size):
        n_places = min(unit_size, places.n_places - first)
        boxes = places.boxes[first : first + n_places]
        yield Unit(
            id=unit_id(identity, look.sha256, first, n_places, boxes, places.note),
            raster=path,
            sha256=look.sha256,
            n_bytes=look.n_bytes,
            modified_ns=look.modified_ns,
            first=first,
            n_places=n_places,
            boxes=boxes,
            note=places.note,
        )


def _box(corners: Sequence[float]) -> "Box":
    x_min, y_min, x_max, y_max = corners
    return (x_min, y_min, x_max, y_max)


def _schema() -> "pa.Schema":
    import pyarrow as pa

    box = pa.struct([("id", pa.string()), ("box", pa.list_(pa.float64(), 4))])
    return pa.schema(
        [
            ("id", pa.string()),
            ("raster", pa.string()),
            ("sha256", pa.string()),
            ("n_bytes", pa.int64()),
            ("modified_ns", pa.int64()),
            ("first", pa.int64()),
            ("n_places", pa.int64()),
            ("boxes", pa.list_(box)),
            ("note", pa.string()),
        ]
    )
