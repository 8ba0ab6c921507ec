"""The server without HTTP: its parts, how they start, and how they go on after a `kill -9`."""

import fcntl
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import JsonValue

from skycue.errors import ConfigError, ConflictError, NotFoundError
from skycue.service.answer_log import AnswerLog
from skycue.service.blobs import FileStore
from skycue.service.classify_job import ClassifyJob
from skycue.service.database import Database
from skycue.service.describing import Describing
from skycue.service.fit_job import FitJob
from skycue.service.job_runner import JobRunner
from skycue.service.jobs import ClaimedJob, Jobs
from skycue.service.labels import Labels
from skycue.service.model_loading import ModelLoading
from skycue.service.names import SHARED, new_id, stable_id
from skycue.service.prepare_job import PrepareJob
from skycue.service.preparing import check_signature
from skycue.service.rasters import INCOMING, Rasters
from skycue.service.records import JobKind, JobRecord, Problem, RasterRecord
from skycue.service.region_batches import RegionBatches
from skycue.service.scene_maps import SceneMaps
from skycue.service.scene_models import SceneModels
from skycue.service.settings import ServiceSettings
from skycue.service.uploads import Uploads

logger = logging.getLogger(__name__)

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png"})
"""Endings of the files that are registered."""
SERVED_SUFFIXES = ", ".join(sorted(RASTER_SUFFIXES))
LOCK_FILE = "lock"
FORGET_EVERY_S = 600.0
"""How often forgotten uploads are looked for."""


class Registered(NamedTuple):
    """What became of the operator's paths.

    Attributes:
        rasters: Files that are served.
        passed_over: Files in folders that have another ending, or lie elsewhere.
    """

    rasters: int
    passed_over: int


class Service:
    """All that the server keeps and does."""

    def __init__(self, folder: Path, settings: ServiceSettings, loading: ModelLoading) -> None:
        """Open the state.

        Args:
            folder: Of the state; made if absent, and used by one server at a time.
            settings: Where else state lies, and what is refused.
            loading: Loads the models.

        Raises:
            ConfigError: If another server uses the folder, or a store cannot be reached.
        """
        self.settings, self.loading, self._folder = settings, loading, folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_folder(self._folder)
        try:
            database, files = settings.state_urls(self._folder)
            self.database = Database(database)
            self.files = FileStore(
                files,
                cache=self._folder / "cache",
                cache_bytes=settings.cache_bytes,
                endpoint=settings.files_endpoint,
            )
        except BaseException:
            self._lock.close()
            raise
        self.spool = self._folder / "spool"
        self.rasters = Rasters(self.database, self.files)
        self.uploads = Uploads(self.database, self.files, settings)
        self.answers = AnswerLog(self.database)
        self.labels = Labels(self.database)
        quota = settings.quota_bytes
        self.models = SceneModels(self.database, self.files, loading.classifier, quota_bytes=quota)
        self.maps = SceneMaps(self.database, self.files, quota_bytes=quota)
        self.batches = RegionBatches(
            loading.describer,
            self.rasters,
            max_boxes=settings.batch_boxes,
            wait_s=settings.batch_wait_ms / 1000,
            max_waiting=settings.max_waiting_boxes,
        )
        self.describing = Describing(self.rasters, self.batches, self.answers)
        self.fit = FitJob(self.rasters, self.labels, self.models, loading, self.spool)
        self.classify = ClassifyJob(self.rasters, self.models, self.maps, self.spool)
        self._prepare = PrepareJob(self.rasters, self.files, settings, self.spool)
        self.jobs = Jobs(self.database, new_id("w"), settings.max_waiting_jobs)
        self.runner = JobRunner(
            self.jobs,
            {"prepare": self._prepare, "fit": self.fit, "classify": self.classify},
            threads=settings.job_threads,
            after_failure=self._after_failure,
        )
        self._finishing: dict[str, object] = {}
        self._stopping = threading.Event()
        self._cleaner = threading.Thread(target=self._clean, name="cleaner", daemon=True)

    def start(self) -> None:
        """Begin to do jobs, those first that a killed server left behind."""
        alone = not self.settings.database  # nobody else uses a database in the state folder
        if count := self.jobs.release_lost(mine=alone):
            logger.info("%d jobs of a server that has ended wait again", count)
        self.runner.start()
        self.batches.start()
        self._cleaner.start()

    def close(self) -> None:
        """End; running jobs wait again at the next start."""
        self._stopping.set()
        self.batches.stop()
        self.describing.close()
        self.runner.stop()
        self.database.close()
        self._lock.close()

    def register(self, roots: list[Path]) -> Registered:
        """Make the operator's rasters known: files, and those in folders.

        A link that leads out of its folder is passed over.

        Raises:
            ConfigError: If a path is not there, or a file that is named has another ending.
        """
        shared: set[str] = set()
        passed_over = 0
        for given in roots:
            if not given.exists():
                raise ConfigError(f"there is no {given}: give raster files or folders of them.")
            root = given.resolve()
            found = [root] if root.is_file() else sorted(root.rglob("*"))
            for entry in found:
                path = entry.resolve()
                if not path.is_file():
                    continue
                if path.suffix.lower() not in RASTER_SUFFIXES:
                    if path == root:
                        raise ConfigError(
                            f"cannot serve {given}: files that end in {SERVED_SUFFIXES} are "
                            "served. Convert it by `gdal_translate -of COG` first."
                        )
                    passed_over += 1
                    continue
                if root.is_dir() and not path.is_relative_to(root):
                    logger.warning("passed over %s, which leads out of %s", entry, root)
                    passed_over += 1
                    continue
                job = new_id("j")
                raster, is_new = self.rasters.register(root, path, job)
                shared.add(raster)
                if is_new:
                    self.jobs.submit(SHARED, "prepare", {}, raster=raster, job=job)
        self.rasters.forget_others(shared)
        self.runner.wake()
        return Registered(len(shared), passed_over)

    def finish_upload(self, owner: str, upload: str) -> RasterRecord:
        """Turn a complete upload into a raster, which a job prepares.

        Asked again for an upload that it has finished, because the answer got lost, it gives the
        same raster.

        Raises:
            NotFoundError: If the owner has no such upload.
            ConflictError: If something is missing of it, or another request is finishing it.
            ImageReadError: If it does not begin like a raster; the upload is gone then.
            QuotaError: If too many jobs of the owner wait.
        """
        raster, me = stable_id("r", upload), object()
        if self._finishing.setdefault(upload, me) is not me:
            raise ConflictError("this upload is just being finished: ask again in a moment.")
        try:
            with suppress(NotFoundError):
                known = self.rasters.get(owner, raster)
                with suppress(NotFoundError):  # a server that was killed before it came to this
                    self.uploads.remove(owner, upload)
                return known
            self._make_raster(owner, upload, raster)
        finally:
            del self._finishing[upload]
        self.runner.wake()
        return self.rasters.get(owner, raster)

    def _make_raster(self, owner: str, upload: str, raster: str) -> None:
        known = self.uploads.get(owner, upload)
        path = self.uploads.assemble(owner, upload, self.spool)
        key = f"{INCOMING}/{new_id('f')}"
        try:
            check_signature(path)
            self.files.put(key, path)
        except BaseException:
            path.unlink(missing_ok=True)
            self.uploads.remove(owner, upload)
            raise
        job = new_id("j")
        try:
            with self.database.begin() as connection:
                self.rasters.add(connection, raster, owner, known.name, key, known.bytes, job)
                self.jobs.submit(
                    owner, "prepare", {}, raster=raster, job=job, connection=connection
                )
        except BaseException:
            self.files.remove(key)
            raise
        self.uploads.remove(owner, upload)

    def submit(
        self, owner: str, kind: JobKind, request: dict[str, JsonValue], *, raster: str
    ) -> JobRecord:
        """Let a job wait.

        Raises:
            QuotaError: If too many jobs of the owner wait.
        """
        job = self.jobs.submit(owner, kind, request, raster=raster)
        self.runner.wake()
        return self.jobs.get(owner, job)

    def _after_failure(self, job: ClaimedJob, problem: Problem) -> None:
        if job.kind == "prepare":
            self._prepare.after_failure(job, problem)

    def _clean(self) -> None:
        while not self._stopping.wait(FORGET_EVERY_S):
            if count := self.uploads.remove_forgotten():
                logger.info("removed %d uploads that were never finished", count)


def _lock_folder(folder: Path) -> IO[str]:
    """Hold a state folder for this process alone; the kernel lets go when the process ends."""
    lock = (folder / LOCK_FILE).open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConfigError(
            f"another server uses {folder}: stop it, or give another folder by --state."
        ) from error
    return lock
