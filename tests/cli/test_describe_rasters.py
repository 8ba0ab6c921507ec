"""`skycue describe` on rasters: boxes in any CRS, files of boxes, files of features."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import geopandas
import numpy as np
import pytest
from PIL import Image
from shapely import box as rectangle
from typer.testing import CliRunner, Result

from skycue.cli.app import app
from skycue.geo.crs import reproject
from tests.large_raster import PLACE, SIZE, large_raster
from tests.made_up_describer import MadeUpDescriber


@pytest.fixture(autouse=True)
def made_up_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find a model that computes nothing."""
    module = ModuleType("skycue.region_describer")
    module.RegionDescriber = MadeUpDescriber  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "skycue.region_describer", module)


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster of 2600 x 3000 pixels."""
    return large_raster(tmp_path_factory.mktemp("raster"))


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Twelve boxes on the raster, in its CRS, of which near ones share windows."""
    outlines, names = [], []
    for number in range(12):
        x, y = 120.0 + 900 * (number % 3), 150.0 + 40 * number
        corners = PLACE.to_map(np.array([[x, y + 20], [x + 30, y]]))
        outlines.append(rectangle(*corners.ravel()))
        names.append(f"site {number}")
    path = tmp_path / "boxes.gpkg"
    geopandas.GeoDataFrame({"id": names}, geometry=outlines, crs="EPSG:32631").to_file(path)
    return path


def run(*arguments: str | Path) -> Result:
    """Run the command on the CPU."""
    return CliRunner().invoke(app, ["describe", *map(str, arguments), "--device", "cpu"])


def lines(result: Result) -> list[dict[str, Any]]:
    """Read the lines of standard output."""
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def in_degrees(*corners: tuple[float, float]) -> str:
    """Return a box around corners in pixels as longitudes and latitudes."""
    placed = reproject(PLACE.to_map(np.array(corners)), PLACE.crs, "EPSG:4326")
    (west, south), (east, north) = placed.min(axis=0), placed.max(axis=0)
    return f"{west:.9f},{south:.9f},{east:.9f},{north:.9f}"


def test_a_box_in_degrees_is_put_on_the_raster_and_the_answer_says_where(raster: Path) -> None:
    where = in_degrees((2010, 2010), (2030, 2020))
    (answer,) = lines(run(raster, "--box", where, "--box-crs", "EPSG:4326"))
    # north is a degree or so off upwards, so the box around it is a little larger
    assert answer["raster_box"] == pytest.approx([2010, 2010, 2030, 2020], abs=0.5)
    assert (answer["window"], answer["scale"]) == ([1536, 1536, 1024, 1024], 1.0)
    assert answer["raster_size"] == list(SIZE)
    assert answer["gsd_m"] == pytest.approx(0.5, rel=1e-3)
    assert answer["size"] == [1024, 1024]


def test_a_box_in_pixels_may_be_said_to_be_so(raster: Path) -> None:
    (said,) = lines(run(raster, "--box", "10,20,40,60", "--box-crs", "pixels"))
    (plain,) = lines(run(raster, "--box", "10,20,40,60"))
    assert said == plain
    assert plain["raster_box"] == [10, 20, 40, 60]


def test_boxes_of_a_file_are_written_together_as_geoparquet(
    raster: Path, boxes: Path, tmp_path: Path
) -> None:
    (summary,) = lines(run(raster, "--boxes", boxes, "-o", tmp_path / "out"))
    assert (summary["boxes"], summary["masks"], summary["phrases"]) == (12, 24, 36)
    assert 3 <= summary["windows"] < 12
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"answers.jsonl", "masks.json", "features.parquet", "item.json"}
    frame = geopandas.read_parquet(tmp_path / "out" / "features.parquet")
    asked = geopandas.read_file(boxes).set_index("id").geometry
    tanks = frame[frame["phrase"] == "a bright tank"].set_index("box_id").geometry
    assert set(tanks.index) == set(asked.index)
    assert all(tanks[name].equals(asked[name]) for name in asked.index)


@pytest.mark.parametrize("form", ["gpkg", "geojson"])
def test_another_form_of_features(raster: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    (summary,) = lines(run(raster, "--box", "10,20,40,60", "--format", form, "-o", out))
    assert summary["boxes"] == 1
    frame = geopandas.read_file(out / f"features.{form}")
    assert list(frame["phrase"]) == ["a bright tank", "a road", "a cloud"]
    assert list(frame["span_start"]) == [0, 21, 32]


def test_without_an_output_the_answers_to_a_file_are_printed(raster: Path, boxes: Path) -> None:
    found = lines(run(raster, "--boxes", boxes))
    assert [answer["box_id"] for answer in found] == [f"site {n}" for n in range(12)]


def test_boxes_off_the_raster_are_one_line_and_may_be_left_out(
    raster: Path, boxes: Path, tmp_path: Path
) -> None:
    frame = geopandas.read_file(boxes)
    frame.loc[3, "geometry"] = rectangle(0, 0, 9, 9)
    frame.to_file(boxes)
    refused = run(raster, "--boxes", boxes, "-o", tmp_path / "out")
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "box site 3" in refused.stderr
    assert "--keep-going leaves them out" in refused.stderr
    assert not (tmp_path / "out").exists()
    left = run(raster, "--boxes", boxes, "--keep-going", "-o", tmp_path / "out")
    assert lines(left)[0]["boxes"] == 11
    assert "left out: box site 3" in left.stderr


def test_features_need_a_place_and_boxes_in_a_crs_too(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.fromarray(np.full((50, 80, 3), 100, np.uint8)).save(path)
    nowhere = run(path, "--full-frame", "--format", "gpkg", "-o", tmp_path / "out")
    assert nowhere.exit_code == 1
    assert "has no place on the ground, so no features" in nowhere.stderr
    placed = run(path, "--box", "4,51,5,52", "--box-crs", "EPSG:4326")
    assert placed.exit_code == 1
    assert "cannot be put on a raster without a place on the ground" in placed.stderr


def test_answers_are_not_replaced_unless_forced(raster: Path, boxes: Path, tmp_path: Path) -> None:
    arguments = (raster, "--boxes", boxes, "-o", tmp_path / "out")
    lines(run(*arguments))
    refused = run(*arguments)
    assert refused.exit_code == 1
    assert "answers.jsonl exists" in refused.stderr
    lines(run(*arguments, "--force"))


def test_what_does_not_go_together_is_told(raster: Path, boxes: Path) -> None:
    both = run(raster, "--boxes", boxes, "--box", "1,2,3,4")
    assert both.exit_code == 1
    assert "--boxes FILE stands alone" in both.stderr
    point = run(raster, "--point", "4,51", "--box-crs", "EPSG:4326")
    assert "--point is in pixels" in point.stderr
    lonely = run(raster, "--box", "1,2,3,4", "--out-crs", "EPSG:4326")
    assert lonely.exit_code == 2
    assert "give --boxes or --format" in lonely.stderr


def test_bands_are_chosen_by_number(raster: Path) -> None:
    (usual,) = lines(run(raster, "--box", "10,20,40,60"))
    (swapped,) = lines(run(raster, "--box", "10,20,40,60", "--bands", "3,2,1"))
    first, last = (a["caption"].split("colours ")[1].split() for a in (usual, swapped))
    assert first == last[::-1]
    assert first != last
    wrong = run(raster, "--box", "10,20,40,60", "--bands", "9")
    assert wrong.exit_code == 1
    assert wrong.stderr.count("\n") == 1
