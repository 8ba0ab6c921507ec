"""The server with the model that ships: what it answers is what `skycue describe` answers."""

from pathlib import Path

import pytest

import skycue
from skycue.boxes import PlacedBox
from skycue.geo.raster import Raster
from skycue.raster_describer import RasterDescriber
from skycue.region_describer import RegionDescriber
from skycue.service.model_loading import ModelLoading
from tests.web.serving import serving, upload

TANKS = Path(skycue.__file__).parent / "examples/spacenet/regions/rotterdam_tanks.tif"
BOXES = {"a": (40.0, 40.0, 120.0, 120.0), "b": (150.0, 60.0, 260.0, 190.0)}


def test_mini_answers_over_http_as_it_does_without(tmp_path: Path) -> None:
    asked = [PlacedBox(name, box) for name, box in BOXES.items()]
    alone = RasterDescriber(RegionDescriber.load("mini"), Raster.open(TANKS)).describe(asked)
    expected = {each.placed.id: each.answer for each in alone}
    with serving(tmp_path, loading=ModelLoading()) as client:
        raster = upload(client, TANKS.name, TANKS.read_bytes())["id"]
        boxes = [{"box_id": name, "box": box} for name, box in BOXES.items()]
        answered = client.post("/v1/describe", json={"raster": raster, "boxes": boxes})
    assert answered.status_code == 200, answered.text
    found = answered.json()["answers"]
    assert [answer["box_id"] for answer in found] == list(BOXES)
    for answer in found:
        own = expected[answer["box_id"]]
        assert answer["caption"] == own.caption != ""
        assert [phrase["text"] for phrase in answer["phrases"]] == [p.text for p in own.phrases]
        for phrase, mine in zip(answer["phrases"], own.phrases, strict=True):
            assert phrase["score"] == pytest.approx(mine.score, abs=1e-3)
            assert phrase["box"] == (None if mine.box is None else list(mine.box))
