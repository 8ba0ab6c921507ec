"""What a user gives to have a region described: an image file, and where to look in it.

A point and the whole image become boxes by a rule stated here, for the network is asked with boxes
only.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from skycue.box_windows import LEAST_SIDE, WHOLE_SIDE
from skycue.boxes import Box, Frame, check_box, require_pixels
from skycue.data.images import MAX_PIXELS, read_pixels
from skycue.errors import BoxError, ImageReadError
from skycue.files import sha256_of
from skycue.geo.georeference import GeoReference
from skycue.geo.raster import Raster, RasterImage, RasterWindow, read_whole
from skycue.geo.tiles import PixelWindow
from skycue.windows import cut_window

POINT_SHARE = 0.1
"""Side of the box around a point, as a share of the image's shorter side."""
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
"""In lower case."""


def read_region_image(path: Path) -> RasterImage:
    """Read an image file as RGB with its place on the ground, where the file has one.

    A plain image of 8 bits is read as scene images are; any other raster by GDAL, with its CRS and
    geotransform, 16 bits and more stretched to 8, and pixels that hold nothing black.

    Raises:
        ImageReadError: If it is missing, damaged or of a kind that is not read.
        GeoError: If its geotransform cannot be used.
    """
    try:
        raster = Raster.open(path)
    except ImageReadError:
        raster = None  # who reads images says what is wrong, or knows the format
    if raster is not None and not (raster.is_plain_image and raster.georeference is None):
        return read_whole(raster)
    pixels = read_pixels(path).transpose(2, 0, 1)  # [3, H, W]
    return RasterImage(np.ascontiguousarray(pixels), None)


class DescribedRaster(Protocol):
    """What describing needs of a raster; `skycue.geo.raster.Raster` is one."""

    path: Path
    size: tuple[int, int]
    georeference: GeoReference | None

    def read(self, window: PixelWindow, size: tuple[int, int] | None = None) -> RasterWindow:
        """Read a window as RGB, at a size."""
        ...

    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        ...

    def content_key(self) -> str:
        """Return a hash of what `read` answers."""
        ...


class JpegImage:
    """A JPEG without a place, decoded as scene images are.

    GDAL's decoder does not smooth colours between pixels: its levels differ by one or two on
    average, and models were trained on images that Pillow decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = read_pixels(path)  # [H, W, 3]
        self.size = (self._rows.shape[0], self._rows.shape[1])
        self.georeference: GeoReference | None = None

    def read(self, window: PixelWindow, size: tuple[int, int] | None = None) -> RasterWindow:
        """Read a window inside the image as RGB, averaged where it is smaller."""
        x, y, width, height = window
        frame = Frame(x, y, width, height, size or (height, width))
        shown = np.ascontiguousarray(cut_window(self._rows, frame).transpose(2, 0, 1))  # [3, h, w]
        return RasterWindow(shown, np.ones(frame.size, dtype=np.bool_), None)

    def sha256(self) -> str:
        """Return the SHA-256 of the file."""
        return sha256_of(self.path)

    def content_key(self) -> str:
        """Return a hash of what `read` answers."""
        return self.sha256()


def open_described(path: Path, bands: Sequence[int | str] | None = None) -> DescribedRaster:
    """Open an image or raster of any size to describe boxes on it.

    Args:
        path: A file of one of `skycue.geo.raster_files.FORMATS`.
        bands: One band or three to show, by number from 1 or name.

    Raises:
        ImageReadError: If it is missing, damaged or of a kind that is not read.
        BandError: If a band is not there.
        GeoError: If its geotransform cannot be used.
    """
    raster = Raster.open(path, bands=bands)
    is_plain = raster.georeference is None and bands is None and len(raster.bands) == 3
    if is_plain and path.suffix.lower() in JPEG_SUFFIXES and math.prod(raster.size) <= MAX_PIXELS:
        return JpegImage(path)
    return raster


def parse_numbers(text: str, name: str, form: str) -> tuple[float, ...]:
    """Read numbers with commas between them.

    Args:
        text: Such as "10,20,50,60".
        name: What the message calls it, such as "box 3".
        form: What is allowed, such as "X0,Y0,X1,Y1".

    Raises:
        BoxError: If it holds something else than numbers, or another count of them than `form`.
    """
    parts = text.split(",")
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError as error:
        raise BoxError(f"{name} '{text}' is not {form}: {error}.") from error
    if len(numbers) != len(form.split(",")):
        raise BoxError(f"{name} '{text}' has {len(numbers)} numbers; give {form} in pixels.")
    return numbers


def box_around_point(
    point: Sequence[float], image_size: tuple[int, int], name: str = "point"
) -> Box:
    """Return the square whose side is `POINT_SHARE` of the image's shorter side around a point.

    On a large raster it is that share of the smallest window. What of it lies outside the image is
    cut off.

    Args:
        point: x, y in pixels.
        image_size: (height, width) of the image.
        name: What the message calls it.

    Raises:
        BoxError: If the point is not two finite numbers inside the image.
    """
    height, width = image_size
    x, y = point
    if not (math.isfinite(x) and math.isfinite(y)):
        raise BoxError(f"{name} [{x:g}, {y:g}] holds a number that is not finite; give X,Y.")
    if not (0 <= x < width and 0 <= y < height):
        raise BoxError(
            f"{name} [{x:g}, {y:g}] lies outside the image of {width} x {height} pixels; give X,Y."
        )
    shorter = min(height, width)
    if max(image_size) > WHOLE_SIDE:
        shorter = min(shorter, LEAST_SIDE)  # of the window that stands for the image
    half = POINT_SHARE * shorter / 2
    return check_box((x - half, y - half, x + half, y + half), image_size, name)


def full_frame(image_size: tuple[int, int]) -> Box:
    """Return the box of a whole image (height, width)."""
    return (0.0, 0.0, float(image_size[1]), float(image_size[0]))


def boxes_of(
    image_size: tuple[int, int],
    boxes: Sequence[Sequence[float]],
    points: Sequence[Sequence[float]] = (),
    *,
    whole: bool = False,
) -> list[Box]:
    """Return the boxes of one image: those given, those around points, and the whole image last.

    Args:
        image_size: (height, width) of the image.
        boxes: x_min, y_min, x_max, y_max in pixels each; cut to the image.
        points: x, y in pixels each.
        whole: Add the box of the whole image.

    Raises:
        BoxError: If a box or a point cannot be used; the message counts them from 1.
    """
    found = [check_box(box, image_size, f"box {n}") for n, box in enumerate(boxes, start=1)]
    for number, box in enumerate(boxes, start=1):
        require_pixels(box, f"box {number}")
    found += [
        box_around_point(point, image_size, f"point {n}") for n, point in enumerate(points, start=1)
    ]
    return [*found, full_frame(image_size)] if whole else found
