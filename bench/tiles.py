"""Folders of drawn tiles, so that no benchmark needs a download."""

from pathlib import Path

import numpy as np
from PIL import Image

from skycue.data.renderer import SCENES, draw_scene

TILE_SIDE = 256
"""Pixels along a side, as in RESISC45."""


def write_tiles(folder: Path, n_tiles: int, *, seed: int = 0) -> list[Path]:
    """Draw tiles and write them as JPEG; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = list(SCENES)
    paths = []
    for index in range(n_tiles):
        drawn = draw_scene(scenes[index % len(scenes)], seed + index, TILE_SIDE)  # [3, H, W]
        paths.append(folder / f"tile_{index}.jpg")
        Image.fromarray(np.ascontiguousarray(drawn.transpose(1, 2, 0))).save(paths[-1])
    return paths
