"""Georeferenced rasters: 8-bit GeoTIFF to RGB pixels with their place on the ground.

Only GDAL's GeoTIFF driver is ever called. Whether a file is georeferenced is told by the ids of its
TIFF tags, so that no plain TIFF reaches GDAL, which would warn about it.
"""

import logging
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.errors import GeoError, ImageReadError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)

Transform = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: pixel (x, y) lies at (a x + b y + c, d x + e y + f) on the map."""

MAX_PIXELS = 64_000_000
"""Pixels that are read at once, 8,000 x 8,000."""
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
"""File name endings, in lower case, that may mark a GeoTIFF."""

_CRS_TAG = 34735  # GeoKeyDirectoryTag; GeoTIFF 1.1 (OGC 19-008r4), section 7
_TRANSFORM_TAGS = frozenset({33550, 34264})  # ModelPixelScaleTag, ModelTransformationTag
# For TIFF and BigTIFF: where the offset of the directory stands, its form, the form of the number
# of entries, and the bytes of an entry (TIFF 6.0, section 2; for BigTIFF see
# https://www.awaresystems.be/imaging/tiff/bigtiff.html).
_LAYOUTS = {42: (4, "I", "H", 12), 43: (8, "Q", "Q", 20)}
_MAX_TAGS = 4096
_MANY_COLOURS = "write those to show with `gdal_translate -b R -b G -b B`"


class GeoReference(NamedTuple):
    """Where the pixels of a raster lie.

    Attributes:
        crs: Coordinate reference system, "EPSG:32631" or WKT.
        transform: The geotransform, from continuous pixels (x, y) to map coordinates.
        nodata: Value of pixels that hold no measurement, or None.
    """

    crs: str
    transform: Transform
    nodata: float | None = None

    def to_map(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn pixels (x, y) into coordinates of the map, [N, 2]."""
        a, b, c, d, e, f = self.transform
        placed: NDArray[np.float64] = points @ np.array([[a, d], [b, e]]) + np.array([c, f])
        return placed

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn coordinates of the map into pixels (x, y), [N, 2]."""
        a, b, c, d, e, f = self.transform
        inverse = np.linalg.inv(np.array([[a, d], [b, e]]))
        placed: NDArray[np.float64] = (points - np.array([c, f])) @ inverse
        return placed


class RasterImage(NamedTuple):
    """An image with its place on the ground.

    Attributes:
        pixels: RGB, uint8 [3, H, W].
        georeference: Where it lies, or None.
    """

    pixels: NDArray[np.uint8]
    georeference: GeoReference | None


def has_georeference(path: Path) -> bool:
    """Say whether a file is a TIFF that names a CRS and holds a geotransform.

    A CRS without a geotransform places nothing: it is logged, and the file counts as a plain image.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return False
    tags = _tags(path)
    if _CRS_TAG not in tags:
        return False
    if tags & _TRANSFORM_TAGS:
        return True
    logger.warning("%s has no geotransform: it is read as an image without a place.", path)
    return False


def read_raster(path: Path) -> RasterImage:
    """Read a GeoTIFF of 8 bits a band, grey, palette or RGB, with or without opaque alpha.

    Raises:
        ImageReadError: If it cannot be read, or has other bands, depths or sizes.
        GeoError: If its geotransform maps all pixels onto a line or a point.
    """
    import rasterio  # heavy: imported when used
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path.resolve(), driver="GTiff", sharing=False) as dataset:
            problem = _refusal(dataset)
            if problem is None:
                georeference = _georeference(dataset, path)
                return RasterImage(_rgb(dataset, path), georeference)
    except RasterioError as error:
        problem = f"damaged or cut off ({' '.join(str(error).split())})"
    raise ImageReadError(f"cannot read {path}: {problem}")


def _refusal(dataset: "DatasetReader") -> str | None:
    """Say why a raster is not of an accepted kind, or None."""
    if dataset.height * dataset.width > MAX_PIXELS:
        return (
            f"{dataset.height} x {dataset.width} pixels; at most {MAX_PIXELS:,} are read: "
            "cut it into tiles"
        )
    for dtype in dataset.dtypes:
        if dtype != "uint8":
            return f"{dtype} bands; 8 bits (uint8) are allowed: scale it to 8 bits"
    if bits := dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS"):
        return f"{bits} bits a band; 8 bits are allowed: scale it to 8 bits"
    colours = dataset.count - _has_alpha(dataset)
    if colours not in (1, 3):
        bands = "band" if colours == 1 else "bands"
        return f"{colours} {bands} beside alpha; 1 or 3 are allowed: {_MANY_COLOURS}"
    return None


def _has_alpha(dataset: "DatasetReader") -> bool:
    """Say whether the last band is alpha."""
    from rasterio.enums import ColorInterp

    return bool(dataset.colorinterp[-1] == ColorInterp.alpha)


def _rgb(dataset: "DatasetReader", path: Path) -> NDArray[np.uint8]:
    """Read the bands as RGB, [3, H, W]."""
    from rasterio.enums import ColorInterp

    bands: NDArray[np.uint8] = dataset.read()  # [1 or 3 and perhaps alpha, H, W]
    if _has_alpha(dataset):
        if bands[-1].min() < 255:
            raise ImageReadError(
                f"cannot read {path}: transparent pixels; opaque rasters are allowed: "
                "fill or crop them"
            )
        bands = bands[:-1]
    if len(bands) == 3:
        return np.ascontiguousarray(bands)
    if dataset.colorinterp[0] == ColorInterp.palette:
        table = np.zeros((256, 3), dtype=np.uint8)
        for value, colour in dataset.colormap(1).items():
            table[value] = colour[:3]
        return np.ascontiguousarray(table[bands[0]].transpose(2, 0, 1))  # [3, H, W]
    return np.repeat(bands, 3, axis=0)  # [3, H, W]


def _georeference(dataset: "DatasetReader", path: Path) -> GeoReference | None:
    """Return where a raster lies; None where its tags name no CRS."""
    if dataset.crs is None:
        logger.warning("%s names no CRS: its geotransform is not used.", path)
        return None
    if dataset.transform.is_degenerate:
        raise GeoError(
            f"{path} has the geotransform {tuple(dataset.transform)[:6]}, which maps its pixels "
            "onto a line or a point. Write the right one with `gdal_edit.py -a_ullr`."
        )
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    return GeoReference(dataset.crs.to_string(), (a, b, c, d, e, f), dataset.nodata)


def _tags(path: Path) -> set[int]:
    """Return the ids of the tags in the first directory of a TIFF; none if it is no sound TIFF."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            order = {b"II": "<", b"MM": ">"}.get(head[:2])
            if order is None:
                return set()
            (version,) = struct.unpack_from(f"{order}H", head, 2)
            if version not in _LAYOUTS:
                return set()
            place, offset_form, count_form, entry = _LAYOUTS[version]
            (offset,) = struct.unpack_from(order + offset_form, head, place)
            file.seek(offset)
            count_bytes = file.read(struct.calcsize(count_form))
            (count,) = struct.unpack(order + count_form, count_bytes)
            entries = file.read(min(count, _MAX_TAGS) * entry)
    except (OSError, OverflowError, struct.error):
        return set()  # whoever reads the pixels says what is wrong
    starts = range(0, len(entries) - entry + 1, entry)
    return {struct.unpack_from(f"{order}H", entries, start)[0] for start in starts}
