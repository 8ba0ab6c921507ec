"""Look at a raster of a stranger in a process of its own, and rewrite it for viewers if needed.

Whatever a hostile file does to GDAL it does to a process without secrets, with bounded memory and
time, that may call few of GDAL's drivers. The server itself opens only what passed.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from skycue.errors import ImageReadError
from skycue.geo.preparation import STRANGERS_GDAL, PreparationRequest, PreparationResult
from skycue.geo.raster_facts import RasterFacts, RasterLimits
from skycue.service.job_runner import JobContext

UPLOAD_FORMATS = ("GTiff", "JPEG", "PNG")
"""What strangers may send."""
SIGNATURES = (
    b"II\x2a\x00",
    b"MM\x00\x2a",
    b"II\x2b\x00",
    b"MM\x00\x2b",
    b"\xff\xd8\xff",
    b"\x89PNG",
)
"""First bytes of these formats."""
POLL_S = 0.1


class Prepared(NamedTuple):
    """A raster that may be used."""

    facts: RasterFacts
    file: Path | None
    """The rewritten raster; None where the source serves as it is."""


def check_signature(path: Path) -> None:
    """Refuse a file that does not begin like a TIFF, a JPEG or a PNG.

    Raises:
        ImageReadError: If it does not.
    """
    with path.open("rb") as file:
        head = file.read(16)
    if not head.startswith(SIGNATURES):
        raise ImageReadError(
            "this file is no GeoTIFF, JPEG or PNG, whatever its name says: convert it by "
            "`gdal_translate -of GTiff` first."
        )


def prepare_raster(
    source: Path,
    target: Path,
    *,
    limits: RasterLimits | None,
    timeout_s: float,
    context: JobContext,
    must_rewrite: bool = False,
) -> Prepared:
    """Check a raster, and write it to `target` as a COG unless it has what viewers need.

    Args:
        source: A local file.
        target: Where a rewritten raster goes; its folder is there.
        limits: Of a stranger's raster; None where the operator named it.
        timeout_s: How long it may take.
        context: Ends the process when the job is cancelled.
        must_rewrite: Rewrite it even so.

    Raises:
        ImageReadError: If it cannot be used; one line that tells a user why.
        JobCancelled: If the job is not wanted any more.
    """
    request = PreparationRequest(
        source=source, target=target, limits=limits, must_rewrite=must_rewrite
    )
    environment = {**os.environ, **STRANGERS_GDAL, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "skycue.geo.preparation"]
    context.progress(0.1, "the raster is checked and made fast to look at")
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        try:
            said = _talk(process, request.model_dump_json(), timeout_s, context)
        except BaseException:
            process.kill()
            target.unlink(missing_ok=True)
            raise
    if process.returncode != 0 or not said:
        target.unlink(missing_ok=True)
        raise ImageReadError("this raster is damaged: reading it needs too much or never ends.")
    result = PreparationResult.model_validate_json(said)
    if result.facts is None:
        target.unlink(missing_ok=True)
        raise ImageReadError(result.error or "this raster is damaged.")
    return Prepared(result.facts, target if result.rewritten else None)


def _talk(
    process: "subprocess.Popen[str]", request: str, timeout_s: float, context: JobContext
) -> str:
    """Ask the process and wait for its answer, looking up for a cancellation meanwhile."""
    deadline = time.monotonic() + timeout_s
    asked: str | None = request
    while True:
        context.check()
        if time.monotonic() > deadline:
            raise ImageReadError(f"preparing this raster took longer than {timeout_s:g} s.")
        try:
            said, _ = process.communicate(asked, timeout=POLL_S)
        except subprocess.TimeoutExpired:
            asked = None
        else:
            return said
