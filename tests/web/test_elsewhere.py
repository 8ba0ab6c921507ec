"""The server's state in PostgreSQL and an object store: the same story, and from two servers."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from tests.web import postgres
from tests.web.serving import (
    TOKENS,
    geotiff,
    levels,
    png,
    serving,
    tile_of,
    upload,
    wait_for_job,
)
from tests.web.test_scenes import LABELS, halves

pytestmark = [
    pytest.mark.slow,
    pytest.mark.service,
    pytest.mark.postgresql,
    # botocore calls utcnow, which Python 3.12 deprecates; s3fs leaves its loop's sockets to the end
    pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an S3 server with a bucket `skycue`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="skycue")
        yield endpoint
    server.stop()


@pytest.fixture(scope="module")
def stores(bucket: str) -> Iterator[dict[str, Any]]:
    with postgres.running_postgres() as database:
        yield {"database": database, "files": "s3://skycue/state", "files_endpoint": bucket}


def test_what_one_server_keeps_another_serves(stores: dict[str, Any], tmp_path: Path) -> None:
    with serving(tmp_path / "one", **stores) as client:
        raster = upload(client, "halves.tif", geotiff(halves()))
        assert raster["status"] == "ready", raster
        place = f"/v1/rasters/{raster['id']}"
        client.put(f"{place}/labels", json={"labels": LABELS})
        asked = {"raster": raster["id"], "boxes": [{"box": [1, 2, 30, 40]}]}
        (answer,) = client.post("/v1/describe", json=asked).json()["answers"]
        edit = {"action": "rename", "answer": answer["id"], "name": "left"}
        client.post(f"{place}/edits", json={"edit": edit})
        fit = client.post("/v1/fit", json={"rasters": [raster["id"]]}).json()
        model = wait_for_job(client, fit["id"])["result"]
    shutil.rmtree(tmp_path / "one")  # nothing of it is needed
    with serving(tmp_path / "two", **stores) as client:
        (kept,) = client.get(f"{place}/answers").json()["answers"]
        assert kept == answer | {"name": "left"}
        assert len(client.get(f"{place}/labels").json()) == len(LABELS)
        tile = tile_of(client.get(f"{place}/tiles/pixels/0/0/0.png"))
        np.testing.assert_array_equal(tile[:3, :64, :96], halves())
        asked = {"raster": raster["id"], "model": model, "window": 16, "stride": 16}
        job = wait_for_job(client, client.post("/v1/classify", json=asked).json()["id"])
        assert job["status"] == "done", job
        shown = client.get(f"/v1/maps/{job['result']}/tiles/pixels/0/0/0.png")
        assert tile_of(shown)[3, :64, :96].min() == 255
        client.post(f"{place}/edits", json={"edit": {"action": "undo"}})
        assert client.get(f"{place}/answers").json()["answers"] == [answer]
        other = {"Authorization": f"Bearer {TOKENS[1]}"}
        assert client.get(place, headers=other).status_code == 404
        assert client.delete(place).status_code == 204
        assert client.get(f"/v1/maps/{job['result']}").status_code == 404
        client.delete(f"/v1/models/{model}")
        s3 = boto3.client("s3", endpoint_url=stores["files_endpoint"])
        assert "Contents" not in s3.list_objects_v2(Bucket="skycue", Prefix="state/rasters")
        assert "Contents" not in s3.list_objects_v2(Bucket="skycue", Prefix="state/m")


def test_two_servers_at_once_share_jobs_and_uploads(stores: dict[str, Any], tmp_path: Path) -> None:
    content = png(levels(300, 300))
    with (
        serving(tmp_path / "one", chunk_bytes=65536, **stores) as one,
        serving(tmp_path / "two", chunk_bytes=65536, **stores) as two,
    ):
        begun = one.post("/v1/uploads", json={"name": "a.png", "bytes": len(content)}).json()
        place = f"/v1/uploads/{begun['id']}"
        for number, offset in enumerate(range(0, len(content), 65536)):
            server = (one, two)[number % 2]
            part = content[offset : offset + 65536]
            sent = server.put(place, params={"offset": offset}, content=part)
            assert sent.status_code == 200, sent.text
        raster = two.post(f"{place}/finish").json()["id"]
        jobs = {job["id"] for job in one.get("/v1/jobs").json()}
        for job in jobs:
            wait_for_job(one, job)
        assert one.get(f"/v1/rasters/{raster}").json()["status"] == "ready"
        for server in (one, two):
            shown = tile_of(server.get(f"/v1/rasters/{raster}/tiles/pixels/1/0/0.png"))
            np.testing.assert_array_equal(shown[:3], levels(300, 300)[:, :256, :256])


def test_local_copies_stay_within_their_bound(stores: dict[str, Any], tmp_path: Path) -> None:
    bound = 400_000
    with serving(tmp_path / "one", cache_bytes=bound, **stores) as client:
        rasters = [
            upload(client, f"{n}.tif", geotiff(levels(300, 300, seed=n)))["id"] for n in range(4)
        ]
        for _ in range(2):
            for seed, raster in enumerate(rasters):
                place = f"/v1/rasters/{raster}/tiles/pixels/1/0/0.png"
                expected = levels(300, 300, seed=seed)[:, :256, :256]
                np.testing.assert_array_equal(tile_of(client.get(place))[:3], expected)
                copies = (tmp_path / "one" / "cache").rglob("*.*")
                assert sum(path.stat().st_size for path in copies if path.is_file()) <= bound
