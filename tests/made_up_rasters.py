"""Small rasters of fields in the colours of the tiny classes, and classifiers for them."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from skycue.backbones.clip import Clip
from skycue.encoding import SceneEncoder
from skycue.inference import SceneClassifier
from skycue.scene_config import config_of
from skycue.store import EncodingStore
from tests.conftest import TINY_CLASSES, TINY_COLOURS

FIELD = 40
"""Side of a field in pixels."""
PLACE = Affine(0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0)
CRS = "EPSG:32631"


def fields(rows: int, columns: int, *, seed: int = 1) -> NDArray[np.uint8]:
    """Draw fields of different colours with noise, [3, H, W]; no level is 0 or 255."""
    rng = np.random.default_rng(seed)
    colours = np.array(TINY_COLOURS)[rng.integers(len(TINY_COLOURS), size=(rows, columns))]
    pixels = colours.repeat(FIELD, axis=0).repeat(FIELD, axis=1)
    noisy = pixels + rng.normal(0, 20, pixels.shape)
    return np.clip(noisy, 1, 254).astype(np.uint8).transpose(2, 0, 1)


def write_tiff(
    path: Path,
    pixels: NDArray[np.generic],
    *,
    nodata: float | None = None,
    crs: str | None = CRS,
    transform: Affine = PLACE,
    **options: str | int,
) -> Path:
    """Write bands [N, H, W] as a tiled GeoTIFF."""
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    place = {"crs": crs, "transform": transform, "nodata": nodata}
    with rasterio.open(path, "w", driver="GTiff", **shape, **blocks, **place, **options) as dataset:
        dataset.write(pixels)
    return path


def zero_shot(
    clip: Clip, *, store: EncodingStore | None = None, batch_size: int = 32
) -> SceneClassifier:
    """Return a classifier of the tiny classes that has learned nothing."""
    encoder = SceneEncoder(clip, store=store, batch_size=batch_size)
    config = config_of("zero-shot")
    return SceneClassifier.fit_items([], TINY_CLASSES, config, encoder=encoder, seed=1)
