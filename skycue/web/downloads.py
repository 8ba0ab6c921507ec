"""Files that are made for one answer and gone after it, however it ends."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

MEDIA_TYPE_OF = {
    "geojson": "application/geo+json",
    "parquet": "application/vnd.apache.parquet",
    "gpkg": "application/geopackage+sqlite3",
    "coco": "application/json",
    "cog": "image/tiff; application=geotiff; profile=cloud-optimized",
    "png": "image/png",
}
"""Of each format of an export."""


class Download:
    """A file in a folder of its own."""

    def __init__(self, folder: "tempfile.TemporaryDirectory[str]", name: str) -> None:
        self._folder = folder
        self.path = Path(folder.name) / name

    def response(self, media_type: str) -> FileResponse:
        """Send the file, and remove it then."""
        return FileResponse(
            self.path,
            media_type=media_type,
            filename=self.path.name,
            background=BackgroundTask(self._folder.cleanup),
        )


@contextmanager
def download(spool: Path, name: str) -> Iterator[Download]:
    """Give a path to write to; if the block raises, nothing is left.

    Args:
        spool: Folder for such files.
        name: Of the file, as the browser saves it.
    """
    spool.mkdir(parents=True, exist_ok=True)
    # removed by the response, or, where that is never sent, when it is collected
    folder = tempfile.TemporaryDirectory(dir=spool, prefix="download-", ignore_cleanup_errors=True)
    try:
        yield Download(folder, name)
    except BaseException:
        folder.cleanup()
        raise
