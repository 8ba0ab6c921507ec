"""`skycue classify --window`: maps of rasters, as a user makes them."""

import json
from pathlib import Path

import pytest
import rasterio
from typer.testing import CliRunner, Result

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.cli.app import app
from skycue.cli.classify import _map_folders
from tests.made_up_rasters import fields, write_tiff

GRID = ("--window", "48", "--stride", "24")


def skycue(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def model(scene_folder: Path, tmp_path: Path, tiny_clip: Clip) -> Path:
    """A classifier that has learned nothing, in a folder."""
    save_clip(tiny_clip, tmp_path / "clip")
    options = ("--method", "zero-shot", "--cache", tmp_path / "cache")
    fitted = skycue(
        "fit", scene_folder, "-o", tmp_path / "model", "-b", tmp_path / "clip", *options
    )
    assert fitted.exit_code == 0, fitted.output
    return tmp_path / "model"


def test_a_map_is_made_and_made_again_from_the_cache(model: Path, tmp_path: Path) -> None:
    path, out, cache = tmp_path / "a.tif", tmp_path / "map", tmp_path / "cache"
    write_tiff(path, fields(4, 5))
    made = skycue("classify", model, path, *GRID, "-o", out, "--cache", cache)
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert told["map"] == str(out)
    assert (told["reused"], told["encoded"]) == (0, 56)  # of 63 cells, 7 share a window at the edge
    assert json.loads((out / "map.json").read_text()) | {"map": str(out)} == told
    assert set(told["files"]) == {
        "classes.gpkg",
        "item.json",
        "probabilities.tif",
        "quicklook.png",
    }
    refused = skycue("classify", model, path, *GRID, "-o", out, "--cache", cache)
    assert refused.exit_code == 1
    assert "map.json exists: choose another name" in refused.stderr
    options = ("--cache", cache, "--force", "--format", "geojson", "--classes", "forest,lake")
    again = skycue("classify", model, path, *GRID, "-o", out, *options)
    told = json.loads(again.stdout)
    assert (told["reused"], told["encoded"]) == (56, 0)
    with rasterio.open(out / "probabilities.tif") as dataset:
        assert dataset.descriptions == ("forest", "lake")
    assert (out / "classes.geojson").is_file()


def test_each_of_several_rasters_has_a_map_in_its_bands(model: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_tiff(tmp_path / name / "scene.tif", fields(2, 2))
    paths = [tmp_path / name / "scene.tif" for name in ("a", "b")]
    options = ("--window", "48", "--bands", "3,2,1", "--cache", tmp_path / "cache")
    made = skycue("classify", model, *paths, *options, "-o", tmp_path / "maps")
    assert made.exit_code == 0, made.output
    told = [json.loads(line) for line in made.stdout.splitlines()]
    assert [Path(line["map"]).name for line in told] == ["scene", "scene_2"]
    assert {(tuple(line["bands"]), line["stride"]) for line in told} == {((3, 2, 1), 24)}
    assert set(told[0]["cells"]) == {"bare_soil", "forest", "lake"}


def test_folders_of_maps_never_fall_together() -> None:
    paths = [Path(name) for name in ("x/a.tif", "y/a.tif", "a_2.tif", "z/a.tif")]
    names = [folder.name for folder in _map_folders(Path("out"), paths)]
    assert names == ["a", "a_2", "a_2_2", "a_3"]
    assert _map_folders(Path("out"), paths[:1]) == [Path("out")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--stride", "8"), "are of maps: give --window"),
        (("--bands", "1"), "are of maps: give --window"),
        (("--window", "48"), "name their folder by -o"),
        (("--window", "48", "-o", "map", "--picture", "p.png"), "leave out --picture"),
    ],
)
def test_options_that_say_nothing_are_wrong_usage(options: tuple[str, ...], message: str) -> None:
    result = skycue("classify", "model", "image.tif", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_grid_with_gaps_or_a_missing_band_is_one_line(model: Path, tmp_path: Path) -> None:
    path, folder = write_tiff(tmp_path / "a.tif", fields(2, 2)), tmp_path / "map"
    gaps = skycue("classify", model, path, "--window", "48", "--stride", "50", "-o", folder)
    band = skycue("classify", model, path, *GRID, "--bands", "1,2,9", "-o", folder)
    for result, message in ((gaps, "leaves gaps"), (band, "9")):
        assert result.exit_code == 1
        assert message in result.stderr.splitlines()[-1]
        assert result.stderr.splitlines()[-1].startswith("skycue: ")
    assert not folder.exists()
