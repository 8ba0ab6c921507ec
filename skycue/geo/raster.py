"""Rasters of any size: windows of RGB pixels, which of them are valid, and their place."""

import hashlib
import math
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.errors import BandError, ImageReadError
from skycue.files import sha256_of
from skycue.geo.bands import BandChoice, choose_bands
from skycue.geo.georeference import GeoReference as GeoReference
from skycue.geo.georeference import read_georeference
from skycue.geo.raster_files import check_local, gdal_errors, gdal_options, open_dataset
from skycue.geo.spans import Span, spans_of
from skycue.geo.sparse import FilledBlocks
from skycue.geo.stretch import Stretch, find_stretch
from skycue.geo.tiles import PixelWindow, WindowGrid

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

MAX_PIXELS = 64_000_000
"""Pixels that `read_raster` reads at once, 8,000 x 8,000."""
PIECE_SIDE = 4096
"""Pixels of the raster along each side that are decoded at once, whatever the window."""
NODATA_ROUNDING = 1e-6
"""Relative; a real nodata value may be written with fewer digits than the pixels have."""


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


class _Handle(threading.local):
    """A GDAL dataset for each thread: GDAL allows no more than one thread at a time in one."""

    dataset: "DatasetReader | None" = None
    process = 0


class Raster:
    """A raster file, read window by window.

    Holds no pixels. It may be used by several threads and sent to other processes; each opens the
    file for itself.

    Attributes:
        path: The file.
        size: (height, width) in pixels.
        georeference: Where it lies, or None: without CRS or geotransform there is no place.
        dtype: NumPy's name of its values.
        bands: The shown bands, counted from 1: one for grey, or three for red, green, blue.
        block: (height, width) of what is decoded at once.
    """

    def __init__(
        self,
        path: Path,
        bands: Sequence[int | str] | None = None,
        stretch: Stretch | None = None,
    ) -> None:
        self.path = path
        self._handle = _Handle()
        dataset = self._dataset()
        self.size: tuple[int, int] = (dataset.height, dataset.width)
        self._choice: BandChoice = choose_bands(dataset, path, bands)
        self.bands, self.dtype = self._choice.shown, self._choice.dtype
        self.georeference: GeoReference | None = read_georeference(dataset, path)
        first = self.bands[0]
        self.block: tuple[int, int] = dataset.block_shapes[first - 1]
        self._overview_factors: tuple[int, ...] = tuple(sorted(dataset.overviews(first)))
        self._blocks = self._sparse_index(dataset)
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
        if self._choice.palette is not None:
            return Stretch.identity(3)
        if self.dtype == "uint8":
            return Stretch.identity(len(self.bands), self._choice.bits or 8)
        return find_stretch(self)

    @property
    def overview_sizes(self) -> list[tuple[int, int]]:
        """(height, width) of its smaller copies, largest first."""
        height, width = self.size
        return [(-(-height // n), -(-width // n)) for n in self._overview_factors]

    def gsd_m(self) -> float | None:
        """Return the metres on the ground of a pixel in the middle; None if it has no place."""
        return None if self.georeference is None else self.georeference.gsd_m(self.size)

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
        return self._blocks is not None and not self._blocks.any_in(inside, self._dataset)

    def windows_to_read(self, grid: WindowGrid) -> NDArray[np.int64]:
        """Return the positions in a grid over this raster of the windows that are not empty."""
        if self._blocks is None:
            return np.arange(len(grid))
        return self._blocks.windows_of(grid, self._dataset)

    def filled_blocks(self) -> NDArray[np.int64]:
        """Return the blocks that may hold something, counted row by row."""
        if self._blocks is not None:
            return self._blocks.positions(self._dataset)
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
        how = self._resampling(window, size)
        for rows, columns in self._pieces(window, size):
            values, held = self._decode(rows, columns, how)
            shown, held = self._colours(values, held)
            place = (slice(None), rows.cells, columns.cells)
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
        how = self._resampling(window, size)
        for rows, columns in self._pieces(window, size):
            place = (slice(None), rows.cells, columns.cells)
            values[place], known = self._decode(rows, columns, how)
            held[place] = True if known is None else known
        return values, held

    def _pieces(self, window: PixelWindow, size: tuple[int, int]) -> list[tuple[Span, Span]]:
        """Cut a window into what is decoded at once; pieces that are known to be empty left out."""
        step = min(window.height / size[0], window.width / size[1])
        longest = PIECE_SIDE * max([f for f in self._overview_factors if f <= step], default=1)
        rows = spans_of(window.y, window.height, size[0], self.size[0], longest)
        columns = spans_of(window.x, window.width, size[1], self.size[1], longest)
        return [
            (row, column)
            for row in rows
            for column in columns
            if self._blocks is None or not self.is_empty(_around(row, column))
        ]

    def _resampling(self, window: PixelWindow, size: tuple[int, int]) -> str:
        """Name the way from pixels to another size: as small ones are seen from afar."""
        if self._choice.palette is not None or size == (window.height, window.width):
            return "nearest"
        return "average" if window.height > size[0] or window.width > size[1] else "bilinear"

    def _decode(
        self, rows: Span, columns: Span, resampling: str
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_] | None]:
        """Read the values of a piece [N, h, w], and where each holds one; None is everywhere."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        choice, shape = self._choice, (rows.number, columns.number)
        source = Window(
            columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        )
        how = {"window": source, "resampling": Resampling[resampling]}
        with gdal_errors(self.path), gdal_options():
            dataset = self._dataset()
            indexes = [*self.bands, *([choice.alpha] if choice.alpha else [])]
            values = dataset.read(indexes, out_shape=(len(indexes), *shape), **how)
            mask = dataset.read_masks(1, out_shape=shape, **how) if choice.masked else None
        if self._always_holds:
            return values, None
        held = np.ones((len(self.bands), *shape), dtype=np.bool_)
        if choice.alpha:
            held &= values[-1] > 0
            values = values[:-1]
        if mask is not None:
            held &= mask > 0
        for band, ok, nodata in zip(values, held, choice.nodata, strict=True):
            ok &= _holds(band, nodata)
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

    @property
    def _always_holds(self) -> bool:
        """Whether every pixel holds a value: neither nodata, alpha nor mask, and no real number."""
        choice = self._choice
        may_lack = choice.alpha is not None or choice.masked or np.dtype(self.dtype).kind == "f"
        return not may_lack and set(choice.nodata) == {None}

    def _sparse_index(self, dataset: "DatasetReader") -> FilledBlocks | None:
        """Return the index of filled blocks, if blocks that are not there hold nothing valid."""
        choice = self._choice
        missing_is_nothing = choice.alpha is not None or None not in choice.nodata
        if dataset.driver != "GTiff" or choice.masked or not missing_is_nothing:
            return None
        return FilledBlocks(self.size, self.block, self.bands)

    def _dataset(self) -> "DatasetReader":
        """Return this thread's GDAL dataset; a forked process may not use its parent's."""
        handle = self._handle
        if handle.dataset is None or handle.process != os.getpid():
            handle.dataset, handle.process = open_dataset(self.path), os.getpid()
        return handle.dataset

    def __getstate__(self) -> dict[str, object]:
        """Leave out the handle, and find the stretch first, so that all processes have the same."""
        _ = self.stretch
        return {name: value for name, value in self.__dict__.items() if name != "_handle"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _handle=_Handle())


def _state_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written: its bytes and the time of its last change."""
    try:
        state = path.stat()
    except OSError as error:
        raise ImageReadError(f"cannot read {path}: it has gone since it was opened") from error
    return (state.st_size, state.st_mtime_ns)


def _around(rows: Span, columns: Span) -> PixelWindow:
    """Return the whole pixels that a piece touches."""
    x, y = math.floor(columns.start), math.floor(rows.start)
    return PixelWindow(x, y, math.ceil(columns.stop) - x, math.ceil(rows.stop) - y)


def _holds(values: NDArray[np.generic], nodata: float | None) -> NDArray[np.bool_]:
    """Say where a band holds a number that does not stand for none."""
    real = values.dtype.kind == "f"
    held: NDArray[np.bool_] = np.isfinite(values) if real else np.ones(values.shape, np.bool_)
    if nodata is None or np.isnan(nodata):
        return held
    if real:  # written with fewer digits than the band has
        held &= ~np.isclose(values, nodata, rtol=NODATA_ROUNDING, atol=0.0)
        return held
    return np.asarray(values != values.dtype.type(nodata))


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
    raster = Raster.open(path)
    height, width = raster.size
    if height * width > MAX_PIXELS:
        raise ImageReadError(
            f"cannot read {path} at once: {height} x {width} pixels; at most {MAX_PIXELS:,} are "
            "read: give boxes to describe parts of it, or cut it into tiles"
        )
    read = raster.read(PixelWindow.whole(raster.size))
    return RasterImage(read.pixels, read.georeference)
