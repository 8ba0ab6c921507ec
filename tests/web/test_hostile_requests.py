"""Requests that mean harm: each is refused with a 4xx in one shape, and tells nothing."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.web.serving import TOKENS, geotiff, levels, png, serving, upload
from tests.web.test_hostile_files import assert_plain

Ask = Callable[[TestClient, str], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with serving(folder, chunk_bytes=4096, max_body_bytes=20_000) as client:
        yield client


@pytest.fixture(scope="module")
def raster(client: TestClient) -> str:
    return str(upload(client, "a.tif", geotiff(levels(40, 60)))["id"])


def get(path: str, **options: Any) -> Ask:
    return lambda client, raster: client.get(path.replace("RASTER", raster), **options)


def post(path: str, body: Any = None, **options: Any) -> Ask:
    def ask(client: TestClient, raster: str) -> Any:
        text = body if isinstance(body, str | bytes) else json.dumps(body).replace("RASTER", raster)
        headers = {"content-type": "application/json"} | options.get("headers", {})
        return client.post(path.replace("RASTER", raster), content=text, headers=headers)

    return ask


def chunk(content: bytes, offset: object = 0, n_bytes: int = 9000) -> Ask:
    def ask(client: TestClient, raster: str) -> Any:
        begun = client.post("/v1/uploads", json={"name": "a", "bytes": n_bytes}).json()
        place = f"/v1/uploads/{begun['id']}"
        answer = client.put(place, params={"offset": str(offset)}, content=content)
        client.delete(place)
        return answer

    return ask


def in_pieces(n_bytes: int) -> Ask:
    """Send a body without a length, piece by piece."""

    def pieces() -> Iterator[bytes]:
        for _ in range(n_bytes // 1000):
            yield b" " * 1000

    return lambda client, raster: client.post("/v1/describe", content=pieces())


BOX = {"box": [0, 0, 9, 9]}
NAN = '{"raster": "r_0123456789", "boxes": [{"box": [0, 0, NaN, 9]}]}'
DEEP = "[" * 9000 + "]" * 9000
TILE = "/v1/rasters/RASTER/tiles"
REQUESTS: dict[str, tuple[Ask, int]] = {
    "a path as an id": (get("/v1/rasters/..%2f..%2f..%2fetc%2fpasswd"), 404),
    "a path climbing up": (get("/v1/rasters/../../etc/passwd"), 404),
    "a null byte": (get("/v1/rasters/r_0123456789%00.tif"), 422),
    "a statement as an id": (get("/v1/rasters/r_' OR '1'='1"), 422),
    "a statement in a query": (get("/v1/maps", params={"raster": "r_'; DROP TABLE maps;--"}), 422),
    "an id of another kind": (get("/v1/rasters/j_0123456789"), 404),
    "a very long id": (get("/v1/rasters/r_" + "a" * 5000), 422),
    "a template": (get("/v1/rasters/{{7*7}}"), 422),
    "a tile too deep": (get(f"{TILE}/pixels/31/0/0.png"), 422),
    "a tile of no level": (get(f"{TILE}/pixels/-1/0/0.png"), 422),
    "a tile far away": (get(f"{TILE}/pixels/0/1073741823/1073741823.png"), 404),
    "a tile with a huge number": (get(f"{TILE}/pixels/0/{10**40}/0.png"), 422),
    "a tile that is no number": (get(f"{TILE}/pixels/0/0x10/0.png"), 422),
    "a grid of a file": (get(f"{TILE}/..%2f..%2fetc/0/0/0.png"), 404),
    "an unknown grid": (get(f"{TILE}/file:/0/0/0.png"), 422),
    "an export of another kind": (get("/v1/rasters/RASTER/answers/export?format=../../x"), 422),
    "a pickle as an export": (get("/v1/rasters/RASTER/answers/export?format=pickle"), 422),
    "no token": (get("/v1/rasters", headers={"Authorization": ""}), 401),
    "a long token": (get("/v1/rasters", headers={"Authorization": "Bearer " + "a" * 9000}), 401),
    "a token in the address": (
        get(f"/v1/rasters?token={TOKENS[0]}", headers={"Authorization": ""}),
        401,
    ),
    "measures without a token": (get("/metrics", headers={"Authorization": ""}), 401),
    "no JSON": (post("/v1/describe", "{"), 422),
    "bytes for JSON": (post("/v1/describe", b"\xff\xfe\x00"), 400),
    "JSON in JSON in JSON": (post("/v1/describe", DEEP), 400),
    "not a number": (post("/v1/describe", NAN), 422),
    "infinity": (post("/v1/describe", NAN.replace("NaN", "1e999")), 422),
    "half of a letter": (post("/v1/uploads", '{"name": "\\ud800", "bytes": 1}'), 422),
    "no boxes": (post("/v1/describe", {"raster": "RASTER", "boxes": []}), 422),
    "more boxes than allowed": (
        post("/v1/describe", {"raster": "RASTER", "boxes": [{"box": [0] * 4}] * 1001}),
        413,
    ),
    "a box of five": (post("/v1/describe", {"raster": "RASTER", "boxes": [{"box": [0] * 5}]}), 422),
    "a file as a raster": (post("/v1/describe", {"raster": "/etc/passwd", "boxes": [BOX]}), 422),
    "an address as a raster": (post("/v1/describe", {"raster": "http://x/", "boxes": [BOX]}), 422),
    "a file as a CRS": (
        post("/v1/describe", {"raster": "RASTER", "boxes": [BOX], "crs": "/etc/passwd"}),
        422,
    ),
    "a pipeline as a CRS": (
        post("/v1/describe", {"raster": "RASTER", "boxes": [BOX], "crs": "+proj=pipeline"}),
        422,
    ),
    "fields of our own": (post("/v1/fit", {"rasters": ["RASTER"], "backbone": "evil/model"}), 422),
    "a method of ours": (post("/v1/fit", {"rasters": ["RASTER"], "method": "__class__"}), 422),
    "a window of nothing": (
        post("/v1/classify", {"raster": "RASTER", "model": "m_0123456789", "window": 0}),
        422,
    ),
    "an edit of nothing": (post("/v1/rasters/RASTER/edits", {"edit": {"action": "exec"}}), 422),
    "a line break in a name": (
        post("/v1/uploads", {"name": "a\r\nSet-Cookie: b", "bytes": 1}),
        422,
    ),
    "a name of a novel": (post("/v1/uploads", {"name": "a" * 10_000, "bytes": 1}), 422),
    "a file beyond all bounds": (post("/v1/uploads", {"name": "a", "bytes": 2**62}), 400),
    "a file of less than nothing": (post("/v1/uploads", {"name": "a", "bytes": -1}), 422),
    "a number beyond the database": (post("/v1/uploads", {"name": "a", "bytes": 10**30}), 400),
    "a body too large": (post("/v1/describe", " " * 30_000), 413),
    "a body too large without a length": (in_pieces(40_000), 413),
    "a chunk too large": (chunk(bytes(5000)), 413),
    "a chunk too small": (chunk(bytes(10)), 400),
    "a chunk elsewhere": (chunk(bytes(4096), 4096), 409),
    "a chunk before the first": (chunk(bytes(4096), -1), 422),
    "a chunk beyond the database": (chunk(bytes(4096), 2**64), 422),
    "an upload without a file": (post("/v1/uploads/u_0123456789/finish"), 404),
    "another method": (lambda client, raster: client.request("TRACE", "/v1/rasters"), 405),
    "deleting all": (lambda client, raster: client.delete("/v1/rasters"), 405),
    "a length that is none": (
        lambda client, raster: client.post(
            "/v1/describe", content=b"{}", headers={"Content-Length": "-5"}
        ),
        400,
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request_is_refused(
    client: TestClient, raster: str, folder: Path, name: str
) -> None:
    ask, status = REQUESTS[name]
    answer = ask(client, raster)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"]
    assert error["message"]
    assert_plain(answer.text, folder)


def test_the_server_still_works_after_all_of_them(client: TestClient, raster: str) -> None:
    assert client.get("/v1/health").status_code == 200
    asked = {"raster": raster, "boxes": [BOX]}
    assert len(client.post("/v1/describe", json=asked).json()["answers"]) == 1


def test_many_ranges_cost_no_more_than_one(client: TestClient, raster: str) -> None:
    ranges = "bytes=" + ",".join(f"{n}-" for n in range(2000))
    place = f"/v1/rasters/{raster}/answers/export?format=coco"
    answer = client.get(place, headers={"Range": ranges})
    assert answer.status_code in (200, 206, 400, 416)
    assert len(answer.content) < 5_000_000


def test_a_page_of_another_site_cannot_use_a_server_without_tokens(tmp_path: Path) -> None:
    with serving(tmp_path, tokens=[], hosts=("testserver",)) as client:
        body = {"name": "a", "bytes": 10}
        own = client.post("/v1/uploads", json=body, headers={"Origin": "http://testserver"})
        assert own.status_code == 201
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = client.post("/v1/uploads", json=body, headers=headers)
            assert answer.status_code == 403, headers
        rebound = client.get("/v1/rasters", headers={"Host": "evil.example"})
        assert rebound.status_code == 421
        allowed = client.get("/v1/rasters", headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in allowed.headers


def test_a_bug_of_ours_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "secret detail /var/lib/skycue"
    with serving(tmp_path) as client:
        raster = upload(client, "a.png", png(levels(20, 20)))["id"]

        def fail(*_: object) -> None:
            raise RuntimeError(secret)

        monkeypatch.setattr("skycue.web.routes.tiles.draw_tile", fail)
        answer = client.get(f"/v1/rasters/{raster}/tiles/pixels/0/0/0.png")
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "ServerError"
        assert "secret" not in answer.text
