"""Classified rasters: probabilities and labels as files, their classes and colours as a record."""

import colorsys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, delete, insert, select

from skycue.errors import NotFoundError
from skycue.service.blobs import FileStore
from skycue.service.database import Database, maps, now
from skycue.service.names import new_id
from skycue.service.quota import require_room
from skycue.service.records import MapClass, MapRecord

FOLDER = "maps"
PROBABILITIES, LABELS = "probabilities.tif", "labels.tif"
"""Files of a map: a band for each class, and the number of the most probable one."""
# Paul Tol's "bright" scheme (https://personal.sron.nl/~pault/), told apart by the colour-blind.
BRIGHT = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB")


class SceneMaps:
    """Keeps maps."""

    def __init__(self, database: Database, files: FileStore, *, quota_bytes: int) -> None:
        self._database, self._files, self._quota_bytes = database, files, quota_bytes

    def add(
        self,
        owner: str,
        folder: Path,
        *,
        raster: str,
        model: str,
        class_names: Sequence[str],
        window: int,
        stride: int,
        size: tuple[int, int],
        n_skipped: int,
    ) -> str:
        """Keep a map and return its id.

        Args:
            owner: Whose it is.
            folder: Holds `PROBABILITIES` and `LABELS`, which are moved.
            raster: What was classified.
            model: By what.
            class_names: In the order of the bands.
            window: Side of what was classified at once, in pixels.
            stride: Side of a cell, in pixels.
            size: (height, width) in cells.
            n_skipped: Windows without a valid pixel.

        Raises:
            QuotaError: If the owner has no room for it.
        """
        one = new_id("c")
        record = MapRecord(
            id=one,
            raster=raster,
            model=model,
            classes=tuple(
                MapClass(name=name, colour=colour)
                for name, colour in zip(class_names, colours_of(len(class_names)), strict=True)
            ),
            window=window,
            stride=stride,
            size=size,
            n_windows=size[0] * size[1],
            n_skipped=n_skipped,
            created_at=datetime.now(UTC),
        )
        file = f"{FOLDER}/{one}"
        paths = [folder / PROBABILITIES, folder / LABELS]
        n_bytes = sum(path.stat().st_size for path in paths)
        for path in paths:
            self._files.put(f"{file}/{path.name}", path)
        try:
            with self._database.begin() as connection:
                require_room(self._database, connection, owner, n_bytes, self._quota_bytes)
                row = {
                    "id": one,
                    "owner": owner,
                    "raster": raster,
                    "created": now(),
                    "file": file,
                    "bytes": n_bytes,
                    "record": record.model_dump_json(),
                }
                connection.execute(insert(maps).values(row))
        except BaseException:
            self._files.remove(file)
            raise
        return one

    def list(self, owner: str, raster: str | None = None) -> list[MapRecord]:
        """Return an owner's maps, of one raster or of all, the newest first."""
        mine = select(maps.c.record).where(maps.c.owner == owner).order_by(maps.c.created.desc())
        if raster is not None:
            mine = mine.where(maps.c.raster == raster)
        with self._database.read() as connection:
            return [
                MapRecord.model_validate_json(record)
                for record in connection.execute(mine).scalars()
            ]

    def get(self, owner: str, one: str) -> MapRecord:
        """Return one.

        Raises:
            NotFoundError: If the owner has none of this id.
        """
        return MapRecord.model_validate_json(self._row(owner, one).record)

    @contextmanager
    def file(self, owner: str, one: str, name: str) -> Iterator[Path]:
        """Give a local file of a map while the block runs."""
        with self._files.local(f"{self._row(owner, one).file}/{name}") as path:
            yield path

    def remove(self, owner: str, one: str) -> None:
        """Delete a map.

        Raises:
            NotFoundError: If the owner has none of this id.
        """
        row = self._row(owner, one)
        with self._database.begin() as connection:
            connection.execute(delete(maps).where(maps.c.id == one))
        self._files.remove(row.file)

    def _row(self, owner: str, one: str) -> Row[tuple[object, ...]]:
        mine = maps.c.id == one, maps.c.owner == owner
        with self._database.read() as connection:
            row = connection.execute(select(maps).where(*mine)).first()
        if row is None:
            raise NotFoundError(f"no map {one}.")
        return row


def colours_of(n_classes: int) -> tuple[str, ...]:
    """Return a colour for each class, "#rrggbb": those of a scheme first, then others around."""
    golden = 0.61803398875  # steps of the golden ratio never come near each other soon
    more = [
        "#{:02X}{:02X}{:02X}".format(
            *(round(255 * part) for part in colorsys.hls_to_rgb(number * golden % 1.0, 0.5, 0.6))
        )
        for number in range(max(0, n_classes - len(BRIGHT)))
    ]
    return (*BRIGHT, *more)[:n_classes]


def levels_of(colours: Sequence[str]) -> NDArray[np.uint8]:
    """Return "#rrggbb" as levels, uint8 [C, 3]."""
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], dtype=np.uint8)
