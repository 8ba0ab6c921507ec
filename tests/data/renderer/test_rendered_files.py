"""Rendered sets on disk: what is read back is what was drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from skycue.cli.app import app
from skycue.data.instances import read_coco
from skycue.data.renderer.instance_scenes import CLASS_NAMES, render
from skycue.data.renderer.rendered_files import ORIGIN, render_set, write_rendered, write_set
from skycue.data.renderer.sensors import TEST_SENSORS
from skycue.errors import DatasetError, GeoError, OutputExistsError
from skycue.geo.raster import read_raster

SMALL = 160


def test_the_coco_file_reads_back_equal(tmp_path: Path) -> None:
    images = list(render_set(4, seed=5, size=SMALL, sensors="train"))
    told = write_set(tmp_path / "set", images)
    read = read_coco(tmp_path / "set" / "instances.json")
    assert told.images == len(read) == 4
    assert told.instances == sum(len(image.instances) for image in images) > 0
    for drawn, entry in zip(images, read, strict=True):
        assert entry.image == f"{drawn.seed:06d}.png"
        assert entry.size == (SMALL, SMALL)
        for one, other in zip(drawn.instances, entry.instances, strict=True):
            assert one[:2] == other[:2]
            assert (one.crop == other.crop).all()
        stored = np.asarray(Image.open(tmp_path / "set" / "images" / entry.image))
        assert (stored == drawn.pixels.transpose(1, 2, 0)).all()


def test_boxes_and_areas_are_those_of_the_masks(tmp_path: Path) -> None:
    (image,) = render_set(1, seed=3, size=SMALL, sensors="aerial")
    write_set(tmp_path, [image])
    coco = json.loads((tmp_path / "instances.json").read_text(encoding="utf-8"))
    assert [category["name"] for category in coco["categories"]] == list(CLASS_NAMES)
    for entry, instance in zip(coco["annotations"], image.instances, strict=True):
        x_min, y_min, x_max, y_max = instance.box
        assert entry["bbox"] == [x_min, y_min, x_max - x_min, y_max - y_min]
        assert entry["area"] == instance.area


def test_a_geotiff_lies_where_it_was_put(tmp_path: Path) -> None:
    image = render(2, size=SMALL)
    path = write_rendered(tmp_path, image, crs="EPSG:32631", origin=(450_000, 5_000_000))
    raster = read_raster(path)
    assert (raster.pixels == image.pixels).all()
    assert raster.georeference is not None
    assert raster.georeference.crs == "EPSG:32631"
    corners = raster.georeference.to_map(np.array([[0.0, 0.0], [SMALL, SMALL]]))
    assert corners[0] == pytest.approx((450_000, 5_000_000))
    side = SMALL * image.gsd_m
    assert corners[1] == pytest.approx((450_000 + side, 5_000_000 - side))


def test_georeferenced_images_of_a_set_lie_side_by_side(tmp_path: Path) -> None:
    images = list(render_set(2, seed=0, size=64, sensors="train"))
    write_set(tmp_path, images, crs="EPSG:32631")
    places = [read_raster(path).georeference for path in sorted((tmp_path / "images").iterdir())]
    east = [place.transform[2] for place in places if place]
    assert east == pytest.approx([ORIGIN[0], ORIGIN[0] + 64 * images[0].gsd_m])


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:2263", "mercury"])
def test_a_crs_that_is_not_in_metres_is_refused(tmp_path: Path, crs: str) -> None:
    with pytest.raises(GeoError, match=rf"'{crs}'.*EPSG:32631"):
        write_set(tmp_path / "set", [], crs=crs)
    assert not (tmp_path / "set").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExistsError, match="not empty"):
        write_set(tmp_path, [])
    assert write_set(tmp_path, [], force=True).images == 0


def test_test_sensors_take_turns() -> None:
    images = list(render_set(4, seed=0, size=64, sensors="test"))
    assert sorted(image.sensor.name for image in images) == sorted(TEST_SENSORS)


def test_an_unknown_sensor_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(DatasetError, match="no sensor 'tests'"):
        render_set(1, seed=0, size=64, sensors="tests")


def test_the_command_writes_a_set_and_tells_what_it_holds(tmp_path: Path) -> None:
    arguments = ["data", "render", "2", "-o", str(tmp_path / "set"), "--size", "96", "--seed", "7"]
    result = CliRunner().invoke(app, [*arguments, "--crs", "EPSG:32631"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["images"] == 2
    assert sum(told["classes"].values()) == told["instances"]
    names = [path.name for path in sorted((tmp_path / "set" / "images").iterdir())]
    assert names == ["000007.tif", "000008.tif"]
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "--force" in again.stderr
    assert CliRunner().invoke(app, [*arguments, "--force"]).exit_code == 0
