"""Scene classifiers: fitted by users, or given on the command line; loaded when they are needed."""

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Row, delete, insert, or_, select

from skycue.errors import ConflictError, NotFoundError
from skycue.inference import SceneClassifier
from skycue.service.blobs import FileStore
from skycue.service.database import Database, models, now
from skycue.service.names import SHARED, new_id, stable_id
from skycue.service.quota import require_room
from skycue.service.records import ModelRecord

FOLDER = "models"
PATH_MARK = "path:"
"""Begins the `file` of a classifier that lies where its operator has it."""
MAX_LOADED = 4
"""Classifiers held in memory."""


class SceneModels:
    """Keeps classifiers."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        load: Callable[[Path], SceneClassifier],
        *,
        quota_bytes: int,
    ) -> None:
        """Hold what is needed.

        Args:
            database: Where records lie.
            files: Where what was learned lies.
            load: Loads a classifier from a folder.
            quota_bytes: What one owner may keep.
        """
        self._database, self._files, self._load = database, files, load
        self._quota_bytes = quota_bytes
        self._loaded: OrderedDict[str, SceneClassifier] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, owner: str, name: str, classifier: SceneClassifier, spool: Path) -> str:
        """Keep a fitted classifier and return its id.

        Raises:
            QuotaError: If the owner has no room for it.
        """
        model = new_id("m")
        record = _record_of(model, name, classifier, is_shared=False)
        with tempfile.TemporaryDirectory(dir=spool) as folder:
            classifier.save(folder)
            paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
            n_bytes = sum(path.stat().st_size for path in paths)
            for path in paths:
                self._files.put(f"{FOLDER}/{model}/{path.relative_to(folder).as_posix()}", path)
        try:
            with self._database.begin() as connection:
                require_room(self._database, connection, owner, n_bytes, self._quota_bytes)
                row = {
                    "id": model,
                    "owner": owner,
                    "created": now(),
                    "file": f"{FOLDER}/{model}",
                    "bytes": n_bytes,
                    "record": record.model_dump_json(),
                }
                connection.execute(insert(models).values(row))
        except BaseException:
            self._files.remove(f"{FOLDER}/{model}")
            raise
        return model

    def register(self, folders: list[Path]) -> None:
        """Make the operator's classifiers known, and forget those of an earlier run.

        Raises:
            CheckpointError: If a folder holds no classifier.
        """
        rows = []
        for folder in folders:
            path = folder.resolve()
            model = stable_id("m", str(path))
            record = _record_of(model, path.name, self._load(path), is_shared=True)
            rows.append(
                {
                    "id": model,
                    "owner": SHARED,
                    "created": now(),
                    "file": f"{PATH_MARK}{path}",
                    "bytes": 0,
                    "record": record.model_dump_json(),
                }
            )
        with self._database.begin() as connection:
            connection.execute(delete(models).where(models.c.owner == SHARED))
            for row in rows:
                connection.execute(insert(models).values(row))

    def list(self, owner: str) -> list[ModelRecord]:
        """Return the classifiers that an owner may use, the newest first."""
        with self._database.read() as connection:
            seen = (
                select(models.c.record)
                .where(or_(models.c.owner == owner, models.c.owner == SHARED))
                .order_by(models.c.created.desc())
            )
            return [
                ModelRecord.model_validate_json(record)
                for record in connection.execute(seen).scalars()
            ]

    def get(self, owner: str, model: str) -> ModelRecord:
        """Return one.

        Raises:
            NotFoundError: If the owner may use none of this id.
        """
        return ModelRecord.model_validate_json(self._row(owner, model).record)

    def load(self, owner: str, model: str, spool: Path) -> SceneClassifier:
        """Return a classifier ready to classify; the last few stay in memory.

        Raises:
            NotFoundError: If the owner may use none of this id.
        """
        file = self._row(owner, model).file
        with self._lock:
            classifier = self._loaded.pop(model, None)
            if classifier is None:
                classifier = self._read(file, spool)
            self._loaded[model] = classifier
            while len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
        return classifier

    def remove(self, owner: str, model: str) -> None:
        """Delete a classifier; the maps that it made stay.

        Raises:
            NotFoundError: If the owner may use none of this id.
            ConflictError: If it is the operator's.
        """
        row = self._row(owner, model)
        if row.owner == SHARED:
            raise ConflictError("this model belongs to the server's operator and stays.")
        with self._database.begin() as connection:
            connection.execute(delete(models).where(models.c.id == model))
        with self._lock:
            self._loaded.pop(model, None)
        self._files.remove(row.file)

    def _read(self, file: str, spool: Path) -> SceneClassifier:
        if file.startswith(PATH_MARK):
            return self._load(Path(file.removeprefix(PATH_MARK)))
        spool.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=spool) as folder:
            for key in self._files.keys(file):
                target = Path(folder) / key.removeprefix(f"{file}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                with self._files.local(key) as path:
                    shutil.copyfile(path, target)
            return self._load(Path(folder))

    def _row(self, owner: str, model: str) -> Row[tuple[object, ...]]:
        visible = or_(models.c.owner == owner, models.c.owner == SHARED)
        with self._database.read() as connection:
            row = connection.execute(select(models).where(models.c.id == model, visible)).first()
        if row is None:
            raise NotFoundError(f"no model {model}.")
        return row


def _record_of(
    model: str, name: str, classifier: SceneClassifier, *, is_shared: bool
) -> ModelRecord:
    return ModelRecord(
        id=model,
        name=name,
        method=classifier.config.method.name,
        classes=classifier.class_names,
        n_labels=classifier.facts.n_train,
        is_shared=is_shared,
        created_at=datetime.now(UTC),
    )
