"""Mistakes in requests are told in words, not in pydantic's."""

from pathlib import Path
from typing import Any

from tests.web.serving import geotiff, levels, serving, upload

RASTER = "r_0123456789"
BOX = [1, 2, 30, 40]
ANSWERS = ["a_0123456789", "a_0123456789"]


def describe(**fields: Any) -> dict[str, Any]:
    return {"raster": RASTER, "boxes": [{"box_id": "a", "box": BOX}]} | fields


EDITS = f"/v1/rasters/{RASTER}/edits"
WRONG: list[tuple[str, Any, str]] = [
    ("/v1/describe", describe(boxes=[{"box": BOX[:3]}]), "boxes[0].box[3] is missing"),
    ("/v1/describe", describe(boxes=[{"box": [*BOX, 5]}]), "boxes[0].box has more than 4 entries"),
    ("/v1/describe", describe(boxes=[]), "boxes has 0 entries; 1 are the least"),
    ("/v1/describe", describe(boxes="all"), "boxes is 'all'; a list is needed"),
    (
        "/v1/describe",
        describe(boxes=[{"box": ["x", 1, 2, 3]}]),
        "boxes[0].box[0] is 'x'; a number is needed",
    ),
    ("/v1/describe", {"boxes": [{"box": BOX}]}, "raster is missing"),
    ("/v1/describe", describe(colour="red"), "colour is not known here"),
    (
        "/v1/describe",
        describe(raster="rotterdam"),
        "raster is no id: take one that the server gave",
    ),
    (
        "/v1/describe",
        describe(crs="UTM"),
        "crs must be `pixels` or an authority's code such as EPSG:4326",
    ),
    ("/v1/describe", "{", "the body is no JSON: "),
    ("/v1/describe", [], "the body is a list; an object is needed"),
    (
        EDITS,
        {"edit": {"action": "explode"}},
        "edit has 'action' 'explode'; one of 'rename', 'delete', 'merge', 'merge_phrases', 'undo' "
        "is allowed",
    ),
    (EDITS, {"edit": {}}, "edit needs 'action', which says what it is"),
    (
        EDITS,
        {"edit": {"action": "merge", "answers": ANSWERS}},
        "edit.merge.answers is not allowed: 'a_0123456789' is named 2 times; nothing is merged "
        "with itself",
    ),
    (
        EDITS,
        {"edit": {"action": "merge_phrases", "answer": ANSWERS[0], "phrases": [0, 1, 0]}},
        "edit.merge_phrases.phrases is not allowed: 0 is named 2 times; nothing is merged with "
        "itself",
    ),
    ("/v1/uploads", {"name": "a", "bytes": 0}, "bytes is 0; it must exceed 0"),
    ("/v1/uploads", {"name": "", "bytes": 1}, "name is ''; at least 1 characters are needed"),
    (
        "/v1/uploads",
        {"name": "a\nb", "bytes": 1},
        "name is 'a\\nb'; a name holds no line breaks and no control characters",
    ),
    (
        "/v1/classify",
        {"raster": RASTER, "model": "m_0123456789", "window": 5000},
        "window is 5000; 4096 is the most",
    ),
]


def test_each_mistake_is_told_in_words(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        for path, content, words in WRONG:
            sent = {"content": content} if isinstance(content, str) else {"json": content}
            answer = client.post(path, **sent, headers={"content-type": "application/json"})
            assert answer.status_code == 422, (content, answer.text)
            told = answer.json()["error"]["message"]
            assert told.startswith(words) if words.endswith(" ") else told == words


def test_what_is_nowhere_and_what_is_not_allowed_are_told_in_words(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        nowhere = client.get("/v1/rasterz").json()["error"]
        assert nowhere["type"] == "NotFoundError"
        assert nowhere["message"] == "nothing is here; /v1/openapi.json lists the routes."
        other = client.put("/v1/describe").json()["error"]
        assert other["type"] == "MethodError"
        assert other["message"] == "PUT is not allowed here; /v1/openapi.json lists the routes."


def test_a_single_box_that_fails_is_not_told_of_others(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        raster = upload(client, "a.tif", geotiff(levels(64, 64)))["id"]
        asked = {"raster": raster, "boxes": [{"box": BOX}], "ask": "How high?"}
        answer = client.post("/v1/describe", json=asked)
        assert answer.json()["error"]["message"] == "this model takes no question 'How high?'."
