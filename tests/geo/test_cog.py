"""Maps as Cloud-Optimised GeoTIFFs."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

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


def test_what_holds_nothing_stays_out_of_overviews_and_takes_no_room(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    block = np.full((1, 3, 3), 0.5, dtype=np.float32)  # one pixel of the overview is half filled
    write_cog(
        path,
        [Block(2000, 1000, block)],
        PLACE,
        nodata=-1.0,
        descriptions=["field"],
        size=(6000, 6000),
        dtype="float32",
    )
    assert path.stat().st_size < 50_000  # of 144 MB
    with rasterio.open(path) as dataset:
        window = rasterio.windows.Window(1998, 998, 6, 6)
        expected = np.full((6, 6), -1.0, dtype=np.float32)
        expected[2:5, 2:5] = 0.5
        np.testing.assert_array_equal(dataset.read(1, window=window), expected)
        coarse = dataset.read(1, window=window, out_shape=(3, 3))
    np.testing.assert_array_equal(coarse, [[-1, -1, -1], [-1, 0.5, 0.5], [-1, 0.5, 0.5]])


def test_overviews_of_labels_hold_labels_only(tmp_path: Path) -> None:
    labels = np.random.default_rng(4).choice([3, 200], (1, 1024, 1024)).astype(np.uint8)
    write_cog(tmp_path / "a.tif", labels, PLACE, nodata=255, descriptions=["class"])
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert set(np.unique(dataset.read(1, out_shape=(512, 512)))) == {3, 200}
    shares = labels.astype(np.float32) / 200
    write_cog(tmp_path / "b.tif", shares, PLACE, nodata=None, descriptions=["share"])
    with rasterio.open(tmp_path / "b.tif") as dataset:
        means = shares[0].reshape(512, 2, 512, 2).mean(axis=(1, 3))
        np.testing.assert_allclose(dataset.read(1, out_shape=(512, 512)), means, rtol=1e-6)


@pytest.mark.parametrize(
    "transform",
    [
        (8.0, 6.0, 593000.0, 6.0, -8.0, 5750000.0),
        (10.0, 0.0, 300000.0, 0.0, 10.0, 6000000.0),
        (-10.0, 0.0, 300000.0, 0.0, -10.0, 6000000.0),
    ],
    ids=["rotated", "south-up", "mirrored"],
)
def test_any_geotransform_comes_back(
    tmp_path: Path, transform: tuple[float, float, float, float, float, float]
) -> None:
    values = np.arange(600, dtype=np.int16).reshape(1, 20, 30)
    path = tmp_path / "map.tif"
    place = GeoReference("EPSG:32631", transform)
    write_cog(path, values, place, nodata=None, descriptions=["x"])
    with rasterio.open(path) as dataset:
        assert tuple(dataset.transform)[:6] == transform
        np.testing.assert_array_equal(dataset.read(), values)


def test_a_map_without_a_place_is_one_too(tmp_path: Path) -> None:
    values = np.ones((1, 20, 30), dtype=np.uint8)
    write_cog(tmp_path / "map.tif", values, None, nodata=0, descriptions=["x"])
    with pytest.warns(NotGeoreferencedWarning):
        dataset = rasterio.open(tmp_path / "map.tif")
    with dataset:
        assert dataset.crs is None
        np.testing.assert_array_equal(dataset.read(), values)


def test_a_map_is_replaced_as_a_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "map.tif"
    values = np.ones((1, 700, 700), dtype=np.uint8)
    write_cog(path, values, PLACE, nodata=None, descriptions=["x"])
    before = path.read_bytes()

    def broken() -> Iterator[Block]:
        yield Block(0, 0, values)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cog(
            path, broken(), PLACE, nodata=0, descriptions=["x"], size=(700, 700), dtype="uint8"
        )
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="give size and dtype"):
        write_cog(path, broken(), PLACE, nodata=0, descriptions=["x"])


def test_blocks_are_asked_for_one_after_the_other(tmp_path: Path) -> None:
    side = 1024

    def blocks() -> Iterator[Block]:
        for y in range(0, 8 * side, side):
            yield Block(0, y, np.full((1, side, side), y, dtype=np.float32))

    tracemalloc.start()
    write_cog(
        tmp_path / "map.tif",
        blocks(),
        PLACE,
        nodata=None,
        descriptions=["x"],
        size=(8 * side, side),
        dtype="float32",
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * side * side * 4  # bytes; the map has eight blocks
