"""The process in which a raster is looked at for the first time, and rewritten for viewers.

`python -m skycue.geo.preparation` reads a request on its standard input and answers on its standard
output. It bounds its own memory, so that a hostile file ends this process and no other.
"""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel

from skycue.errors import SkycueError
from skycue.geo.raster import Raster
from skycue.geo.raster_facts import (
    PLAIN_SIDE,
    RasterFacts,
    RasterLimits,
    check_limits,
    facts_of,
    write_pyramid,
)
from skycue.geo.tiles import PixelWindow

SKIPPED_DRIVERS = (
    "VRT DERIVED GTI WMS WCS WMTS HTTP PLMOSAIC STACIT STACTA EEDA EEDAI DAAS RASTERLITE OGCAPI "
    "PostGISRaster MBTiles netCDF HDF5 HDF4 Zarr TileDB PDF FITS"
)
"""Drivers of GDAL that name other files or URLs, or are rarely tested."""
SAFE_GDAL = {
    "GDAL_SKIP": SKIPPED_DRIVERS.removeprefix("VRT "),  # rasterio warps through VRTs in memory
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no file beside is looked at
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # a cut-off JPEG is an error, not grey
    "GDAL_PAM_ENABLED": "NO",  # neither reads nor writes .aux.xml
}
"""Environment of the server, set before GDAL starts: it opens what has passed here, and only by the
driver that the first bytes name."""
STRANGERS_GDAL = SAFE_GDAL | {"GDAL_SKIP": SKIPPED_DRIVERS}
"""Environment of this process, which opens a stranger's file."""
_LIST_DRIVERS = "import rasterio\nwith rasterio.Env() as env: print(*env.drivers())"
MEMORY_BYTES = 4 << 30
"""Address space of the process."""


def harden_gdal() -> None:
    """Let GDAL of this process call no driver that follows paths, before anything starts it.

    GDAL complains about a driver to skip that it was built without, so another process lists them.
    """
    listed = subprocess.run(
        [sys.executable, "-c", _LIST_DRIVERS], check=True, capture_output=True, text=True
    )
    known = {name.casefold() for name in listed.stdout.split()}
    skipped = [n for n in SAFE_GDAL["GDAL_SKIP"].split() if n.casefold() in known]
    os.environ.update(SAFE_GDAL | {"GDAL_SKIP": " ".join(skipped)})


class PreparationRequest(BaseModel):
    """What the process is asked: JSON on its standard input."""

    source: Path
    target: Path
    limits: RasterLimits | None
    """Of a stranger's raster; None where the operator named it."""
    must_rewrite: bool = False
    """Rewrite it though it has what viewers need."""


class PreparationResult(BaseModel):
    """What it answers: JSON on its standard output."""

    error: str | None = None
    facts: RasterFacts | None = None
    rewritten: bool = False


def _serve_one(request: PreparationRequest) -> PreparationResult:
    """Do what is asked; runs in the process of its own."""
    try:
        if request.limits is not None:
            check_limits(request.source, request.limits)
        facts = facts_of(request.source)
        if facts.has_pyramid and not request.must_rewrite:
            if max(facts.size) <= PLAIN_SIDE:  # little enough to see whether all of it is sound
                Raster.open(request.source).read(PixelWindow.whole(facts.size))
            return PreparationResult(facts=facts)
        write_pyramid(request.source, request.target)
        rewritten = facts_of(request.target, facts.stretch)
    except SkycueError as error:
        words = str(error)
        for name in (str(request.source), str(request.target), request.source.name):
            words = words.replace(name, "this raster")  # a user knows none of our names
        return PreparationResult(error=words)
    return PreparationResult(facts=rewritten, rewritten=True)


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = PreparationRequest.model_validate(json.load(sys.stdin))
    result = _serve_one(request)
    sys.stdout.write(result.model_dump_json())


if __name__ == "__main__":
    _main()
