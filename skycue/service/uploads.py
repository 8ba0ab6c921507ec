"""Files that arrive in chunks: an upload goes on where it stopped, whoever was killed meanwhile.

Each chunk is a file of its own until all have arrived, so one server may receive the first and
another the last. A chunk counts when the table says so, after it lies on the disk.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update

from skycue.errors import ConflictError, NotFoundError, QuotaError, UploadError
from skycue.service.blobs import FileStore
from skycue.service.database import Database, now, uploads
from skycue.service.names import new_id
from skycue.service.quota import require_room
from skycue.service.settings import ServiceSettings

MAX_UPLOADS = 50
"""Uploads of one owner at once."""
FOLDER = "uploads"


class Upload(NamedTuple):
    """A file of which a part has arrived."""

    id: str
    name: str
    bytes: int
    received: int


class Uploads:
    """Receives files."""

    def __init__(self, database: Database, files: FileStore, settings: ServiceSettings) -> None:
        self._database, self._files, self._settings = database, files, settings

    def begin(self, owner: str, name: str, n_bytes: int) -> Upload:
        """Reserve room for a file.

        Raises:
            UploadError: If no file may be so large.
            QuotaError: If the owner has no room for it, or too many uploads are open.
        """
        limit = self._settings.max_upload_bytes
        if n_bytes > limit:
            raise UploadError(
                f"a file of {n_bytes:,} bytes is too large: at most {limit:,} bytes are accepted. "
                "Ask the server's operator to register it, or cut it."
            )
        upload = Upload(new_id("u"), name, n_bytes, 0)
        with self._database.begin() as connection:
            require_room(self._database, connection, owner, n_bytes, self._settings.quota_bytes)
            mine = select(uploads.c.id).where(uploads.c.owner == owner)
            if len(connection.execute(mine).all()) >= MAX_UPLOADS:
                raise QuotaError(
                    f"{MAX_UPLOADS} uploads are open: finish or delete one before the next."
                )
            row = {**upload._asdict(), "owner": owner, "touched": now()}
            connection.execute(insert(uploads).values(row))
        return upload

    def get(self, owner: str, upload: str) -> Upload:
        """Return how much of an upload has arrived.

        Raises:
            NotFoundError: If the owner has none of this id.
        """
        columns = (uploads.c.id, uploads.c.name, uploads.c.bytes, uploads.c.received)
        with self._database.read() as connection:
            mine = select(*columns).where(uploads.c.id == upload, uploads.c.owner == owner)
            row = connection.execute(mine).first()
        if row is None:
            raise NotFoundError(f"no upload {upload}: it was finished, deleted, or never begun.")
        return Upload(*row)

    def write(self, owner: str, upload: str, offset: int, content: bytes) -> Upload:
        """Take the next chunk.

        Raises:
            NotFoundError: If the owner has no such upload.
            ConflictError: If the chunk is not the next one.
            UploadError: If it has not the size of a chunk.
        """
        known = self.get(owner, upload)
        if offset != known.received:
            raise ConflictError(
                f"the next chunk begins at byte {known.received}, not at {offset}: ask for the "
                "upload and go on at `received`."
            )
        expected = min(self._settings.chunk_bytes, known.bytes - offset)
        if len(content) != expected:
            raise UploadError(
                f"the chunk at byte {offset} has {len(content)} bytes; {expected} are expected."
            )
        self._files.put_bytes(f"{FOLDER}/{upload}/{offset:015d}", content)
        received = offset + len(content)
        with self._database.begin() as connection:
            arrived = (
                update(uploads)
                .where(uploads.c.id == upload, uploads.c.received == offset)
                .values(received=received, touched=now())
            )
            if connection.execute(arrived).rowcount != 1:
                raise ConflictError(f"another request has just sent the chunk at byte {offset}.")
        return known._replace(received=received)

    def assemble(self, owner: str, upload: str, folder: Path) -> Path:
        """Join the chunks of a complete upload in a file of a folder, and return its path.

        Raises:
            NotFoundError: If the owner has no such upload.
            ConflictError: If something is missing.
        """
        known = self.get(owner, upload)
        if known.received != known.bytes:
            raise ConflictError(
                f"{known.received} of {known.bytes} bytes have arrived: send the others first."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".incoming", delete=False) as joined:
            for key in self._files.keys(f"{FOLDER}/{upload}"):
                joined.write(self._files.read(key))
        path = Path(joined.name)
        if path.stat().st_size != known.bytes:
            path.unlink()
            raise NotFoundError("chunks of this upload are missing: delete it and begin again.")
        return path

    def remove(self, owner: str, upload: str) -> None:
        """Forget an upload and what has arrived of it.

        Raises:
            NotFoundError: If the owner has none of this id.
        """
        self.get(owner, upload)
        with self._database.begin() as connection:
            connection.execute(delete(uploads).where(uploads.c.id == upload))
        self._files.remove(f"{FOLDER}/{upload}")

    def remove_forgotten(self) -> int:
        """Remove uploads that were not touched for long, and return how many."""
        oldest = now() - self._settings.upload_timeout_s
        with self._database.read() as connection:
            old = select(uploads.c.owner, uploads.c.id).where(uploads.c.touched < oldest)
            rows = connection.execute(old).all()
        for owner, upload in rows:
            self.remove(owner, upload)
        return len(rows)
