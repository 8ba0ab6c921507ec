"""Where the pixels of a raster lie on the ground."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.errors import GeoError
from skycue.geo.tiles import PixelWindow

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)

Transform = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f: pixel (x, y) lies at (a x + b y + c, d x + e y + f) on the map."""


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
        """Turn pixels (x, y) into coordinates of the map, [N, 2].

        A pixel has the same coordinates to the last bit whatever stands beside it in `points`,
        which a matrix product would not promise: outlines that share a corner go on to share it.
        """
        a, b, c, d, e, f = self.transform
        x, y = points[:, 0], points[:, 1]
        return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)  # [N, 2]

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn coordinates of the map into pixels (x, y), [N, 2]."""
        a, b, c, d, e, f = self.transform
        inverse = np.linalg.inv(np.array([[a, d], [b, e]]))
        placed: NDArray[np.float64] = (points - np.array([c, f])) @ inverse
        return placed

    def of_window(self, window: PixelWindow, size: tuple[int, int] | None = None) -> "GeoReference":
        """Return where the pixels of a window lie, read at `size` (height, width)."""
        height, width = size or (window.height, window.width)
        across, down = window.width / width, window.height / height
        a, b, c, d, e, f = self.transform
        corner = (a * window.x + b * window.y + c, d * window.x + e * window.y + f)
        return self._replace(
            transform=(a * across, b * down, corner[0], d * across, e * down, corner[1])
        )


def read_georeference(dataset: "DatasetReader", path: Path) -> GeoReference | None:
    """Return where an open raster lies; None unless it has both a CRS and a geotransform.

    One without the other places nothing: that is logged, and the raster counts as a plain image.

    Raises:
        GeoError: If its geotransform maps all pixels onto a line or a point.
    """
    placed = not dataset.transform.is_identity
    if dataset.crs is None:
        if placed:
            logger.warning("%s names no CRS: its geotransform is not used.", path)
        return None
    if not placed:
        logger.warning("%s has no geotransform: it is read as an image without a place.", path)
        return None
    if dataset.transform.is_degenerate:
        raise GeoError(
            f"{path} has the geotransform {tuple(dataset.transform)[:6]}, which maps its pixels "
            "onto a line or a point. Write the right one with `gdal_edit.py -a_ullr`."
        )
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    return GeoReference(dataset.crs.to_string(), (a, b, c, d, e, f), dataset.nodata)
