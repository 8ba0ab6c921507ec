"""Answers on rasters as JSON, features and COCO."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from skycue.box_windows import ShownWindow
from skycue.boxes import PlacedBox
from skycue.geo.georeference import GeoReference
from skycue.geo.tiles import PixelWindow
from skycue.raster_answers import ImageAnswer, RasterAnswer, RasterAnswerJson, coco_of
from tests.made_up_describer import CAPTION, answer_to

PLACE = GeoReference("EPSG:32631", (0.5, 0.0, 593_000.0, 0.0, -0.5, 5_750_000.0))
WINDOW = ShownWindow(PixelWindow(1000, 2000, 400, 800), (400, 200))  # shown at half its size
ANSWER = RasterAnswer(
    replace(answer_to((10.0, 5.0, 30.0, 25.0), (400, 200)), image="a.tif"),
    PlacedBox("tank 7", (1020.0, 2010.0, 1060.0, 2050.0)),
    WINDOW,
    (9000, 8000),
    PLACE.of_window(*WINDOW),
)


def test_json_says_window_scale_and_all_of_the_answer() -> None:
    read = RasterAnswerJson.model_validate_json(ANSWER.to_json())
    assert (read.box_id, read.raster_box) == ("tank 7", (1020, 2010, 1060, 2050))
    assert (read.window, read.scale) == ((1000, 2000, 400, 800), 2.0)
    assert (read.size, read.raster_size, read.box) == ((400, 200), (9000, 8000), (10, 5, 30, 25))
    assert read.gsd_m == pytest.approx(1.0, rel=1e-3)
    assert read.caption == CAPTION
    assert [phrase.text for phrase in read.phrases] == ["a bright tank", "a road", "a cloud"]
    nowhere = replace(ANSWER, georeference=None)
    assert RasterAnswerJson.model_validate_json(nowhere.to_json()).gsd_m is None


def test_each_phrase_is_a_feature_in_pixels_of_the_raster() -> None:
    tank, road, cloud = ANSWER.to_features()
    assert tank.outline is not None
    assert road.outline is not None
    assert cloud.outline is None
    assert tank.outline.bounds == (1020, 2010, 1060, 2050)
    assert tank.outline.area == 40 * 40
    assert road.outline.bounds == (1020, 2010, 1022, 2050)
    said = tank.properties
    assert (said["box_id"], said["phrase"], said["caption"]) == ("tank 7", "a bright tank", CAPTION)
    assert (said["span_start"], said["span_end"]) == (0, len("a bright tank"))
    assert (said["score"], said["prompted"], road.properties["prompted"]) == (0.9, True, False)
    assert (said["window_x"], said["window_y"], said["scale"]) == (1000, 2000, 2.0)
    assert said["flags"] == "phrase 2 'a cloud' has no mask"
    assert len({tuple(f.properties) for f in (tank, road, cloud)}) == 1  # the same columns


def test_areas_are_in_square_metres_on_the_ground() -> None:
    tank, road, cloud = (feature.properties["area_m2"] for feature in ANSWER.to_features())
    # 40 x 40 pixels of half a metre; 93 km east of its meridian UTM is 0.9997 of the true length
    assert tank == pytest.approx(20 * 20 / 0.99971**2, rel=1e-4)
    assert road == pytest.approx(1 * 20 / 0.99971**2, rel=1e-4)
    assert cloud is None
    nowhere = replace(ANSWER, georeference=None).to_features()
    assert [feature.properties["area_m2"] for feature in nowhere] == [None] * 3


def test_a_crs_that_is_not_tied_to_the_earth_gives_no_metres() -> None:
    local = PLACE._replace(crs='LOCAL_CS["site grid",UNIT["metre",1]]')
    answer = replace(ANSWER, georeference=local.of_window(*WINDOW))
    assert RasterAnswerJson.model_validate_json(answer.to_json()).gsd_m is None
    assert [feature.properties["area_m2"] for feature in answer.to_features()] == [None] * 3


def test_an_answer_with_its_image_is_drawn_without_being_given_pixels() -> None:
    answer = answer_to((10.0, 5.0, 30.0, 25.0), (40, 60))
    rows = np.random.default_rng(1).integers(256, size=(40, 60, 3), dtype=np.uint8)
    pixels = np.ascontiguousarray(rows.transpose(2, 0, 1))
    held = ImageAnswer(**vars(answer), rows=rows, georeference=None)
    assert held.draw() == answer.draw(pixels)
    assert held.draw(255 - pixels) == answer.draw(255 - pixels) != held.draw()
    assert held == replace(held, rows=255 - rows)
    assert "rows" not in repr(held)


def test_many_answers_are_one_coco_file_with_an_image_a_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = ANSWER.answer.phrases[0]
    named = replace(first, class_name="storage tank", class_score=0.8)
    twin = replace(
        ANSWER,
        answer=replace(ANSWER.answer, phrases=(named, *ANSWER.answer.phrases[1:])),
        placed=PlacedBox("tank 8", ANSWER.placed.box),
    )
    far = replace(ANSWER, shown=WINDOW._replace(window=PixelWindow(0, 0, 400, 800)))
    content = coco_of([ANSWER, twin, far], "fake")
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(content))
    coco = COCO(path)
    assert "index created" in capsys.readouterr().out
    assert [coco.imgs[n]["window"] for n in (1, 2)] == [[1000, 2000, 400, 800], [0, 0, 400, 800]]
    assert coco.imgs[1]["scale"] == 2.0
    annotations: list[dict[str, Any]] = coco.loadAnns(coco.getAnnIds())
    assert [entry["image_id"] for entry in annotations] == [1, 1, 1, 1, 2, 2]
    assert [entry["box_id"] for entry in annotations] == ["tank 7"] * 2 + ["tank 8"] * 2 + [
        "tank 7"
    ] * 2
    names = {entry["id"]: entry["name"] for entry in coco.loadCats(coco.getCatIds())}
    assert [names[entry["category_id"]] for entry in annotations][:4] == [
        "region",
        "region",
        "storage tank",
        "region",
    ]
    assert first.mask is not None
    np.testing.assert_array_equal(coco.annToMask(annotations[0]), first.mask.full())
    assert coco_of([], "fake")["annotations"] == []
