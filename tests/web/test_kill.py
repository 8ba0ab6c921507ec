"""A server that is killed at any moment, and what is left of it when it is started again."""

from pathlib import Path

import pytest

from tests.web.process import running
from tests.web.serving import geotiff, levels, upload, wait_for_job, wait_for_raster
from tests.web.test_scenes import LABELS, halves

pytestmark = [pytest.mark.slow, pytest.mark.service]


def test_uploads_labels_answers_and_jobs_go_on_after_a_kill(tmp_path: Path) -> None:
    content = geotiff(levels(300, 300))
    with running(tmp_path, chunk_bytes=65536) as server, server.client() as client:
        raster = upload(client, "halves.tif", geotiff(halves()))["id"]
        client.put(f"/v1/rasters/{raster}/labels", json={"labels": LABELS})
        asked = {"raster": raster, "boxes": [{"box": [1, 2, 30, 40]}]}
        answers = client.post("/v1/describe", json=asked).json()["answers"]
        begun = client.post("/v1/uploads", json={"name": "b.tif", "bytes": len(content)}).json()
        place = f"/v1/uploads/{begun['id']}"
        client.put(place, params={"offset": 0}, content=content[:65536])
        job = client.post("/v1/fit", json={"rasters": [raster], "method": "coop"}).json()["id"]
        waiting = client.post("/v1/fit", json={"rasters": [raster]}).json()["id"]
        while client.get(f"/v1/jobs/{job}").json()["progress"] < 0.25:
            pass
        server.kill()
    with running(tmp_path, chunk_bytes=65536) as server, server.client() as client:
        assert client.get(f"/v1/rasters/{raster}/answers").json()["answers"] == answers
        assert len(client.get(f"/v1/rasters/{raster}/labels").json()) == len(LABELS)
        received = client.get(place).json()["received"]
        assert received == 65536
        for offset in range(received, len(content), 65536):
            part = content[offset : offset + 65536]
            assert client.put(place, params={"offset": offset}, content=part).status_code == 200
        other = client.post(f"{place}/finish").json()["id"]
        for one in (job, waiting):
            ended = wait_for_job(client, one)
            assert ended["status"] == "done", ended
        assert wait_for_raster(client, other)["status"] == "ready"
        assert [model["method"] for model in client.get("/v1/models").json()] == [
            "linear-probe",
            "coop",
        ]
        assert server.stop() == 0


def test_a_job_that_ends_the_server_each_time_is_given_up(tmp_path: Path) -> None:
    raster = job = ""
    for attempt in range(4):
        with running(tmp_path) as server, server.client() as client:
            if attempt == 0:
                raster = upload(client, "halves.tif", geotiff(halves()))["id"]
                client.put(f"/v1/rasters/{raster}/labels", json={"labels": LABELS})
                fit = {"rasters": [raster], "method": "coop"}
                job = client.post("/v1/fit", json=fit).json()["id"]
            if attempt < 3:
                while client.get(f"/v1/jobs/{job}").json()["status"] != "running":
                    pass
                server.kill()
                continue
            record = wait_for_job(client, job)
            assert record["status"] == "failed"
            assert "3 times" in record["error"]["message"]


def test_a_second_server_on_the_same_state_is_refused(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(AssertionError, match="did not start"), running(tmp_path):
        pass


def test_a_client_that_goes_away_stops_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.client() as client:
        raster = upload(client, "a.tif", geotiff(levels(60, 60)))["id"]
        boxes = [{"box_id": str(n), "box": [n, n, n + 9, n + 9]} for n in range(40)]
        asked = {"raster": raster, "boxes": boxes}
        with (
            server.client() as rude,
            rude.stream("POST", "/v1/describe/stream", json=asked) as answer,
        ):
            next(answer.iter_lines())  # and away
        mine = client.post("/v1/describe", json=asked | {"boxes": boxes[:1]})
        assert len(mine.json()["answers"]) == 1
        kept: list[object] = []
        while len(kept) < 41:
            kept = client.get(f"/v1/rasters/{raster}/answers").json()["answers"]


def test_a_client_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.client() as client:
        raster = upload(client, "a.tif", geotiff(levels(60, 60)))["id"]
        boxes = [{"box_id": str(n), "box": [1, 1, 50, 50]} for n in range(1000)]
        asked = {"raster": raster, "boxes": boxes}
        with (
            server.client() as slow,
            slow.stream("POST", "/v1/describe/stream", json=asked) as answer,
        ):
            assert answer.status_code == 200  # megabytes follow, and nobody takes them
            one = client.post("/v1/describe", json=asked | {"boxes": boxes[:1]})
            assert len(one.json()["answers"]) == 1
            assert client.get("/v1/health").status_code == 200
