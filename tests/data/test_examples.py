"""The examples that the package brings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import skycue
from skycue.data.examples import write_examples
from skycue.data.renderer import SCENES, draw_scene
from skycue.errors import OutputExistsError
from skycue.geo.raster import read_raster

SHIPPED = Path(skycue.__file__).parent / "examples"


def test_drawn_tiles_lie_in_a_folder_per_class_and_are_exact(tmp_path: Path) -> None:
    write_examples(tmp_path, per_class=2)
    folders = {folder.name for folder in (tmp_path / "drawn").iterdir()}
    assert folders == {name.replace(" ", "_") for name in SCENES}
    stored = np.asarray(Image.open(tmp_path / "drawn" / "dense_residential" / "01.png"))
    np.testing.assert_array_equal(stored, draw_scene("dense residential", 1).transpose(1, 2, 0))


def test_real_tiles_lie_in_classes_that_are_drawn_too_with_their_licences(tmp_path: Path) -> None:
    written = write_examples(tmp_path, per_class=1)
    real = [path for path in written if path.is_relative_to(tmp_path / "real")]
    assert len(real) == 7
    assert {path.parent.name for path in real} <= {name.replace(" ", "_") for name in SCENES}
    assert "CC BY-SA 4.0" in (tmp_path / "licences" / "spacenet.md").read_text(encoding="utf-8")


def test_each_shipped_tile_is_named_in_the_licence_of_its_folder() -> None:
    tiles = sorted(SHIPPED.glob("*/*/*.jpg"))
    assert len(tiles) == 7
    for tile in tiles:
        licence = (SHIPPED / tile.parts[-3] / "LICENSE.md").read_text(encoding="utf-8")
        assert f"| {tile.parent.name}/{tile.name} |" in licence


def test_the_shipped_raster_shows_bright_tanks_in_rotterdam(tmp_path: Path) -> None:
    written = write_examples(tmp_path, per_class=1)
    (path,) = (path for path in written if path.is_relative_to(tmp_path / "regions"))
    assert path.stat().st_size < 400_000
    assert path.name in (SHIPPED / "spacenet" / "LICENSE.md").read_text(encoding="utf-8")
    raster = read_raster(path)
    assert raster.georeference is not None
    assert raster.georeference.crs == "EPSG:32631"
    assert raster.georeference.to_map(np.array([[180.0, 180.0]])) == pytest.approx(
        np.array([[593221.93, 5750231.62]]), abs=0.01
    )
    tank = raster.pixels[:, 271:346, 166:262]  # the box that the licence names
    assert tank.mean() > 2 * raster.pixels.mean()


def test_a_folder_that_holds_something_is_not_written_into_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExistsError, match="is not empty; choose another folder or give --fo"):
        write_examples(tmp_path, per_class=1)
    write_examples(tmp_path, per_class=1, force=True)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"
