"""Rasters of any size: windows of RGB pixels, which of them are valid, and their place."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.errors import BandError, ImageReadError
from skycue.files import sha256_of
from skycue.geo.areas import gsd_m
from skycue.geo.bands import BandChoice, choose_bands
from skycue.geo.georeference import GeoReference, read_georeference
from skycue.geo.raster_files import check_local, open_dataset
from skycue.geo.raster_values import RasterValues
from skycue.geo.stretch import Stretch, find_stretch
from skycue.geo.tiles import PixelWindow

MAX_PIXELS = 64_000_000
"""Pixels that `read_raster` reads at once, 8,000 x 8,000."""
PLAIN_FORMATS = ("GTiff", "PNG", "JPEG", "WEBP", "BMP")
"""GDAL's names of the formats that are also read as images without a place."""


class RasterWindow(NamedTuple):
    """What was read of a window.

    Attributes:
        pixels: RGB, uint8 [3, h, w]; 0 where not valid.
        valid: Where a band holds a value, bool [h, w]: neither outside, nodata nor transparent.
        georeference: Where these pixels lie, or None.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    georeference: GeoReference | None


class RasterImage(NamedTuple):
    """An image with its place on the ground.

    Attributes:
        pixels: RGB, uint8 [3, H, W].
        georeference: Where it lies, or None.
    """

    pixels: NDArray[np.uint8]
    georeference: GeoReference | None


class Raster:
    """A raster file, read window by window.

    Holds no pixels. It may be used by several threads and sent to other processes; each opens the
    file for itself. Start processes by "spawn" where threads have read before: GDAL and PROJ may
    hold locks that a forked child never gets.

    Attributes:
        path: The file.
        size: (height, width) in pixels.
        georeference: Where it lies, or None: without CRS or geotransform there is no place.
        dtype: NumPy's name of its values.
        bands: The shown bands, counted from 1: one for grey, or three for red, green, blue.
        block: (height, width) of what is decoded at once.
        is_plain_image: 8 bits, grey or RGB and nothing else, in a format of images.
    """

    def __init__(
        self,
        path: Path,
        bands: Sequence[int | str] | None = None,
        stretch: Stretch | None = None,
    ) -> None:
        self.path = path
        dataset = open_dataset(path)
        self.georeference: GeoReference | None = read_georeference(dataset, path)
        self._choice: BandChoice = choose_bands(dataset, path, bands)
        self.bands, self.dtype = self._choice.shown, self._choice.dtype
        self._values = RasterValues(path, self._choice, dataset)
        self.size, self.block = self._values.size, self._values.block
        self.is_plain_image = dataset.driver in PLAIN_FORMATS and self._choice.is_plain
        if stretch is not None:
            if len(stretch.low) != len(self.bands):
                raise BandError(
                    f"a stretch of {len(stretch.low)} bands is given for {len(self.bands)} shown "
                    f"bands of {path}."
                )
            self.stretch = stretch

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        bands: Sequence[int | str] | None = None,
        stretch: Stretch | None = None,
    ) -> "Raster":
        """Open a raster file.

        Args:
            path: A local file of one of `raster_files.FORMATS`.
            bands: One band or three, by number from 1 or name; see `choose_bands`.
            stretch: From values to levels; found from a sample if not given.

        Raises:
            ImageReadError: If it cannot be read.
            BandError: If a band is not there.
            GeoError: If its geotransform maps all pixels onto a line or a point.
        """
        check_local(path)
        return cls(Path(path), bands, stretch)

    @cached_property
    def stretch(self) -> Stretch:
        """From values to levels: as they are for 8 bits, else percentiles, found when asked for."""
        if self._choice.palette is not None:  # its colours are levels already
            return Stretch.identity(len(self.bands))
        if self.dtype == "uint8":
            return Stretch.identity(len(self.bands), self._choice.bits or 8)
        return find_stretch(self)

    @property
    def overview_sizes(self) -> list[tuple[int, int]]:
        """(height, width) of its smaller copies, largest first."""
        height, width = self.size
        return [(-(-height // n), -(-width // n)) for n in self._values.overview_factors]

    @property
    def always_holds(self) -> bool:
        """Whether every pixel holds a value, as the file declares it."""
        return self._choice.palette is None and self._choice.always_holds

    def gsd_m(self) -> float | None:
        """Return the metres on the ground of a pixel in the middle; None if it has no place."""
        return None if self.georeference is None else gsd_m(self.georeference, self.size)

    def sha256(self) -> str:
        """Return the SHA-256 of the file's content, computed once for each state of the file."""
        state = _state_of(self.path)
        if self._hash is None or self._hash[0] != state:
            self._hash = (state, sha256_of(self.path))
        return self._hash[1]

    _hash: tuple[tuple[int, int], str] | None = None

    def content_key(self) -> str:
        """Return a hash of what `read` answers: of the file, the shown bands and the stretch."""
        parts = (self.sha256(), repr(self.bands), self.stretch.model_dump_json())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def is_empty(self, window: PixelWindow) -> bool:
        """Say whether a window is known to hold nothing valid, without decoding anything.

        True for windows outside the raster, and where a sparse GeoTIFF with nodata or alpha has no
        blocks; false where only decoding can tell.
        """
        inside = window.cut(self.size)
        if inside is None:
            return True
        filled = self._values.filled
        return filled is not None and not filled.any_in(inside, self._values.dataset)

    def filled_blocks(self) -> NDArray[np.int64]:
        """Return the blocks that may hold something, counted row by row."""
        filled = self._values.filled
        if filled is not None:
            return filled.positions(self._values.dataset)
        rows, columns = (-(-n // block) for n, block in zip(self.size, self.block, strict=True))
        return np.arange(rows * columns)

    def read(self, window: PixelWindow, size: tuple[int, int] | None = None) -> RasterWindow:
        """Read a window as RGB.

        Args:
            window: It may reach outside, where nothing is valid.
            size: (height, width) to read it at. Where that is smaller, overviews are used and
                pixels averaged over their valid parts; a pixel is valid if any of its parts is.

        Raises:
            ImageReadError: If the file is damaged there.
        """
        size = size or (window.height, window.width)
        pixels = np.zeros((3, *size), dtype=np.uint8)
        valid = np.zeros(size, dtype=np.bool_)
        for rows, columns, values, known in self._values.read(window, size):
            shown, held = self._colours(values, known)
            place = (slice(None), rows, columns)
            if held is None:
                pixels[place], valid[place[1:]] = shown, True
            else:
                valid[place[1:]] = held.any(axis=0)
                np.copyto(pixels[place], shown, where=valid[place[1:]])
        ground = self.georeference
        return RasterWindow(pixels, valid, ground and ground.of_window(window, size))

    def read_values(
        self, window: PixelWindow, size: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Read the values of the shown bands as stored, [N, h, w], and where each holds one."""
        size = size or (window.height, window.width)
        shape = (len(self.bands), *size)
        values, held = np.zeros(shape, dtype=self.dtype), np.zeros(shape, dtype=np.bool_)
        for rows, columns, read, known in self._values.read(window, size):
            place = (slice(None), rows, columns)
            values[place], held[place] = read, True if known is None else known
        return values, held

    def _colours(
        self, values: NDArray[np.generic], held: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """Turn values of the shown bands into RGB [3, h, w]."""
        palette = self._choice.palette
        if palette is not None:
            colours = palette[values[0]].transpose(2, 0, 1)  # [4, h, w]
            opaque = colours[None, 3] > 0  # [1, h, w]
            return colours[:3], opaque if held is None else held & opaque
        levels = self.stretch.to_levels(values)
        return np.broadcast_to(levels, (3, *levels.shape[1:])), held

    def __getstate__(self) -> dict[str, object]:
        """Find the stretch first, so that all processes have the same."""
        _ = self.stretch
        return self.__dict__


def _state_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written: its bytes and the time of its last change."""
    try:
        state = path.stat()
    except OSError as error:
        raise ImageReadError(f"cannot read {path}: it has gone since it was opened") from error
    return (state.st_size, state.st_mtime_ns)


def has_georeference(path: Path) -> bool:
    """Say whether a raster file names a CRS and holds a geotransform; false if it is no raster."""
    try:
        return Raster.open(path).georeference is not None
    except ImageReadError:
        return False  # whoever reads the pixels says what is wrong


def read_raster(path: Path) -> RasterImage:
    """Read a whole raster as RGB; pixels that hold nothing are 0.

    Raises:
        ImageReadError: If it cannot be read, or has more than `MAX_PIXELS`.
        GeoError: If its geotransform maps all pixels onto a line or a point.
    """
    return read_whole(Raster.open(path))


def read_whole(raster: Raster) -> RasterImage:
    """Read all of an open raster as RGB; pixels that hold nothing are 0.

    Raises:
        ImageReadError: If it is damaged, or has more than `MAX_PIXELS`.
    """
    height, width = raster.size
    if height * width > MAX_PIXELS:
        raise ImageReadError(
            f"cannot read {raster.path} at once: {height} x {width} pixels; at most "
            f"{MAX_PIXELS:,} are read: give boxes to describe parts of it, or cut it into tiles"
        )
    read = raster.read(PixelWindow.whole(raster.size))
    return RasterImage(read.pixels, read.georeference)
