"""Jobs as rows: who waits, who runs, how far, and what came of it.

A running job is seen again every few seconds by the process that runs it. One that was not seen for
long lost its process (`kill -9`, a lost machine), waits again, and is given up after some attempts.
"""

import json
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import JsonValue
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from skycue.errors import NotFoundError, QuotaError
from skycue.service.database import Database, dump, jobs, now
from skycue.service.names import SHARED, new_id
from skycue.service.records import JobKind, JobRecord, Problem

LOST_AFTER_S = 60.0
"""A running job that was not seen for so long has lost its process."""
MAX_ATTEMPTS = 3
"""A job whose process ended so often is given up."""
KEPT_FINISHED_S = 7 * 24 * 3600.0
"""Finished jobs are forgotten then; what they made stays."""

WAITING = ("queued", "running")


class ClaimedJob(NamedTuple):
    """A job that this process runs."""

    id: str
    owner: str
    kind: JobKind
    raster: str | None
    request: dict[str, JsonValue]


class Jobs:
    """The table of jobs."""

    def __init__(self, database: Database, worker: str, max_waiting: int) -> None:
        """Hold the table for a process.

        Args:
            database: Where it is.
            worker: Names this process; another one has another name.
            max_waiting: Jobs of one owner that wait or run at once.
        """
        self._database, self._worker, self._max_waiting = database, worker, max_waiting

    def submit(
        self,
        owner: str,
        kind: JobKind,
        request: dict[str, JsonValue],
        *,
        raster: str | None = None,
        job: str | None = None,
        connection: Connection | None = None,
    ) -> str:
        """Let a job wait, and return its id.

        Args:
            owner: Whose it is.
            kind: What to do.
            request: With what; plain JSON.
            raster: What it is about.
            job: Id that was drawn before.
            connection: Of a transaction that the job shall belong to.

        Raises:
            QuotaError: If too many jobs of the owner wait.
        """
        if connection is None:
            with self._database.begin() as own:
                return self.submit(owner, kind, request, raster=raster, job=job, connection=own)
        self._database.lock_owner(connection, owner)
        mine = select(jobs.c.id).where(jobs.c.owner == owner, jobs.c.status.in_(WAITING))
        if owner != SHARED and len(connection.execute(mine).all()) >= self._max_waiting:
            raise QuotaError(
                f"{self._max_waiting} of your jobs wait or run: let some finish, or cancel them."
            )
        job = job or new_id("j")
        row = {
            "id": job,
            "owner": owner,
            "created": now(),
            "kind": kind,
            "status": "queued",
            "raster": raster,
            "request": dump(request),
            "progress": 0.0,
            "message": "waits",
            "cancel": False,
            "attempts": 0,
            "seen": now(),
        }
        connection.execute(insert(jobs).values(row))
        return job

    def list(self, owner: str) -> list[JobRecord]:
        """Return an owner's jobs, the newest first."""
        with self._database.read() as connection:
            mine = select(jobs).where(jobs.c.owner == owner).order_by(jobs.c.created.desc())
            return [_record_of(row) for row in connection.execute(mine)]

    def get(self, owner: str, job: str) -> JobRecord:
        """Return a job.

        Raises:
            NotFoundError: If the owner has none of this id; shared ones everybody sees.
        """
        with self._database.read() as connection:
            mine = or_(jobs.c.owner == owner, jobs.c.owner == SHARED)
            row = connection.execute(select(jobs).where(jobs.c.id == job, mine)).first()
        if row is None:
            raise NotFoundError(f"no job {job}.")
        return _record_of(row)

    def cancel(self, owner: str, job: str) -> JobRecord:
        """Let a job end: at once where it waits, soon where it runs; a finished one stays so.

        Raises:
            NotFoundError: If the owner has none of this id.
        """
        with self._database.begin() as connection:
            mine = jobs.c.id == job, jobs.c.owner == owner
            if connection.execute(select(jobs.c.id).where(*mine)).first() is None:
                raise NotFoundError(f"no job {job}.")
            waiting = update(jobs).where(*mine, jobs.c.status == "queued")
            done = {"status": "cancelled", "message": "cancelled", "finished": now()}
            connection.execute(waiting.values(cancel=True, **done))
            running = update(jobs).where(*mine, jobs.c.status == "running")
            connection.execute(running.values(cancel=True, message="is being cancelled"))
        return self.get(owner, job)

    def claim(self) -> ClaimedJob | None:
        """Take the job that waits longest, so that no other process takes it; None if none does."""
        with self._database.read() as connection:
            waiting = (
                select(jobs.c.id, jobs.c.owner, jobs.c.kind, jobs.c.raster, jobs.c.request)
                .where(jobs.c.status == "queued")
                .order_by(jobs.c.created)
                .limit(8)
            )
            rows = connection.execute(waiting).all()
        for row in rows:
            with self._database.begin() as connection:
                mine = update(jobs).where(jobs.c.id == row.id, jobs.c.status == "queued")
                taken = mine.values(
                    status="running",
                    worker=self._worker,
                    attempts=jobs.c.attempts + 1,
                    seen=now(),
                    message="starts",
                )
                if connection.execute(taken).rowcount == 1:
                    request = json.loads(row.request)
                    return ClaimedJob(row.id, row.owner, row.kind, row.raster, request)
        return None

    def note(self, job: str, progress: float, message: str) -> bool:
        """Keep how far a job is, and tell whether it is still wanted."""
        with self._database.begin() as connection:
            running = jobs.c.id == job, jobs.c.worker == self._worker, jobs.c.status == "running"
            seen = update(jobs).where(*running)
            connection.execute(seen.values(progress=progress, message=message, seen=now()))
            row = connection.execute(select(jobs.c.cancel).where(*running)).first()
        return row is not None and not row.cancel

    def finish(self, job: str, result: str | None) -> None:
        """Note that a job is done, and the id of what it made."""
        self._end(job, {"status": "done", "progress": 1.0, "message": "done", "result": result})

    def fail(self, job: str, problem: Problem) -> None:
        """Note why a job failed."""
        error = problem.model_dump_json()
        self._end(job, {"status": "failed", "message": problem.message, "error": error})

    def end_cancelled(self, job: str) -> None:
        """Note that a job ended because it was not wanted any more."""
        self._end(job, {"status": "cancelled", "message": "cancelled"})

    def release_lost(self, *, mine: bool = False) -> int:
        """Let jobs wait again that have lost their process, and return how many.

        Args:
            mine: Nobody else uses this database, so every running job is lost.
        """
        lost = [jobs.c.status == "running"]
        if not mine:
            lost.append(jobs.c.seen < now() - LOST_AFTER_S)
        gone = Problem(
            type="ServerError",
            message=f"the server ended {MAX_ATTEMPTS} times while this job ran.",
        )
        with self._database.begin() as connection:
            cancelled = update(jobs).where(*lost, jobs.c.cancel)
            ended = {"status": "cancelled", "message": "cancelled", "finished": now()}
            connection.execute(cancelled.values(ended))
            hopeless = update(jobs).where(*lost, jobs.c.attempts >= MAX_ATTEMPTS)
            given_up = {"status": "failed", "message": gone.message, "finished": now()}
            connection.execute(hopeless.values(given_up | {"error": gone.model_dump_json()}))
            again = update(jobs).where(*lost).values(status="queued", message="waits again")
            count = connection.execute(again).rowcount
            old = jobs.c.finished < now() - KEPT_FINISHED_S
            connection.execute(delete(jobs).where(old))
        return count

    def _end(self, job: str, values: dict[str, object]) -> None:
        with self._database.begin() as connection:
            mine = jobs.c.id == job, jobs.c.worker == self._worker, jobs.c.status == "running"
            connection.execute(update(jobs).where(*mine).values({**values, "finished": now()}))


def _record_of(row: Row[tuple[object, ...]]) -> JobRecord:
    return JobRecord(
        id=row.id,
        kind=row.kind,
        status=row.status,
        progress=row.progress,
        message=row.message,
        raster=row.raster,
        result=row.result,
        error=None if row.error is None else Problem.model_validate_json(row.error),
        created_at=datetime.fromtimestamp(row.created, UTC),
        finished_at=None if row.finished is None else datetime.fromtimestamp(row.finished, UTC),
    )
