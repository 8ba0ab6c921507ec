"""Maps as Cloud-Optimised GeoTIFFs."""

from pathlib import Path

import numpy as np
import rasterio

from skycue.geo.cog import Block, write_cog
from skycue.geo.georeference import GeoReference

PLACE = GeoReference("EPSG:32631", (64.0, 0.0, 593000.0, 0.0, -64.0, 5750000.0))


def test_an_array_and_its_blocks_make_the_same_map(tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((3, 700, 900), dtype=np.float32)
    blocks = [
        Block(x, y, values[:, y : y + 300, x : x + 400])
        for y in (300, 0, 600)
        for x in (800, 0, 400)
    ]
    names = ["field", "forêt", "harbour"]
    write_cog(tmp_path / "a.tif", values, PLACE, nodata=None, descriptions=names)
    write_cog(
        tmp_path / "b.tif",
        blocks,
        PLACE,
        nodata=None,
        descriptions=names,
        size=(700, 900),
        dtype="float32",
    )
    for name in ("a.tif", "b.tif"):
        with rasterio.open(tmp_path / name) as dataset:
            np.testing.assert_array_equal(dataset.read(), values)
            assert dataset.descriptions == ("field", "forêt", "harbour")
            assert dataset.crs == "EPSG:32631"
            assert tuple(dataset.transform)[:6] == PLACE.transform
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.overviews(1) == [2]
