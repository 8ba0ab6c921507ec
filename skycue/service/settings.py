"""Settings of the server: where its state lies, and what it refuses."""

from pathlib import Path

from pydantic import Field

from skycue.config import Config

MEBI = 1 << 20


class ServiceSettings(Config):
    """What `skycue serve --config FILE --set KEY=VALUE` changes."""

    database: str = ""
    """URL of SQLAlchemy, such as postgresql+psycopg://USER@HOST/NAME; empty is SQLite in the
    state folder."""
    files: str = ""
    """URL of fsspec, such as s3://BUCKET/PREFIX; empty is a folder in the state folder."""
    files_endpoint: str = ""
    """Address of an S3 server other than Amazon's."""
    cache_bytes: int = Field(default=20 * 1024 * MEBI, gt=0)
    """Size of the local copies of an object store's files."""
    encodings_bytes: int = Field(default=4 * 1024 * MEBI, gt=0)
    """Size of the kept encodings."""

    max_upload_bytes: int = Field(default=10 * 1024 * MEBI, gt=0)
    """Of one file."""
    chunk_bytes: int = Field(default=8 * MEBI, ge=1024, le=64 * MEBI)
    """Of one chunk of an upload."""
    quota_bytes: int = Field(default=50 * 1024 * MEBI, gt=0)
    """What one token may keep: uploads, rasters, models and maps."""
    max_body_bytes: int = Field(default=MEBI, ge=1024)
    """Of any other request's body."""
    max_pixels: int = Field(default=4_000_000_000, gt=0)
    """Of an uploaded raster; rasters on the command line may be larger."""
    max_bands: int = Field(default=64, gt=0)
    """Of an uploaded raster."""
    max_side: int = Field(default=500_000, gt=0)
    """Longest side of an uploaded raster."""
    max_block_bytes: int = Field(default=256 * MEBI, gt=0)
    """Of one block of an uploaded raster, decoded: what GDAL must hold at once."""
    prepare_timeout_s: float = Field(default=3600.0, gt=0)
    """How long checking and rewriting one raster may take."""
    upload_timeout_s: float = Field(default=24 * 3600.0, gt=0)
    """An upload that was not touched for so long is removed."""

    request_timeout_s: float = Field(default=120.0, gt=0)
    """How long a request may take, streams apart."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """How long a client may pause while it sends a body."""
    max_waiting_boxes: int = Field(default=5000, gt=0)
    """Boxes of one token that wait for the model at once."""
    max_waiting_jobs: int = Field(default=20, gt=0)
    """Jobs of one token that wait or run at once."""
    batch_boxes: int = Field(default=32, ge=1)
    """Boxes that the region model answers at once, whoever asked."""
    batch_wait_ms: float = Field(default=5.0, ge=0)
    """How long a box waits for others to share its batch."""
    job_threads: int = Field(default=1, ge=1)
    """Jobs that run at once."""
    tile_threads: int = Field(default=4, ge=1)
    """Tiles that are drawn at once."""

    def state_urls(self, folder: Path) -> tuple[str, str]:
        """Return the URLs of database and files, with the defaults for a state folder."""
        database = self.database or f"sqlite:///{folder / 'state.sqlite'}"
        return database, self.files or str(folder / "files")
