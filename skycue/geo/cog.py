"""Maps as Cloud-Optimised GeoTIFFs: tiled, with overviews, readable in pieces.

The layout is OGC 21-026 (https://docs.ogc.org/is/21-026/21-026.html), written by GDAL's COG driver.
That driver copies a finished dataset, so blocks go to a plain tiled GeoTIFF beside the result
first; never more than a block is in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.files import replacing
from skycue.geo.georeference import GeoReference

BLOCK_SIZE = 512
"""Pixels along each side of a tile of the file."""


class Block(NamedTuple):
    """A rectangle of a map.

    Attributes:
        x: Column of its first pixel.
        y: Row of its first pixel.
        values: Of all bands, [bands, h, w].
    """

    x: int
    y: int
    values: NDArray[np.generic]


def write_cog(
    path: Path,
    bands: NDArray[np.generic] | Iterable[Block],
    georeference: GeoReference | None,
    *,
    nodata: float | None,
    descriptions: Sequence[str],
    size: tuple[int, int] | None = None,
    dtype: str | None = None,
) -> None:
    """Write bands as a Cloud-Optimised GeoTIFF, losslessly compressed, with overviews.

    Overviews average values with a fraction, and take one of four whole numbers, which may be
    labels. A file of this name is replaced as a whole, or stays as it was if anything goes wrong.

    Args:
        path: Where to write.
        bands: All pixels [bands, h, w], or blocks of them in any order; pixels in no block are
            `nodata`, or 0 without it.
        georeference: Where the pixels lie; its own `nodata` is not used. None for no place.
        nodata: Value of pixels that hold nothing, or None.
        descriptions: A name for each band.
        size: (height, width) of the map; needed where blocks are given.
        dtype: Of the map, such as "float32"; needed where blocks are given.

    Raises:
        ValueError: If blocks come without the size or type of the map.
    """
    if isinstance(bands, np.ndarray):
        size, dtype = bands.shape[1:], str(bands.dtype)
        bands = [Block(0, 0, bands)]
    if size is None or dtype is None:
        raise ValueError("blocks do not say how large the map is: give size and dtype")
    is_whole = np.issubdtype(np.dtype(dtype), np.integer)
    with replacing(path) as partial, warnings.catch_warnings():
        from rasterio.errors import NotGeoreferencedWarning
        from rasterio.shutil import copy

        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a map without a place is one too
        plain = partial.with_name("blocks.tif")
        _write_blocks(plain, bands, georeference, nodata, descriptions, size, dtype)
        copy(
            plain,
            partial,
            driver="COG",
            blocksize=BLOCK_SIZE,
            compress="DEFLATE",
            predictor="YES",
            sparse_ok="YES",
            bigtiff="IF_SAFER",
            overview_resampling="NEAREST" if is_whole else "AVERAGE",
        )


def _write_blocks(
    path: Path,
    blocks: Iterable[Block],
    georeference: GeoReference | None,
    nodata: float | None,
    descriptions: Sequence[str],
    size: tuple[int, int],
    dtype: str,
) -> None:
    """Write blocks into a plain tiled GeoTIFF; what no block covers takes no room."""
    import rasterio  # heavy: imported when used
    from rasterio.transform import Affine
    from rasterio.windows import Window

    place = {}
    if georeference is not None:
        place = {"crs": georeference.crs, "transform": Affine(*georeference.transform)}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=size[0],
        width=size[1],
        count=len(descriptions),
        dtype=dtype,
        nodata=nodata,
        tiled=True,
        blockxsize=BLOCK_SIZE,
        blockysize=BLOCK_SIZE,
        interleave="band",
        sparse_ok=True,
        bigtiff="IF_SAFER",
        **place,
    ) as dataset:
        dataset.descriptions = tuple(descriptions)
        for x, y, values in blocks:
            _, height, width = values.shape
            dataset.write(values, window=Window(x, y, width, height))
