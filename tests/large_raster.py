"""A raster larger than what is shown whole, for tests of what is described on windows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skycue.geo.georeference import GeoReference
from skycue.geo.write_raster import write_raster

SIZE = (2600, 3000)
PLACE = GeoReference("EPSG:32631", (0.5, 0.0, 593_000.0, 0.0, -0.5, 5_750_000.0))


def gradient() -> NDArray[np.uint8]:
    """Return pixels [3, H, W] that tell where they lie to 12 pixels and, in blue, to one."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([x // 12, y // 12, 1 + (x + 7 * y) % 255]).astype(np.uint8)


def large_raster(folder: Path, *, nodata: float | None = None) -> Path:
    """Write the raster; with nodata 0, a rectangle of it holds nothing: x 1000-1500, y 100-300."""
    pixels = gradient()
    if nodata is not None:
        pixels[0] = np.maximum(pixels[0], 1)
        pixels[1] = np.maximum(pixels[1], 1)
        pixels[:, 100:300, 1000:1500] = 0
    path = folder / "large.tif"
    write_raster(path, pixels, PLACE._replace(nodata=nodata))
    return path
