"""Tiles of a classified raster."""

from pathlib import Path

import numpy as np

from skycue.geo.label_tiles import draw_label_tile
from skycue.geo.raster_facts import TILE_SIZE
from tests.geo.rasters import write_bands

STRIDE = 40
SIZE = (60, 70)
"""Of the raster: its two by two cells reach beyond."""


def test_classes_are_painted_on_the_raster_and_not_where_cells_reach_beyond(tmp_path: Path) -> None:
    labels = np.array([[[0, 1], [1, 0]]], dtype=np.uint8)
    path = write_bands(tmp_path / "labels.tif", labels)
    middles = np.arange(TILE_SIZE) + 0.5
    points = np.stack(np.meshgrid(middles, middles), axis=-1)
    colours = np.array([[9, 8, 7], [200, 100, 50]], dtype=np.uint8)
    tile = draw_label_tile(path, STRIDE, SIZE, colours, None, points)
    painted = np.zeros((TILE_SIZE, TILE_SIZE), dtype=bool)
    painted[:60, :70] = True
    np.testing.assert_array_equal(tile[3] == 255, painted)
    for y, x in ((0, 0), (39, 40), (59, 39), (59, 69)):
        np.testing.assert_array_equal(tile[:3, y, x], colours[labels[0, y // STRIDE, x // STRIDE]])
    only = draw_label_tile(path, STRIDE, SIZE, colours, {1}, points)
    assert (only[3] == 255).sum() == 40 * 30 + 20 * 40
