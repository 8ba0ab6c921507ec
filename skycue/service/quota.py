"""How much of the server one owner uses, and the refusal beyond."""

from sqlalchemy import Connection, func, select

from skycue.errors import QuotaError
from skycue.service.database import Database, maps, models, rasters, uploads


def used_bytes(connection: Connection, owner: str) -> int:
    """Return the bytes that an owner's uploads, rasters, models and maps take or will take."""
    total = 0
    for table in (uploads, rasters, models, maps):
        bytes_of = select(func.coalesce(func.sum(table.c.bytes), 0)).where(table.c.owner == owner)
        total += int(connection.execute(bytes_of).scalar_one())
    return total


def require_room(
    database: Database, connection: Connection, owner: str, new: int, quota_bytes: int
) -> None:
    """Refuse what would exceed the quota; others of this owner wait for the transaction's end.

    Raises:
        QuotaError: If there is not enough room.
    """
    database.lock_owner(connection, owner)
    used = used_bytes(connection, owner)
    if used + new > quota_bytes:
        raise QuotaError(
            f"{new:,} bytes more would exceed your quota: {used:,} of {quota_bytes:,} bytes are in "
            "use. Delete a raster, a map or an upload first."
        )
