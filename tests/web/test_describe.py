"""Boxes over HTTP: described, streamed word by word, kept, edited and exported."""

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pycocotools import mask as coco_mask

from skycue.box_windows import ShownWindow
from skycue.boxes import PlacedBox
from skycue.geo.tiles import PixelWindow
from skycue.raster_answers import RasterAnswer
from tests.made_up_describer import answer_to
from tests.web.made_up_regions import caption_of
from tests.web.serving import TOKENS, events_of, geotiff, levels, png, serving, upload

PIXELS = levels(48, 64)
BOXES = {"left": (4.0, 5.0, 20.0, 30.0), "right": (30.0, 8.0, 60.0, 40.0)}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("state")) as client:
        yield client


@pytest.fixture
def raster(client: TestClient) -> str:
    """A fresh raster with a place, without answers."""
    return str(upload(client, "a.tif", geotiff(PIXELS))["id"])


def ask(raster: str, names: tuple[str, ...] = ("left", "right")) -> dict[str, Any]:
    return {"raster": raster, "boxes": [{"box_id": n, "box": BOXES[n]} for n in names]}


def described(client: TestClient, raster: str) -> list[Any]:
    answer = client.post("/v1/describe", json=ask(raster))
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["answers"]
    return found


def test_boxes_are_answered_as_the_describer_answers_them(client: TestClient, raster: str) -> None:
    answers = described(client, raster)
    for answer, (_, box) in zip(answers, BOXES.items(), strict=True):
        own = answer_to(box, (48, 64))
        assert answer["caption"] == caption_of(PIXELS, box)
        assert answer["box"] == list(box)
        assert answer["flags"] == list(own.flags)
        for phrase, mine in zip(answer["phrases"], own.phrases, strict=True):
            assert phrase["text"] == mine.text
            assert phrase["score"] == pytest.approx(mine.score, abs=1e-4)
            assert phrase["box"] == (None if mine.box is None else list(mine.box))
    assert [answer["box_id"] for answer in answers] == ["left", "right"]


def test_outlines_have_the_pixels_of_the_masks_and_their_area_on_the_ground(
    client: TestClient, raster: str
) -> None:
    described(client, raster)
    answer = client.get(f"/v1/rasters/{raster}/answers/export", params={"format": "coco"})
    coco = json.loads(answer.content)
    own = [answer_to(box, (48, 64)) for box in BOXES.values()]
    masks = [p.mask.full() for a in own for p in a.phrases if p.mask is not None]
    assert len(coco["annotations"]) == len(masks) == 4
    for annotation, mask in zip(coco["annotations"], masks, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(annotation["segmentation"]) > 0, mask)
    kept = client.get(f"/v1/rasters/{raster}/answers").json()["answers"]
    areas = [p["area_m2"] for a in kept for p in a["phrases"] if p["outline"]]
    expected = [mask.sum() * 0.25 for mask in masks]  # pixels of half a metre, on the UTM grid
    np.testing.assert_allclose(areas, expected, rtol=2e-3)


def test_a_stream_tells_captions_word_by_word_and_ends_with_what_is_kept(
    client: TestClient, raster: str
) -> None:
    events = events_of(client.post("/v1/describe/stream", json=ask(raster)))
    assert events[-1] == ("done", {"answers": 2})
    kept = client.get(f"/v1/rasters/{raster}/answers").json()["answers"]
    told = [data for kind, data in events if kind == "answer"]
    assert sorted(told, key=lambda a: a["box_id"]) == sorted(kept, key=lambda a: a["box_id"])
    for answer in told:
        texts = [
            data["caption"]
            for kind, data in events
            if kind == "token" and data["box_id"] == answer["box_id"]
        ]
        assert len(texts) > 3
        assert texts[-1] == answer["caption"]
        assert all(later.startswith(text.rstrip(".,")) for text, later in itertools.pairwise(texts))


def test_a_box_in_degrees_is_the_box_in_pixels(client: TestClient, raster: str) -> None:
    bounds = client.get(f"/v1/rasters/{raster}").json()["bounds_wgs84"]
    asked = {"raster": raster, "crs": "EPSG:4326", "boxes": [{"box": bounds}]}
    (answer,) = client.post("/v1/describe", json=asked).json()["answers"]
    assert answer["box"] == [0, 0, 64, 48]


@pytest.mark.parametrize(
    ("box", "crs", "words"),
    [
        ([10, 10, 10, 20], "pixels", "no area"),
        ([100, 100, 120, 120], "pixels", "outside"),
        ([5, 5, 6, 6], "EPSG:4326", "outside"),
        ([5, 5, 6, 6], "EPSG:99999", "EPSG:99999"),
    ],
)
def test_a_wrong_box_is_refused_in_words(
    client: TestClient, raster: str, box: list[float], crs: str, words: str
) -> None:
    asked = {"raster": raster, "crs": crs, "boxes": [{"box": box}]}
    for path in ("/v1/describe", "/v1/describe/stream"):
        answer = client.post(path, json=asked)
        assert answer.status_code == 422
        assert words in answer.json()["error"]["message"]


def test_a_question_is_refused_by_a_model_that_takes_none(client: TestClient, raster: str) -> None:
    events = events_of(client.post("/v1/describe/stream", json=ask(raster) | {"ask": "What?"}))
    assert [kind for kind, _ in events] == ["error", "error", "done"]
    assert events[0][1]["error"]["type"] == "ConfigError"
    assert client.post("/v1/describe", json=ask(raster) | {"ask": "What?"}).status_code == 422


def edit(client: TestClient, raster: str, **what: Any) -> Any:
    answer = client.post(f"/v1/rasters/{raster}/edits", json={"edit": what})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_names_are_kept_and_taken_back(client: TestClient, raster: str) -> None:
    left, right = described(client, raster)
    edit(client, raster, action="rename", answer=left["id"], name="tank 7")
    edit(client, raster, action="rename", answer=left["id"], phrase=0, name="<b>roof</b>")
    kept = client.get(f"/v1/rasters/{raster}/answers").json()
    assert kept["answers"][0]["name"] == "tank 7"
    assert kept["answers"][0]["phrases"][0]["name"] == "<b>roof</b>"
    assert edit(client, raster, action="undo")["can_undo"] is True
    assert edit(client, raster, action="undo")["can_undo"] is False
    kept = client.get(f"/v1/rasters/{raster}/answers").json()
    assert kept == {"answers": [left, right], "can_undo": False}
    nothing = client.post(f"/v1/rasters/{raster}/edits", json={"edit": {"action": "undo"}})
    assert nothing.status_code == 404


def test_merged_answers_say_both_and_come_apart_again(client: TestClient, raster: str) -> None:
    left, right = described(client, raster)
    merged = edit(client, raster, action="merge", answers=[left["id"], right["id"]])
    (one,) = merged["changed"]
    assert sorted(merged["removed"]) == sorted([left["id"], right["id"]])
    assert one["caption"] == f"{left['caption']} {right['caption']}"
    assert one["box"] == [4, 5, 60, 40]
    assert (one["window"], one["scale"]) == ([0, 0, 64, 48], 1.0)
    for phrase in one["phrases"]:
        assert one["caption"][slice(*phrase["span"])] == phrase["text"]
    undone = edit(client, raster, action="undo")
    assert undone["removed"] == [one["id"]]
    assert client.get(f"/v1/rasters/{raster}/answers").json()["answers"] == [left, right]


def test_merged_phrases_own_the_pixels_of_both(client: TestClient, raster: str) -> None:
    answers = described(client, raster)
    chosen = next(a for a in answers if sum(bool(p["outline"]) for p in a["phrases"]) > 1)
    numbers = [n for n, p in enumerate(chosen["phrases"]) if p["outline"]][:2]
    before = export_masks(client, raster, chosen["box_id"])
    edited = edit(client, raster, action="merge_phrases", answer=chosen["id"], phrases=numbers)
    after = export_masks(client, raster, chosen["box_id"])
    assert len(after) == len(before) - 1
    np.testing.assert_array_equal(after[0], before[0] | before[1])
    assert len(edited["changed"][0]["phrases"]) == len(chosen["phrases"]) - 1


def export_masks(client: TestClient, raster: str, box_id: str) -> list[Any]:
    answer = client.get(f"/v1/rasters/{raster}/answers/export", params={"format": "coco"})
    return [
        coco_mask.decode(annotation["segmentation"]) > 0
        for annotation in json.loads(answer.content)["annotations"]
        if annotation["box_id"] == box_id
    ]


def test_a_deleted_phrase_is_gone_and_a_deleted_answer_too(client: TestClient, raster: str) -> None:
    left, right = described(client, raster)
    gone = edit(client, raster, action="delete", answer=left["id"], phrase=0)
    assert gone["changed"][0]["phrases"] == left["phrases"][1:]
    assert gone["changed"][0]["caption"] == left["caption"]
    assert edit(client, raster, action="delete", answer=right["id"])["removed"] == [right["id"]]
    wrong = {"action": "delete", "answer": left["id"], "phrase": 99}
    answer = client.post(f"/v1/rasters/{raster}/edits", json={"edit": wrong})
    assert answer.status_code == 404


def test_answers_and_edits_belong_to_their_token(client: TestClient, raster: str) -> None:
    left, _ = described(client, raster)
    other = {"Authorization": f"Bearer {TOKENS[1]}"}
    assert client.get(f"/v1/rasters/{raster}/answers", headers=other).status_code == 404
    edits = {"edit": {"action": "delete", "answer": left["id"]}}
    assert client.post(f"/v1/rasters/{raster}/edits", json=edits, headers=other).status_code == 404
    own = upload(client, "b.tif", geotiff(PIXELS))["id"]
    elsewhere = client.post(f"/v1/rasters/{own}/edits", json=edits)
    assert elsewhere.status_code == 404  # an answer about another raster
    assert client.post("/v1/describe", json=ask(raster), headers=other).status_code == 404


PROPERTIES = (
    RasterAnswer(
        answer_to((1.0, 1.0, 9.0, 9.0), (40, 40)),
        PlacedBox("1", (1.0, 1.0, 9.0, 9.0)),
        ShownWindow(PixelWindow(0, 0, 40, 40), (40, 40)),
        (40, 40),
        None,
    )
    .to_features()[0]
    .properties
)
"""Of a feature that `skycue describe` writes."""


@pytest.mark.parametrize("kind", ["geojson", "parquet", "gpkg"])
def test_exports_open_as_maps_with_a_row_for_each_phrase(
    client: TestClient, raster: str, tmp_path: Path, kind: str
) -> None:
    answers = described(client, raster)
    answer = client.get(f"/v1/rasters/{raster}/answers/export", params={"format": kind})
    path = tmp_path / f"a.{kind}"
    path.write_bytes(answer.content)
    table = geopandas.read_parquet(path) if kind == "parquet" else geopandas.read_file(path)
    phrases = [phrase for one in answers for phrase in one["phrases"]]
    assert list(table["phrase"]) == [phrase["text"] for phrase in phrases]
    assert [(*span,) for span in table[["span_start", "span_end"]].to_numpy()] == [
        (*phrase["span"],) for phrase in phrases
    ]
    assert list(table.columns) == [*PROPERTIES, "answer", "name", "geometry"]
    seen = table[["window_x", "window_y", "window_width", "window_height", "scale"]]
    assert (seen.to_numpy() == [0, 0, 64, 48, 1.0]).all()
    ground = table.to_crs("EPSG:32631")
    areas = [phrase["area_m2"] or 0.0 for phrase in phrases]
    np.testing.assert_allclose(ground.area.fillna(0.0), areas, rtol=5e-3)


def test_an_image_without_a_place_is_exported_in_pixels_only(client: TestClient) -> None:
    raster = upload(client, "a.png", png(PIXELS))["id"]
    described(client, raster)
    place = f"/v1/rasters/{raster}/answers/export"
    refused = client.get(place, params={"format": "geojson"})
    assert refused.status_code == 422
    assert "coco" in refused.json()["error"]["message"]
    picture = Image.open(io.BytesIO(client.get(place, params={"format": "png"}).content))
    assert picture.size == (64, 48)
    assert (np.array(picture) != PIXELS.transpose(1, 2, 0)).any()


def test_nodata_is_neither_described_nor_masked(client: TestClient) -> None:
    pixels = PIXELS.copy()
    pixels[:, :, 40:] = 0
    raster = upload(client, "a.tif", geotiff(pixels, nodata=0))["id"]
    boxes = [{"box_id": "over", "box": [30, 4, 60, 20]}, {"box_id": "off", "box": [45, 4, 60, 20]}]
    answers = client.post("/v1/describe", json={"raster": raster, "boxes": boxes}).json()["answers"]
    over, off = answers
    assert over["phrases"][0]["box"] == [30, 4, 40, 20]
    assert (off["caption"], off["phrases"]) == ("", [])
    assert "nodata" in off["flags"][0]
