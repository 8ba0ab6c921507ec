"""The rasters that the server knows: uploaded ones, and those that its operator names."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from skycue.errors import BandError, ConflictError, NotFoundError, SkycueError
from skycue.geo.raster import Raster
from skycue.geo.raster_facts import RasterFacts, facts_of
from skycue.service.blobs import FileStore
from skycue.service.database import Database, answers, edits, jobs, labels, maps, now, rasters
from skycue.service.names import LOCAL, SHARED, stable_id
from skycue.service.records import RasterRecord, RasterStatus

INCOMING, READY = "incoming", "rasters"
"""Folders of the file store: what arrived, and what was checked."""
PATH_MARK = "path:"
"""Begins the `file` of a raster that lies where its operator has it."""


class _Kept(BaseModel):
    """The `record` column."""

    name: str
    error: str | None = None
    job: str | None = None
    state: str = ""
    """Size and time of an operator's file when it was checked."""
    facts: RasterFacts | None = None


class Rasters:
    """Keeps rasters and what is known of them."""

    def __init__(self, database: Database, files: FileStore) -> None:
        self._database, self._files = database, files

    def add(
        self,
        connection: Connection,
        raster: str,
        owner: str,
        name: str,
        file: str,
        n_bytes: int,
        job: str,
    ) -> None:
        """Note a raster that a job will prepare, inside the caller's transaction.

        Args:
            connection: Of the transaction.
            raster: Its id.
            owner: Whose it is.
            name: As the owner calls it.
            file: Key in the file store.
            n_bytes: Its size.
            job: Id of the job.
        """
        self._insert(connection, raster, owner, file, n_bytes, _Kept(name=name, job=job))

    def register(self, root: Path, path: Path, job: str) -> tuple[str, bool]:
        """Note a raster of the operator's, which stays where it is.

        Args:
            root: Folder that the operator named.
            path: A file in it, both resolved.
            job: Id of the job that will prepare it, if that is needed.

        Returns:
            Its id, the same from run to run, and whether it must be prepared.
        """
        name = path.relative_to(root).as_posix() if path != root else path.name
        raster = stable_id("r", str(path))
        stat = path.stat()
        state = f"{stat.st_size} {stat.st_mtime_ns}"
        with self._database.begin() as connection:
            row = connection.execute(select(rasters).where(rasters.c.id == raster)).first()
            if row is not None:
                kept = _Kept.model_validate_json(row.record)
                if kept.state == state and row.status == "ready":
                    return raster, False
                connection.execute(delete(rasters).where(rasters.c.id == raster))
            kept = _Kept(name=name, job=job, state=state)
            self._insert(connection, raster, SHARED, f"{PATH_MARK}{path}", stat.st_size, kept)
        return raster, True

    def forget_others(self, shared: set[str]) -> None:
        """Forget the operator's rasters that are not named any more; answers to them stay."""
        with self._database.begin() as connection:
            others = delete(rasters).where(
                rasters.c.owner == SHARED, rasters.c.id.not_in(sorted(shared))
            )
            connection.execute(others)

    def list(self, owner: str) -> list[RasterRecord]:
        """Return the rasters that an owner sees, the newest first."""
        with self._database.read() as connection:
            seen = select(rasters).where(_visible(owner)).order_by(rasters.c.created.desc())
            return [_record_of(row) for row in connection.execute(seen)]

    def get(self, owner: str, raster: str) -> RasterRecord:
        """Return one raster.

        Raises:
            NotFoundError: If the owner sees none of this id.
        """
        return _record_of(self._row(owner, raster))

    def facts(self, owner: str, raster: str) -> RasterFacts:
        """Return what was found out about a raster that is ready.

        Raises:
            NotFoundError: If the owner sees none of this id.
            ConflictError: If it is not ready.
        """
        row = self._row(owner, raster)
        kept = _Kept.model_validate_json(row.record)
        if row.status != "ready" or kept.facts is None:
            why = f"could not be used: {kept.error}" if kept.error else "is still being prepared."
            raise ConflictError(f"the raster {kept.name!r} {why}")
        return kept.facts

    @contextmanager
    def path(self, owner: str, raster: str) -> Iterator[Path]:
        """Give the local file of a raster while the block runs; the errors are those of `facts`."""
        self.facts(owner, raster)
        with self.source(self._row(owner, raster).file) as path:
            yield path

    @contextmanager
    def open(self, owner: str, raster: str) -> Iterator[Raster]:
        """Open a raster that is ready; the errors are those of `facts`."""
        facts = self.facts(owner, raster)
        with self.path(owner, raster) as path:
            yield Raster.open(path, bands=facts.shown_bands, stretch=facts.stretch)

    @contextmanager
    def source(self, file: str) -> Iterator[Path]:
        """Give the local file of a `file` column, ready or not."""
        if file.startswith(PATH_MARK):
            path = Path(file.removeprefix(PATH_MARK))
            if not path.is_file():
                raise NotFoundError("the file of this raster is gone: ask the server's operator.")
            yield path
        else:
            with self._files.local(file) as path:
                yield path

    def file_of(self, raster: str) -> str | None:
        """Return the `file` column of a raster, or None where the raster is gone."""
        with self._database.read() as connection:
            found = select(rasters.c.file).where(rasters.c.id == raster)
            return connection.execute(found).scalar_one_or_none()

    def set_ready(self, raster: str, facts: RasterFacts, file: str, n_bytes: int) -> bool:
        """Note that a raster can be used; false if it was deleted meanwhile."""
        return self._set(raster, "ready", file=file, n_bytes=n_bytes, facts=facts)

    def set_failed(self, raster: str, error: str) -> bool:
        """Note why a raster cannot be used; false if it was deleted meanwhile."""
        return self._set(raster, "failed", error=error)

    def show_bands(self, owner: str, raster: str, bands: Sequence[int]) -> RasterRecord:
        """Show other bands of a raster, on tiles and to the models; answers and maps stay.

        Args:
            owner: Who asks.
            raster: Its id.
            bands: One (grey) or three (red, green, blue), counted from 1.

        Raises:
            NotFoundError: If the owner sees none of this id.
            ConflictError: If it is not ready, or the operator's and others see it too.
            BandError: If a band is not there.
            ImageReadError: If the bands cannot be shown together.
        """
        count, row = self.facts(owner, raster).bands, self._row(owner, raster)
        if row.owner == SHARED and owner != LOCAL:
            raise ConflictError("this raster belongs to the server's operator: others see it too.")
        if not set(bands) <= set(range(1, count + 1)):
            raise BandError(f"bands {list(bands)} are asked for; this raster has 1 to {count}.")
        with self.path(owner, raster) as path:
            try:
                facts = facts_of(path, bands=bands)
            except SkycueError as error:  # a user knows none of our names
                raise type(error)(str(error).replace(str(path), "this raster")) from error
        if not self._set(raster, "ready", facts=facts):
            raise NotFoundError(f"no raster {raster}.")
        return self.get(owner, raster)

    def remove(self, owner: str, raster: str) -> None:
        """Delete a raster with its answers, labels and maps.

        Raises:
            NotFoundError: If the owner sees none of this id.
            ConflictError: If it is the operator's.
        """
        row = self._row(owner, raster)
        if row.owner == SHARED:
            raise ConflictError("this raster belongs to the server's operator and stays.")
        with self._database.begin() as connection:
            map_files = select(maps.c.file).where(maps.c.raster == raster)
            keys = [*connection.execute(map_files).scalars(), row.file]
            for table in (answers, edits, labels, maps):
                connection.execute(delete(table).where(table.c.raster == raster))
            waiting = jobs.c.raster == raster, jobs.c.status.in_(["queued", "running"])
            connection.execute(update(jobs).where(*waiting).values(cancel=True))
            connection.execute(delete(rasters).where(rasters.c.id == raster))
        for key in keys:
            self._files.remove(key)

    def _insert(
        self,
        connection: Connection,
        raster: str,
        owner: str,
        file: str,
        n_bytes: int,
        kept: _Kept,
    ) -> None:
        row = {
            "id": raster,
            "owner": owner,
            "created": now(),
            "status": "preparing",
            "file": file,
            "bytes": n_bytes,
            "record": kept.model_dump_json(),
        }
        connection.execute(insert(rasters).values(row))

    def _row(self, owner: str, raster: str) -> Row[tuple[object, ...]]:
        with self._database.read() as connection:
            found = select(rasters).where(rasters.c.id == raster, _visible(owner))
            row = connection.execute(found).first()
        if row is None:
            raise NotFoundError(f"no raster {raster}.")
        return row

    def _set(
        self,
        raster: str,
        status: RasterStatus,
        *,
        file: str | None = None,
        n_bytes: int | None = None,
        facts: RasterFacts | None = None,
        error: str | None = None,
    ) -> bool:
        with self._database.begin() as connection:
            row = connection.execute(select(rasters).where(rasters.c.id == raster)).first()
            if row is None:
                return False
            kept = _Kept.model_validate_json(row.record)
            kept = kept.model_copy(update={"error": error, "job": None, "facts": facts})
            values: dict[str, object] = {"status": status, "record": kept.model_dump_json()}
            if file is not None:
                values |= {"file": file, "bytes": n_bytes}
            connection.execute(update(rasters).where(rasters.c.id == raster).values(values))
        return True


def _visible(owner: str):  # type: ignore[no-untyped-def]
    return or_(rasters.c.owner == owner, rasters.c.owner == SHARED)


def _record_of(row: Row[tuple[object, ...]]) -> RasterRecord:
    kept = _Kept.model_validate_json(row.record)
    facts = kept.facts
    return RasterRecord(
        id=row.id,
        name=kept.name,
        status=row.status,
        error=kept.error,
        job=kept.job,
        is_shared=row.owner == SHARED,
        bytes=row.bytes,
        created_at=datetime.fromtimestamp(row.created, UTC),
        **(json.loads(facts.model_dump_json(exclude={"stretch", "has_pyramid"})) if facts else {}),
    )
