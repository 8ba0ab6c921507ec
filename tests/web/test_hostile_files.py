"""Files that mean harm: each is refused in words, and the server goes on."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.web.hostile_files import BAD_RASTERS, NOT_RASTERS, SECRET
from tests.web.serving import geotiff, levels, serving, upload, wait_for_raster

INTERNAL = (
    "Traceback",
    "f_",
    "/tmp",
    "/work",
    "site-packages",
    "rasterio",
    "sqlalchemy",
    "root:x:",
)
"""What an answer never tells."""


def assert_plain(text: str, folder: Path) -> None:
    """Make sure that a message tells nothing of the inside."""
    assert not [word for word in (*INTERNAL, str(folder), SECRET) if word in text], text


def send(client: TestClient, name: str, content: bytes) -> str:
    """Send a whole file and return the id of its upload."""
    begun = client.post("/v1/uploads", json={"name": name, "bytes": len(content)})
    assert begun.status_code == 201, begun.text
    one, size = begun.json()["id"], begun.json()["chunk_bytes"]
    for offset in range(0, len(content), size):
        part = content[offset : offset + size]
        client.put(f"/v1/uploads/{one}", params={"offset": offset}, content=part)
    return str(one)


def test_the_corpus_is_large() -> None:
    assert len(NOT_RASTERS) + len(BAD_RASTERS) >= 50


def test_what_does_not_begin_like_a_raster_is_refused_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        for name, content in NOT_RASTERS.items():
            one = send(client, name, content)
            answer = client.post(f"/v1/uploads/{one}/finish")
            assert answer.status_code == 400, name
            assert answer.json()["error"]["type"] == "ImageReadError", name
            assert_plain(answer.text, tmp_path)
            assert client.get(f"/v1/uploads/{one}").status_code == 404, name
        assert client.get("/v1/rasters").json() == []
        assert client.get("/v1/server").json()["used_bytes"] == 0
    assert not [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert not Path("/tmp/skycue-was-here").exists()


@pytest.mark.slow
def test_what_looks_like_a_raster_and_is_none_fails_in_words_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, job_threads=2, max_waiting_jobs=100) as client:
        rasters = {}
        for name, content in BAD_RASTERS.items():
            finished = client.post(f"/v1/uploads/{send(client, name, content)}/finish")
            assert finished.status_code == 202, name
            rasters[name] = finished.json()["id"]
        records = {name: wait_for_raster(client, raster) for name, raster in rasters.items()}
        assert [name for name, one in records.items() if one["status"] != "failed"] == []
        for name, raster in rasters.items():
            record = records[name]
            assert record["error"], name
            assert_plain(record["error"], tmp_path)
            tile = client.get(f"/v1/rasters/{raster}/tiles/pixels/0/0/0.png")
            assert tile.status_code == 409, name
            asked = {"raster": raster, "boxes": [{"box": [0, 0, 5, 5]}]}
            assert client.post("/v1/describe", json=asked).status_code == 409, name
        sound = upload(client, "sound.tif", geotiff(levels(40, 40)))
        assert sound["status"] == "ready"
        for raster in rasters.values():
            assert client.delete(f"/v1/rasters/{raster}").status_code == 204
    left = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert len(left) == 1  # the sound one


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "<img src=x onerror=alert(1)>.tif", "a\u202egpj.tif", "CON", "'; DROP--"],
)
def test_a_hostile_name_is_only_shown(tmp_path: Path, name: str) -> None:
    with serving(tmp_path) as client:
        record = upload(client, name, geotiff(levels(20, 20)))
        assert (record["name"], record["status"]) == (name, "ready")
        export = client.get(f"/v1/rasters/{record['id']}/answers/export?format=coco")
        assert export.headers["content-disposition"] == 'attachment; filename="answers.json"'
    names = {path.name for path in tmp_path.rglob("*")}
    assert not [found for found in names if name in found]
