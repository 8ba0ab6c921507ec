"""Merge the parts of a finished run into few GeoParquet files, in the order of the plan.

Parts are read one after the other and leave as row groups of even size, so memory does not grow
with the archive. A merged file gets its name when it is whole; the parts stay, for they are what
says that the units are done.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from skycue.files import replacing
from skycue.scale.parts import GEO, part_path
from skycue.scale.plan import Plan

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
            joined = _join(held)
            yield joined.slice(0, rows_of_group)
            n_held -= rows_of_group
            held = [joined.slice(rows_of_group)]
    if n_held:
        yield _join(held)


def _join(tables: Sequence["pa.Table"]) -> "pa.Table":
    """Put tables of one schema one below the other; their extents grow together."""
    import pyarrow as pa

    geo = merge_geo([(table.schema.metadata or {}).get(GEO, b"") for table in tables])
    plain = [table.replace_schema_metadata(None) for table in tables]
    return pa.concat_tables(plain).replace_schema_metadata({GEO: geo} if geo else None)


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


def merge_geo(texts: Sequence[bytes]) -> bytes:
    """Return GeoParquet metadata that hold for all rows of several files with one CRS.

    Kinds of geometry and extents are joined; empty texts are passed over.
    """
    known = [json.loads(text) for text in texts if text]
    if not known:
        return b""
    merged: dict[str, JsonValue] = known[0]
    column = known[0]["columns"][known[0]["primary_column"]]
    others = [geo["columns"][geo["primary_column"]] for geo in known]
    column["geometry_types"] = sorted({kind for one in others for kind in one["geometry_types"]})
    extents = [one["bbox"] for one in others if "bbox" in one]
    if extents:
        half = len(extents[0]) // 2
        lows, highs = [e[:half] for e in extents], [e[half:] for e in extents]
        column["bbox"] = [*map(min, zip(*lows, strict=True)), *map(max, zip(*highs, strict=True))]
    return json.dumps(merged).encode()
