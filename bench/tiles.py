"""Tiles of random colours, so that no benchmark needs a download."""

from pathlib import Path

import numpy as np
from PIL import Image

TILE_SIDE = 256
"""Pixels along a side, as in RESISC45."""
SPOTS = 16
"""Colours along a side; what lies between them is interpolated, as natural images are smooth."""


def write_tiles(folder: Path, n_tiles: int, *, seed: int = 0) -> list[Path]:
    """Write different tiles as JPEG; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for index in range(n_tiles):
        colours = rng.integers(256, size=(SPOTS, SPOTS, 3), dtype=np.uint8)
        paths.append(folder / f"tile_{index}.jpg")
        image = Image.fromarray(colours).resize((TILE_SIDE, TILE_SIDE), Image.Resampling.BICUBIC)
        image.save(paths[-1])
    return paths
