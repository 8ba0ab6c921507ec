"""Labelled boxes over HTTP: learned as a job, and the map that the model makes of a raster."""

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from fastapi.testclient import TestClient
from PIL import Image

from skycue.service.job_runner import JobContext
from tests.web.serving import TOKENS, geotiff, png, serving, tile_of, upload, wait_for_job

SAND, WATER = (200, 180, 120), (20, 60, 140)


def halves() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a raster whose left half is sand and whose right half is water, [3, 64, 96]."""
    pixels = np.zeros((3, 64, 96), dtype=np.uint8)
    pixels[:, :, :48] = np.array(SAND, dtype=np.uint8)[:, None, None]
    pixels[:, :, 48:] = np.array(WATER, dtype=np.uint8)[:, None, None]
    noise = np.random.default_rng(5).integers(0, 12, pixels.shape).astype(np.uint8)
    return pixels + noise


REGION_COLUMNS = ["class", "score", "cells", "area_m2", "valid_share"]
LABELS = [
    {"box": [x, y, x + 16, y + 16], "class_name": "sand" if x < 48 else "water"}
    for x in (0, 16, 48, 80)
    for y in (0, 32)
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("state")) as client:
        yield client


@pytest.fixture(scope="module")
def raster(client: TestClient) -> str:
    raster = str(upload(client, "halves.tif", geotiff(halves()))["id"])
    answer = client.put(f"/v1/rasters/{raster}/labels", json={"labels": LABELS})
    assert answer.status_code == 200, answer.text
    return raster


@pytest.fixture(scope="module")
def model(client: TestClient, raster: str) -> str:
    answer = client.post("/v1/fit", json={"rasters": [raster], "name": "shore"})
    assert answer.status_code == 202, answer.text
    job = wait_for_job(client, answer.json()["id"])
    assert job["status"] == "done", job
    return str(job["result"])


@pytest.fixture(scope="module")
def map_id(client: TestClient, raster: str, model: str) -> str:
    asked = {"raster": raster, "model": model, "window": 16, "stride": 16}
    answer = client.post("/v1/classify", json=asked)
    assert answer.status_code == 202, answer.text
    job = wait_for_job(client, answer.json()["id"])
    assert job["status"] == "done", job
    return str(job["result"])


def test_labels_are_kept_in_their_order_and_replaced_as_a_whole(
    client: TestClient, raster: str
) -> None:
    kept = client.get(f"/v1/rasters/{raster}/labels").json()
    assert [{"box": one["box"], "class_name": one["class_name"]} for one in kept] == LABELS
    other = {"Authorization": f"Bearer {TOKENS[1]}"}
    assert client.get(f"/v1/rasters/{raster}/labels", headers=other).status_code == 404
    wrong = {"labels": [{"box": [500, 0, 600, 10], "class_name": "far"}]}
    assert client.put(f"/v1/rasters/{raster}/labels", json=wrong).status_code == 422
    assert client.get(f"/v1/rasters/{raster}/labels").json() == kept


def test_a_fitted_model_is_kept_with_what_it_learned_from(client: TestClient, model: str) -> None:
    record = client.get(f"/v1/models/{model}").json()
    facts = {"name": "shore", "method": "linear-probe", "classes": ["sand", "water"]}
    assert facts.items() <= record.items()
    assert record["n_labels"] == 8
    other = {"Authorization": f"Bearer {TOKENS[1]}"}
    assert client.get(f"/v1/models/{model}", headers=other).status_code == 404
    assert client.delete(f"/v1/models/{model}", headers=other).status_code == 404


def test_one_class_is_refused_before_a_job_waits(client: TestClient) -> None:
    raster = upload(client, "one.png", png(halves()))["id"]
    none = client.post("/v1/fit", json={"rasters": [raster]})
    assert none.status_code == 422
    client.put(f"/v1/rasters/{raster}/labels", json={"labels": LABELS[:2]})
    one = client.post("/v1/fit", json={"rasters": [raster]})
    assert one.status_code == 422
    assert "only 'sand'" in one.json()["error"]["message"]


def test_a_map_gives_each_half_its_class(client: TestClient, map_id: str) -> None:
    record = client.get(f"/v1/maps/{map_id}").json()
    assert record["size"] == [4, 6]
    assert (record["n_windows"], record["n_skipped"]) == (24, 0)
    cog = client.get(f"/v1/maps/{map_id}/export", params={"format": "cog"}).content
    with rasterio.MemoryFile(cog) as memory, memory.open() as dataset:
        assert dataset.descriptions == ("sand", "water")
        assert dataset.res == (8.0, 8.0)
        probabilities = dataset.read()
    np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)
    assert (probabilities.argmax(axis=0) == [[0, 0, 0, 1, 1, 1]] * 4).all()


def test_tiles_of_a_map_have_the_colours_of_the_legend(
    client: TestClient, raster: str, map_id: str
) -> None:
    legend = client.get(f"/v1/maps/{map_id}").json()["classes"]
    colours = [list(bytes.fromhex(one["colour"][1:])) for one in legend]
    tile = tile_of(client.get(f"/v1/maps/{map_id}/tiles/pixels/0/0/0.png"))
    assert tile[:, 10, 10].tolist() == [*colours[0], 255]
    assert tile[:, 63, 95].tolist() == [*colours[1], 255]
    assert tile[3, 64:].max() == tile[3, :, 96:].max() == 0
    only = tile_of(client.get(f"/v1/maps/{map_id}/tiles/pixels/0/0/0.png", params={"classes": "1"}))
    assert only[3, :64, :48].max() == 0
    assert only[3, :64, 48:96].min() == 255
    grids = client.get(f"/v1/rasters/{raster}").json()["grids"]
    z, x, y = tile_below(next(grid for grid in grids if grid["grid"] == "mercator"))
    shown = tile_of(client.get(f"/v1/rasters/{raster}/tiles/mercator/{z}/{x}/{y}.png"))
    classes = tile_of(client.get(f"/v1/maps/{map_id}/tiles/mercator/{z}/{x}/{y}.png"))
    water = (shown[2] > shown[0]) & (shown[3] == 255)
    named = (classes[:3] == np.array(colours[1])[:, None, None]).all(axis=0)
    assert water.sum() > 1000
    assert (water == named)[(shown[3] == 255) & (classes[3] == 255)].mean() > 0.99


def tile_below(grid: dict[str, Any]) -> tuple[int, int, int]:
    """Return a web tile at the middle of a raster, at its finest zoom."""
    z, side = grid["max_zoom"], 2 * np.pi * 6378137.0
    x_min, y_min, x_max, y_max = grid["extent"]
    x = int(((x_min + x_max) / 2 / side + 0.5) * 2**z)
    y = int((0.5 - (y_min + y_max) / 2 / side) * 2**z)
    return z, x, y


def test_regions_are_exported_as_the_command_writes_them(
    client: TestClient, map_id: str, tmp_path: Path
) -> None:
    path = tmp_path / "regions.parquet"
    answer = client.get(f"/v1/maps/{map_id}/export", params={"format": "parquet"})
    path.write_bytes(answer.content)
    table = geopandas.read_parquet(path)
    assert list(table.columns) == [*REGION_COLUMNS, "geometry"]
    assert dict(zip(table["class"], table.area, strict=True)) == {
        "sand": 64 * 48 / 4,
        "water": 64 * 48 / 4,
    }
    assert (table["cells"] == 12).all()
    np.testing.assert_allclose(table["area_m2"], table.area, rtol=0.002)
    assert table["score"].between(0.5, 1).all()
    assert (table["valid_share"] == 1).all()


def test_regions_of_a_map_end_where_its_raster_ends(
    client: TestClient, raster: str, model: str, tmp_path: Path
) -> None:
    asked = {"raster": raster, "model": model, "window": 40, "stride": 40}  # cells of 80 x 120
    job = wait_for_job(client, client.post("/v1/classify", json=asked).json()["id"])
    answer = client.get(f"/v1/maps/{job['result']}/export", params={"format": "gpkg"})
    (tmp_path / "regions.gpkg").write_bytes(answer.content)
    table = geopandas.read_file(tmp_path / "regions.gpkg")
    assert table.area.sum() == pytest.approx(64 * 96 / 4, rel=1e-9)
    client.delete(f"/v1/maps/{job['result']}")


def test_the_picture_of_a_map_is_larger_than_its_raster_and_in_the_colours_of_the_legend(
    client: TestClient, map_id: str
) -> None:
    answer = client.get(f"/v1/maps/{map_id}/export", params={"format": "png"})
    pixels = np.array(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert pixels.shape[0] >= 64
    assert pixels.shape[1] >= 96
    for entry in client.get(f"/v1/maps/{map_id}").json()["classes"]:
        colour = np.array(list(bytes.fromhex(entry["colour"][1:])))
        assert (pixels == colour).all(axis=-1).sum() > 50  # its patch in the legend


def test_a_map_belongs_to_its_token(client: TestClient, raster: str, map_id: str) -> None:
    other = {"Authorization": f"Bearer {TOKENS[1]}"}
    for path in ("", "/export", "/tiles/pixels/0/0/0.png"):
        assert client.get(f"/v1/maps/{map_id}{path}", headers=other).status_code == 404
    assert client.get("/v1/maps", headers=other).json() == []
    assert len(client.get("/v1/maps", params={"raster": raster}).json()) == 1


def test_learning_tells_how_far_it_is_and_ends_when_it_is_cancelled(
    client: TestClient, raster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = JobContext.progress

    def tell_and_stay_at_a_half(context: JobContext, share: float, message: str) -> None:
        tell(context, share, message)
        while share > 0.5 and not context.is_cancelled:
            time.sleep(0.01)

    monkeypatch.setattr(JobContext, "progress", tell_and_stay_at_a_half)
    asked = {"rasters": [raster], "method": "coop"}  # 200 epochs
    job = client.post("/v1/fit", json=asked).json()["id"]
    shares: list[float] = []
    while not shares or shares[-1] < 0.25:
        record = client.get(f"/v1/jobs/{job}").json()
        assert record["status"] in ("queued", "running")
        shares.append(record["progress"])
    assert "of 200" in record["message"]
    assert shares == sorted(shares)
    client.post(f"/v1/jobs/{job}/cancel")
    ended = wait_for_job(client, job)
    assert (ended["status"], ended["result"]) == ("cancelled", None)
    assert all(one["method"] != "coop" for one in client.get("/v1/models").json())
