"""The answers of rasters as rows, and the edits of them, each of which can be taken back."""

import json
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from pydantic import JsonValue
from sqlalchemy import Connection, delete, func, insert, select, update

from skycue.errors import NotFoundError
from skycue.service.database import Database, answers, dump, edits
from skycue.service.records import AnswerRecord

MAX_EDITS = 200
"""Edits of a raster that can be taken back; older ones stay as they are."""


class Edited(NamedTuple):
    """What an edit changed.

    Attributes:
        changed: Answers that are new or other than before.
        removed: Ids of those that are gone.
        can_undo: There is an edit to take back.
    """

    changed: list[AnswerRecord]
    removed: list[str]
    can_undo: bool


Edit = Callable[[Sequence[AnswerRecord]], list[AnswerRecord]]
"""From the answers that an edit names to those that stand in their place."""


class AnswerLog:
    """Keeps answers and their edits."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, owner: str, records: Sequence[AnswerRecord]) -> None:
        """Keep new answers."""
        with self._database.begin() as connection:
            for record in records:
                self._insert(connection, owner, record)

    def list(self, owner: str, raster: str) -> list[AnswerRecord]:
        """Return an owner's answers about a raster, the oldest first."""
        with self._database.read() as connection:
            mine = (
                select(answers.c.record)
                .where(answers.c.owner == owner, answers.c.raster == raster)
                .order_by(answers.c.created, answers.c.id)
            )
            return [
                AnswerRecord.model_validate_json(record)
                for record in connection.execute(mine).scalars()
            ]

    def can_undo(self, owner: str, raster: str) -> bool:
        """Tell whether there is an edit to take back."""
        with self._database.read() as connection:
            return self._last_edit(connection, owner, raster) is not None

    def edit(self, owner: str, raster: str, ids: Sequence[str], change: Edit) -> Edited:
        """Put other answers in the place of some, and keep what was before.

        Args:
            owner: Whose answers they are.
            raster: What they are about.
            ids: Those that are changed, in the order in which `change` gets them.
            change: Returns what shall stand there; an answer with an old id is changed, one with
                a new id is new, one that is not returned is removed.

        Raises:
            NotFoundError: If the owner has no such answer about the raster.
        """
        with self._database.begin() as connection:
            self._database.lock_owner(connection, owner)
            before = [self._get(connection, owner, raster, one) for one in dict.fromkeys(ids)]
            after = change(before)
            kept: dict[str, JsonValue] = {
                old.id: json.loads(old.model_dump_json()) for old in before
            }
            kept |= {new.id: None for new in after if new.id not in kept}
            self._put(connection, owner, kept.keys(), after)
            row = {"owner": owner, "raster": raster, "before": dump(kept)}
            connection.execute(insert(edits).values(row))
            self._forget_old(connection, owner, raster)
        removed = [old.id for old in before if old.id not in {new.id for new in after}]
        return Edited(after, removed, can_undo=True)

    def undo(self, owner: str, raster: str) -> Edited:
        """Take the last edit back.

        Raises:
            NotFoundError: If there is none.
        """
        with self._database.begin() as connection:
            self._database.lock_owner(connection, owner)
            number = self._last_edit(connection, owner, raster)
            if number is None:
                raise NotFoundError("there is no edit to take back.")
            row = connection.execute(select(edits.c.before).where(edits.c.number == number))
            kept: dict[str, JsonValue] = json.loads(row.scalar_one())
            before = [AnswerRecord.model_validate(old) for old in kept.values() if old is not None]
            self._put(connection, owner, kept.keys(), before)
            connection.execute(delete(edits).where(edits.c.number == number))
            can_undo = self._last_edit(connection, owner, raster) is not None
        return Edited(before, [one for one, old in kept.items() if old is None], can_undo)

    def _get(self, connection: Connection, owner: str, raster: str, one: str) -> AnswerRecord:
        mine = answers.c.owner == owner, answers.c.raster == raster, answers.c.id == one
        record = connection.execute(select(answers.c.record).where(*mine)).scalar_one_or_none()
        if record is None:
            raise NotFoundError(f"no answer {one} about this raster.")
        return AnswerRecord.model_validate_json(record)

    def _put(
        self,
        connection: Connection,
        owner: str,
        touched: Collection[str],
        records: Sequence[AnswerRecord],
    ) -> None:
        """Let these records, and no others, stand under the touched ids."""
        new = {record.id: record for record in records}
        for one in touched:
            mine = answers.c.owner == owner, answers.c.id == one
            if one not in new:
                connection.execute(delete(answers).where(*mine))
                continue
            record = new[one].model_dump_json()
            changed = update(answers).where(*mine).values(record=record)
            if connection.execute(changed).rowcount == 0:
                self._insert(connection, owner, new[one])

    def _insert(self, connection: Connection, owner: str, record: AnswerRecord) -> None:
        row = {
            "id": record.id,
            "owner": owner,
            "raster": record.raster,
            "created": record.created_at.timestamp(),
            "record": record.model_dump_json(),
        }
        connection.execute(insert(answers).values(row))

    def _last_edit(self, connection: Connection, owner: str, raster: str) -> int | None:
        mine = edits.c.owner == owner, edits.c.raster == raster
        last = select(func.max(edits.c.number)).where(*mine)
        return connection.execute(last).scalar_one_or_none()

    def _forget_old(self, connection: Connection, owner: str, raster: str) -> None:
        """Forget the oldest edits where there are too many."""
        mine = edits.c.owner == owner, edits.c.raster == raster
        newest = select(edits.c.number).where(*mine).order_by(edits.c.number.desc())
        too_old = newest.offset(MAX_EDITS)
        numbers = list(connection.execute(too_old).scalars())
        connection.execute(delete(edits).where(edits.c.number.in_(numbers)))
