"""The part of a unit: its rows in one Parquet file, with a hash that proves them whole.

A part is written under a temporary name, forced to the disk and renamed, so a reader never sees
half of one; two workers that do the same unit write the same rows, and the later rename wins. The
footer holds the receipt of the unit and the SHA-256 of all bytes before the footer together with
what the footer says beside the columns. A unit is finished if its part is there and the hash fits:
no list of finished units exists that could disagree with the files.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from skycue.config import Config
from skycue.files import replacing
from skycue.scale.work import Failure, Unit, UnitRows

if TYPE_CHECKING:
    import pyarrow as pa

PARTS_FOLDER = "parts"
RECEIPT = b"skycue:receipt"
HASH = b"skycue:sha256"
"""Keys of a part's footer."""
GEO = b"geo"
"""Key of the footer under which GeoParquet keeps CRS and extent."""
_END = 8  # bytes at the end of a Parquet file: the length of the footer, and "PAR1"


class Receipt(Config):
    """What is said of a finished unit, beside its rows."""

    id: str
    """Of the unit."""
    n_places: int
    """Windows or boxes that it had."""
    n_rows: int
    """Rows that it gave."""
    n_skipped: int
    """Places without a measurement."""
    failures: tuple[Failure, ...] = ()
    """Places that failed."""

    @property
    def n_failed(self) -> int:
        """Places that failed."""
        return sum(failure.n_places for failure in self.failures)


class _Footer(NamedTuple):
    """Where a footer starts and what it says."""

    start: int
    metadata: dict[bytes, bytes]


def part_path(folder: Path, unit: str) -> Path:
    """Return where the part of a unit lies; 256 folders share the parts of a run."""
    return folder / PARTS_FOLDER / unit[:2] / f"{unit}.parquet"


def write_part(folder: Path, unit: Unit, rows: UnitRows) -> Receipt:
    """Write the part of a unit that was done, and return its receipt.

    Args:
        folder: Of the run.
        unit: What was done.
        rows: What it gave.
    """
    receipt = Receipt(
        id=unit.id,
        n_places=unit.n_places,
        n_rows=rows.table.num_rows,
        n_skipped=rows.n_skipped,
        failures=rows.failures,
    )
    metadata = {RECEIPT: receipt.model_dump_json().encode()}
    metadata[GEO] = (rows.table.schema.metadata or {}).get(GEO, b"")
    content = parquet_bytes(rows.table, metadata)
    with replacing(part_path(folder, unit.id)) as partial:  # a name that no other machine takes
        partial.write_bytes(content)
    return receipt


def parquet_bytes(table: "pa.Table", metadata: dict[bytes, bytes]) -> bytes:
    """Return a Parquet file whose footer holds `metadata` and a hash of everything else.

    Entries without a value are left out.
    """
    import pyarrow.parquet as pq  # heavy: imported when used

    kept = {key: value for key, value in sorted(metadata.items()) if value}
    plain = table.replace_schema_metadata(None)
    sink = io.BytesIO()
    # Without the stored schema: readers that find one take all metadata from it.
    with pq.ParquetWriter(sink, plain.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(plain)
        digest = _digest(sink.getbuffer(), kept)
        writer.add_key_value_metadata({**kept, HASH: digest.encode()})
    return sink.getvalue()


def read_receipt(folder: Path, unit: str) -> Receipt | None:
    """Return the receipt of a unit that is finished; None where its part is absent or damaged."""
    try:
        content = part_path(folder, unit).read_bytes()
    except FileNotFoundError:
        return None
    footer = _footer(content)
    if footer is None:
        return None
    said = dict(footer.metadata)
    digest = said.pop(HASH, b"").decode(errors="replace")
    kept = {key: said[key] for key in sorted(said) if key in (RECEIPT, GEO)}
    if digest != _digest(memoryview(content)[: footer.start], kept):
        return None
    try:
        receipt = Receipt.model_validate_json(kept.get(RECEIPT, b""))
    except ValidationError:  # a whole file that some other version wrote
        return None
    return receipt if receipt.id == unit else None


def _digest(data: memoryview, metadata: dict[bytes, bytes]) -> str:
    """Hash the bytes before a footer and what the footer says."""
    digest = hashlib.sha256(data)
    said = {key.decode(): value.decode() for key, value in metadata.items()}
    digest.update(json.dumps(said).encode())
    return digest.hexdigest()


def _footer(content: bytes) -> _Footer | None:
    """Find the footer of a Parquet file; None where the bytes are none or cut off."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    length = int.from_bytes(content[-_END:-4], "little")
    start = len(content) - _END - length
    if start < 0:
        return None
    try:
        metadata = pq.read_metadata(io.BytesIO(content)).metadata
    except (pa.ArrowException, OSError):  # Arrow tells some damages by an OSError
        return None
    return _Footer(start, dict(metadata or {}))
