"""Merge the parts of a finished run into few GeoParquet files, in the order of the plan.

Parts are read one after the other and leave as row groups of even size, so memory does not grow
with the archive. A merged file gets its name when it is whole; the parts stay, for they are what
says that the units are done.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from skycue.files import replacing
from skycue.scale.parts import GEO, part_path
from skycue.scale.plan import Plan
from skycue.scale.rows import join_tables, merge_geo

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_OF_GROUP = 100_000
"""Rows that are held at once: some tens of megabytes."""
ROWS_OF_FILE = 20_000_000
"""Rows after which another file is begun: a few gigabytes."""
FILE_FORM = "rows-{:05d}.parquet"


def compact(
    folder: Path,
    plan: Plan,
    empty: "pa.Table",
    *,
    rows_of_group: int = ROWS_OF_GROUP,
    rows_of_file: int = ROWS_OF_FILE,
) -> list[Path]:
    """Write `rows-00000.parquet` and so on; files of an earlier merge are replaced.

    Args:
        folder: Of the run, whose units are all finished.
        plan: Its plan.
        empty: A table without rows that has the schema of the parts.
        rows_of_group: Rows of a row group.
        rows_of_file: Rows of a file at most, rounded up to whole row groups.

    Returns:
        The files, at least one.
    """
    groups = _groups(folder, plan, empty, rows_of_group)
    written: list[Path] = []
    group = next(groups, empty)
    while group is not None:
        path = folder / FILE_FORM.format(len(written))
        group = _write(path, group, groups, rows_of_file)
        written.append(path)
    for old in sorted(folder.glob(FILE_FORM.replace("{:05d}", "*"))):
        if old not in written:
            old.unlink()
    return written


def _groups(
    folder: Path, plan: Plan, empty: "pa.Table", rows_of_group: int
) -> Iterator["pa.Table"]:
    """Yield the rows of all parts in tables of even size, whose metadata tell their extents."""
    import pyarrow.parquet as pq

    held, n_held = [empty], 0
    for unit in plan.units():
        part = pq.read_table(part_path(folder, unit.id))
        held.append(part)
        n_held += part.num_rows
        while n_held >= rows_of_group:
            joined = join_tables(held)
            yield joined.slice(0, rows_of_group)
            n_held -= rows_of_group
            held = [joined.slice(rows_of_group)]
    if n_held:
        yield join_tables(held)


def _write(
    path: Path, first: "pa.Table", groups: Iterator["pa.Table"], rows_of_file: int
) -> "pa.Table | None":
    """Write row groups until a file is full, and return the first that did not fit, or None."""
    import pyarrow.parquet as pq

    group: pa.Table | None = first
    geo: list[bytes] = []
    n_rows = 0
    schema = first.schema.remove_metadata()
    with (
        replacing(path) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", store_schema=False) as file,
    ):
        while group is not None and (n_rows == 0 or n_rows < rows_of_file):
            geo.append((group.schema.metadata or {}).get(GEO, b""))
            file.write_table(group.replace_schema_metadata(None))
            n_rows += group.num_rows
            group = next(groups, None)
        if merged := merge_geo(geo):
            file.add_key_value_metadata({GEO: merged})
    return group
