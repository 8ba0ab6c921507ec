"""The files of answers on rasters."""

import json
from collections.abc import Iterator
from pathlib import Path

import geopandas
import numpy as np
import pytest
from PIL import Image

from skycue.boxes import PlacedBox
from skycue.geo.raster import Raster
from skycue.geo.stac import UsedModel
from skycue.raster_answers import RasterAnswer, RasterAnswerJson
from skycue.raster_describer import RasterDescriber, describe_boxes
from skycue.raster_results import FeatureKind, features_file, write_answer, write_answers
from tests.large_raster import PLACE, large_raster
from tests.made_up_describer import MadeUpDescriber

MODEL = UsedModel("fake", MadeUpDescriber.fingerprint)
BOXES = [
    PlacedBox("south", (2010.0, 2010.0, 2030.0, 2020.0)),
    PlacedBox("north", (100.0, 100.0, 140.0, 120.0)),
]


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Raster:
    """A raster of 2600 x 3000 pixels."""
    return Raster.open(large_raster(tmp_path_factory.mktemp("raster")))


@pytest.fixture
def plain(tmp_path: Path) -> Raster:
    """An image without a place."""
    path = tmp_path / "plain.png"
    Image.fromarray(np.full((50, 80, 3), 100, np.uint8)).save(path)
    return Raster.open(path)


def test_one_answer_is_a_folder_with_a_picture_of_its_window(
    raster: Raster, tmp_path: Path
) -> None:
    (answer,) = describe_boxes(MadeUpDescriber(), raster, BOXES[:1])
    write_answer(tmp_path / "one", answer, raster)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {"answer.json", "masks.json", "overlay.png", "features.geojson"}
    assert (tmp_path / "one" / "answer.json").read_text("utf-8") == answer.to_json() + "\n"
    with Image.open(tmp_path / "one" / "overlay.png") as picture:
        assert picture.height > picture.width  # a square window, and the caption below
    features = json.loads((tmp_path / "one" / "features.geojson").read_text("utf-8"))
    west, south, east, north = features["bbox"]
    assert 4.35 < west < east < 4.40
    assert 51.88 < south < north < 51.90


def test_an_image_without_a_place_has_no_features(plain: Raster, tmp_path: Path) -> None:
    (answer,) = describe_boxes(MadeUpDescriber(), plain, [PlacedBox("a", (1.0, 2.0, 30.0, 40.0))])
    write_answer(tmp_path / "one", answer, plain)
    assert not (tmp_path / "one" / "features.geojson").exists()
    write_answers(tmp_path / "all", [answer], plain, MODEL)
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        "answers.jsonl",
        "masks.json",
        "item.json",
    }


@pytest.mark.parametrize("kind", ["parquet", "gpkg"])
def test_many_answers_are_a_file_a_kind_with_the_raster_s_own_coordinates(
    raster: Raster, tmp_path: Path, kind: FeatureKind
) -> None:
    answers = RasterDescriber(MadeUpDescriber(), raster).describe(BOXES)
    written = write_answers(tmp_path, answers, raster, MODEL, kind)
    assert written == (2, 2, 6, 4, 2)
    lines = (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()
    assert [RasterAnswerJson.model_validate_json(line).box_id for line in lines] == [
        "north",  # windows go from top to bottom
        "south",
    ]
    path = features_file(tmp_path, kind)
    frame = geopandas.read_parquet(path) if kind == "parquet" else geopandas.read_file(path)
    assert frame.crs.to_epsg() == 32631
    assert list(frame["box_id"]) == ["north"] * 3 + ["south"] * 3
    corners = PLACE.to_map(np.array([[100.0, 120.0], [140.0, 100.0]]))
    assert frame.geometry.iloc[0].bounds == (*corners[0], *corners[1])  # exactly
    assert frame["area_m2"].iloc[0] == pytest.approx(40 * 20 / 4, rel=1e-3)
    assert len(json.loads((tmp_path / "masks.json").read_text("utf-8"))["images"]) == 2


def test_an_item_names_the_files_the_raster_and_the_model(raster: Raster, tmp_path: Path) -> None:
    answers = describe_boxes(MadeUpDescriber(), raster, BOXES)
    write_answers(tmp_path, answers, raster, MODEL, "gpkg")
    item = json.loads((tmp_path / "item.json").read_text("utf-8"))
    assert item["properties"]["skycue:model"] == "fake"
    assert item["properties"]["skycue:model_sha256"] == MadeUpDescriber.fingerprint
    assert item["properties"]["skycue:source_sha256"] == raster.sha256()
    assets = item["assets"]
    assert {key: (asset["href"], asset["type"]) for key, asset in assets.items()} == {
        "answers": ("./answers.jsonl", "application/jsonl"),
        "masks": ("./masks.json", "application/json"),
        "features": ("./features.gpkg", "application/geopackage+sqlite3"),
    }


def test_features_may_be_asked_for_in_another_crs(raster: Raster, tmp_path: Path) -> None:
    answers = describe_boxes(MadeUpDescriber(), raster, BOXES)
    write_answers(tmp_path, answers, raster, MODEL, out_crs="EPSG:4326")
    west, south, east, north = geopandas.read_parquet(tmp_path / "features.parquet").total_bounds
    assert 4.35 < west < east < 4.40
    assert 51.88 < south < north < 51.90


def test_a_run_that_fails_leaves_no_half_file(raster: Raster, tmp_path: Path) -> None:
    answers = iter(describe_boxes(MadeUpDescriber(), raster, BOXES))

    def failing() -> Iterator[RasterAnswer]:
        yield next(answers)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_answers(tmp_path / "out", failing(), raster, MODEL)
    assert list((tmp_path / "out").iterdir()) == []


def test_16_bits_and_a_rotated_place_are_described_too(tmp_path: Path) -> None:
    import rasterio

    path, place = tmp_path / "deep.tif", (0.3, 0.4, 593_000.0, -0.4, 0.3, 5_750_000.0)
    values = np.random.default_rng(3).integers(200, 3000, (4, 60, 90)).astype(np.uint16)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=60,
        width=90,
        count=4,
        dtype="uint16",
        crs="EPSG:32631",
        transform=rasterio.Affine(*place),
    ) as dataset:
        dataset.write(values)
    raster = Raster.open(path, bands=[4, 3, 2])
    (answer,) = describe_boxes(
        MadeUpDescriber(), raster, [PlacedBox("a", (10.0, 20.0, 50.0, 40.0))]
    )
    write_answers(tmp_path / "out", [answer], raster, MODEL)
    frame = geopandas.read_parquet(tmp_path / "out" / "features.parquet")
    assert frame["area_m2"].iloc[0] == pytest.approx(40 * 20 / 4, rel=1e-3)
    corner = PLACE._replace(transform=place).to_map(np.array([[10.0, 20.0]]))[0]
    assert (
        min(
            np.linalg.norm(
                np.array(frame.geometry.iloc[0].geoms[0].exterior.coords) - corner, axis=1
            )
        )
        == 0
    )
