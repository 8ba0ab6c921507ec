"""The job that makes a raster ready: it is checked, and becomes a COG where it lacks overviews."""

import logging
import tempfile
from pathlib import Path

from skycue.geo.raster_facts import RasterLimits
from skycue.service.blobs import FileStore
from skycue.service.job_runner import JobContext
from skycue.service.jobs import ClaimedJob
from skycue.service.preparing import UPLOAD_FORMATS, prepare_raster
from skycue.service.rasters import PATH_MARK, READY, Rasters
from skycue.service.records import Problem
from skycue.service.settings import ServiceSettings

logger = logging.getLogger(__name__)


class PrepareJob:
    """Makes rasters ready."""

    def __init__(
        self, rasters: Rasters, files: FileStore, settings: ServiceSettings, spool: Path
    ) -> None:
        """Hold what the job needs.

        Args:
            rasters: The table.
            files: Where ready rasters go.
            settings: Limits of uploaded rasters.
            spool: Folder for files that are being written.
        """
        self._rasters, self._files, self._settings = rasters, files, settings
        self._spool = spool

    def __call__(self, context: JobContext) -> str | None:
        """Prepare the raster of a job.

        Raises:
            ImageReadError: If it cannot be used.
        """
        raster = context.job.raster
        assert raster is not None, "a prepare job names its raster"
        file = self._rasters.file_of(raster)
        if file is None:  # deleted meanwhile
            return None
        is_shared = file.startswith(PATH_MARK)
        self._spool.mkdir(parents=True, exist_ok=True)
        with (
            self._rasters.source(file) as source,
            tempfile.TemporaryDirectory(dir=self._spool) as folder,
        ):
            prepared = prepare_raster(
                source,
                Path(folder) / "ready.tif",
                limits=None if is_shared else self._limits(),
                timeout_s=self._settings.prepare_timeout_s,
                context=context,
            )
            key, size = file, source.stat().st_size
            if prepared.file is not None:
                key = f"{READY}/{raster}.tif"
                size = self._files.put(key, prepared.file)
        is_wanted = self._rasters.set_ready(raster, prepared.facts, key, size)
        if key != file and not is_shared:
            self._files.remove(file)
        if not is_wanted:
            self._files.remove(key)
            return None
        return raster

    def after_failure(self, job: ClaimedJob, problem: Problem) -> None:
        """Note at the raster why it cannot be used, and remove a stranger's file."""
        if job.raster is None:
            return
        file = self._rasters.file_of(job.raster)
        self._rasters.set_failed(job.raster, problem.message)
        if file is not None and not file.startswith(PATH_MARK):
            self._files.remove(file)

    def _limits(self) -> RasterLimits:
        return RasterLimits(
            formats=UPLOAD_FORMATS,
            max_pixels=self._settings.max_pixels,
            max_side=self._settings.max_side,
            max_bands=self._settings.max_bands,
            max_block_bytes=self._settings.max_block_bytes,
        )
