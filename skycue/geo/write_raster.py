"""Write RGB pixels as a GeoTIFF that knows its place on the ground."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skycue.errors import GeoError
from skycue.geo.georeference import GeoReference


def check_metric_crs(crs: str) -> None:
    """Make sure that the axes of a CRS are metres, as the sizes of pixels are.

    Raises:
        GeoError: If the CRS is unknown, geographic, or measured in other units.
    """
    from rasterio.crs import CRS  # heavy: imported when used
    from rasterio.errors import CRSError

    advice = "Give a projected one in metres, such as EPSG:32631."
    try:
        known = CRS.from_user_input(crs)
    except CRSError as error:
        raise GeoError(f"no CRS '{crs}' is known. {advice}") from error
    if not known.is_projected or known.linear_units_factor[1] != 1.0:
        raise GeoError(f"the axes of the CRS '{crs}' are not metres. {advice}")


def write_raster(path: Path, pixels: NDArray[np.uint8], georeference: GeoReference) -> None:
    """Write RGB pixels [3, H, W] as a GeoTIFF with lossless compression."""
    import rasterio  # heavy: imported when used
    from rasterio.transform import Affine

    bands, height, width = pixels.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=bands,
        dtype="uint8",
        photometric="RGB",
        compress="deflate",
        crs=georeference.crs,
        transform=Affine(*georeference.transform),
        nodata=georeference.nodata,
    ) as dataset:
        dataset.write(pixels)
