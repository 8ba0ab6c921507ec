"""The labelled boxes of rasters: what users learn from."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from skycue.boxes import Box
from skycue.service.database import Database, labels
from skycue.service.names import new_id
from skycue.service.records import LabelRecord


class Labels:
    """Keeps labels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_raster(self, owner: str, raster: str) -> list[LabelRecord]:
        """Return an owner's labels on a raster, in the order given."""
        with self._database.read() as connection:
            mine = (
                select(labels.c.record)
                .where(labels.c.owner == owner, labels.c.raster == raster)
                .order_by(labels.c.place)
            )
            return [
                LabelRecord.model_validate_json(record)
                for record in connection.execute(mine).scalars()
            ]

    def replace(self, owner: str, raster: str, new: Sequence[tuple[Box, str]]) -> list[LabelRecord]:
        """Let these labels, and no others, be an owner's on a raster.

        Args:
            owner: Whose.
            raster: Where.
            new: Boxes in pixels of the raster, checked, and class names.
        """
        records = [LabelRecord(id=new_id("l"), box=box, class_name=name) for box, name in new]
        with self._database.begin() as connection:
            self._database.lock_owner(connection, owner)
            mine = labels.c.owner == owner, labels.c.raster == raster
            connection.execute(delete(labels).where(*mine))
            for place, record in enumerate(records):
                row = {
                    "id": record.id,
                    "owner": owner,
                    "raster": raster,
                    "place": place,
                    "record": record.model_dump_json(),
                }
                connection.execute(insert(labels).values(row))
        return records
