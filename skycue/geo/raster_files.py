"""Open raster files by GDAL without letting them lead anywhere else.

GDAL's virtual formats name other files and URLs, and it looks into a file, not at its name, to
choose its reader: a VRT called `scene.tif` would read whatever it points at. So the reader is
chosen here, by the first bytes of an existing local file, from a fixed list of formats that hold
their pixels themselves; GDAL may call that one reader only.
"""

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from skycue.errors import ImageReadError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

SIGNATURES: tuple[tuple[bytes, int, str], ...] = (
    (b"II\x2a\x00", 0, "GTiff"),
    (b"MM\x00\x2a", 0, "GTiff"),
    (b"II\x2b\x00", 0, "GTiff"),  # BigTIFF
    (b"MM\x00\x2b", 0, "GTiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", 0, "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", 0, "JP2OpenJPEG"),  # a bare codestream
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"\xff\xd8\xff", 0, "JPEG"),
    (b"WEBP", 8, "WEBP"),
    (b"BM", 0, "BMP"),
    (b"EHFA_HEADER_TAG", 0, "HFA"),
    (b"NITF0", 0, "NITF"),
    (b"NSIF0", 0, "NITF"),
)
"""First bytes, where they stand, and the GDAL reader of the format."""
FORMATS = (*dict.fromkeys(driver for *_, driver in SIGNATURES), "ENVI")
"""The only GDAL readers that are ever called; ENVI is told by the header file beside."""

CACHE_BYTES = 128 * 1024 * 1024
"""Of decoded blocks that GDAL keeps for the whole process; its default is 5 % of the memory."""
GDAL_OPTIONS: dict[str, str | int | bool] = {
    "GDAL_CACHEMAX": CACHE_BYTES,  # a number is bytes to rasterio
    "GDAL_NUM_THREADS": 1,  # who reads decides how many threads do
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,  # a cut-off JPEG is an error, not grey
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,  # its faster way reads a cut-off PNG as black
}
MAX_BLOCK_BYTES = 512 * 1024 * 1024
"""Bytes of a block of one band, the least that GDAL can decode."""
MAX_WHOLE_PIXELS = 64_000_000
"""Pixels of a file whose format can only be decoded as a whole."""
MAX_BANDS = 10_000

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters at least: not a disk of Windows
_SIDECARS = (".ovr", ".OVR", ".msk", ".MSK")  # rasters of their own that GDAL opens by any reader
_DECODED_WHOLE = ("WEBP",)
_SIGNATURE_BYTES = 16
_OPENING = threading.Lock()  # `warnings.catch_warnings` is not safe among threads
if hasattr(os, "register_at_fork"):  # a thread that holds it does not live on in the child

    def _free_lock() -> None:
        global _OPENING
        _OPENING = threading.Lock()

    os.register_at_fork(after_in_child=_free_lock)


def open_dataset(path: Path) -> "DatasetReader":
    """Open a local raster file with the one GDAL reader that its first bytes name.

    Raises:
        ImageReadError: If it is missing, of no known format, damaged, or points to other files, or
            its blocks are too large to be decoded.
    """
    import rasterio  # heavy: imported when used
    from rasterio.errors import NotGeoreferencedWarning

    driver = _driver(path)
    for sidecar in (path.with_name(path.name + suffix) for suffix in _SIDECARS):
        if sidecar.is_file():
            open_dataset(sidecar).close()
    with gdal_errors(path), gdal_options(), _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path.resolve(), driver=driver, sharing=False)
    if problem := _refusal(dataset):
        dataset.close()
        raise ImageReadError(f"cannot read {path}: {problem}")
    return dataset


def check_local(path: Path | str) -> None:
    """Refuse URLs and GDAL's paths into archives, networks and memory.

    Raises:
        ImageReadError: If it is one.
    """
    name = str(path)
    if _SCHEME.match(name) or name.startswith(("/vsi", "<")):
        raise ImageReadError(
            f"cannot read {' '.join(name.split())[:80]}: only files of this machine are read; "
            "download it first"
        )


def gdal_options() -> AbstractContextManager[object]:
    """Return a context in which GDAL works with bounded memory."""
    from rasterio import Env

    options: AbstractContextManager[object] = Env(**GDAL_OPTIONS)
    return options


@contextmanager
def gdal_errors(path: Path) -> Iterator[None]:
    """Turn what GDAL says of a damaged file into one line."""
    from rasterio._err import CPLE_BaseError  # GDAL's errors; rasterio.errors leaves them out
    from rasterio.errors import RasterioError

    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        said = " ".join(str(error.__cause__ or error).split())
        raise ImageReadError(f"cannot read {path}: damaged or cut off ({said})") from error


def _driver(path: Path) -> str:
    """Return the GDAL reader for a file."""
    check_local(path)
    try:
        with path.open("rb") as file:
            head = file.read(_SIGNATURE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise ImageReadError(f"cannot read {path}: {_cause(path, error)}") from error
    for signature, start, driver in SIGNATURES:
        if head[start : start + len(signature)] == signature:
            return driver
    if _has_envi_header(path):
        return "ENVI"
    if not head:
        raise ImageReadError(f"cannot read {path}: empty file (0 bytes)")
    raise ImageReadError(
        f"cannot read {path}: not a raster ({', '.join(FORMATS)} are read; convert others by "
        "`gdal_translate -of GTiff`)"
    )


def _cause(path: Path, error: Exception) -> str:
    """Say why a file cannot even be opened."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder; give a file"
    return "no permission to read it" if isinstance(error, PermissionError) else str(error)


def _has_envi_header(path: Path) -> bool:
    """Say whether an ENVI header stands beside a file."""
    for header in (path.with_suffix(".hdr"), path.with_name(path.name + ".hdr")):
        if header != path and header.is_file():
            with header.open("rb") as file:
                return file.read(4) == b"ENVI"
    return False


def _refusal(dataset: "DatasetReader") -> str | None:
    """Say why an opened raster is not read, or None. Nothing has been decoded yet."""
    if dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE"):
        return "it names another file for its overviews; build them inside by `gdaladdo`"
    if dataset.count == 0:
        return "it has no bands of its own; convert one of its parts by `gdal_translate -sd 1`"
    pixels = dataset.height * dataset.width
    if dataset.driver in _DECODED_WHOLE and pixels > MAX_WHOLE_PIXELS:
        return (
            f"{dataset.height} x {dataset.width} pixels; of {dataset.driver} at most "
            f"{MAX_WHOLE_PIXELS:,} are read: convert it by `gdal_translate -of COG`"
        )
    if dataset.count > MAX_BANDS:
        return f"{dataset.count:,} bands; at most {MAX_BANDS:,} are read"
    for (height, width), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        if height * width * _bytes_of(dtype) > MAX_BLOCK_BYTES:
            return (
                f"blocks of {height} x {width} pixels, over {MAX_BLOCK_BYTES // 2**20} MB each: "
                "rewrite it by `gdal_translate -co TILED=YES`"
            )
    return None


def _bytes_of(dtype: str) -> int:
    """Return the bytes of a value; GDAL's complex integers have no name in NumPy."""
    import numpy as np

    return 8 if dtype.startswith("complex_") else np.dtype(dtype).itemsize
