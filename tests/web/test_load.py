"""Fifty clients at once, each with its own raster and boxes: nothing is lost, nothing is mixed."""

import asyncio
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.web.made_up_regions import caption_of
from tests.web.process import running
from tests.web.serving import events_of, geotiff

pytestmark = [pytest.mark.slow, pytest.mark.service]

CLIENTS = 50
ROUNDS = 6


def pixels_of(number: int) -> NDArray[np.uint8]:
    """Return the raster of a client, in a colour of its own, [3, 40, 60]."""
    pixels = np.empty((3, 40, 60), dtype=np.uint8)
    pixels[:] = np.array([5 * number, 250 - 4 * number, 3 * number + 7])[:, None, None]
    return pixels


async def upload(client: httpx.AsyncClient, content: bytes) -> str:
    begun = (await client.post("/v1/uploads", json={"name": "a.tif", "bytes": len(content)})).json()
    place = f"/v1/uploads/{begun['id']}"
    sent = await client.put(place, params={"offset": 0}, content=content)
    assert sent.status_code == 200, sent.text
    raster = str((await client.post(f"{place}/finish")).json()["id"])
    while True:
        record = (await client.get(f"/v1/rasters/{raster}")).json()
        if record["status"] != "preparing":
            assert record["status"] == "ready", record
            return raster
        await asyncio.sleep(0.2)


async def work(address: str, number: int) -> int:
    """Do what a client does, check every answer, and return how many there were."""
    headers = {"Authorization": f"Bearer token-of-client-{number:04d}"}
    count = 0
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=300) as client:
        raster = await upload(client, geotiff(pixels_of(number)))
        for turn in range(ROUNDS):
            boxes = [(turn + n, n, turn + n + 20, n + 15 + number % 7) for n in range(3)]
            asked = {
                "raster": raster,
                "boxes": [{"box_id": str(n), "box": box} for n, box in enumerate(boxes)],
            }
            tile, described, streamed = await asyncio.gather(
                client.get(f"/v1/rasters/{raster}/tiles/pixels/0/0/0.png"),
                client.post("/v1/describe", json=asked),
                client.post("/v1/describe/stream", json=asked),
            )
            shown = np.array(Image.open(io.BytesIO(tile.content))).transpose(2, 0, 1)
            np.testing.assert_array_equal(shown[:3, :40, :60], pixels_of(number))
            expected = [
                caption_of(pixels_of(number), tuple(float(value) for value in box))  # type: ignore[arg-type]
                for box in boxes
            ]
            assert [one["caption"] for one in described.json()["answers"]] == expected
            told = {
                data["box_id"]: data["caption"]
                for kind, data in events_of(streamed)
                if kind == "answer"
            }
            assert told == {str(n): caption for n, caption in enumerate(expected)}
            count += 3
        kept: Any = (await client.get(f"/v1/rasters/{raster}/answers")).json()["answers"]
        assert len(kept) == ROUNDS * 6
        assert len((await client.get("/v1/rasters")).json()) == 1
    return count


async def all_at_once(address: str) -> list[int]:
    return await asyncio.gather(*(work(address, number) for number in range(CLIENTS)))


def test_fifty_clients_get_every_answer_and_each_its_own(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        counts = asyncio.run(all_at_once(server.address))
        assert counts == [3 * ROUNDS] * CLIENTS
        with server.client() as client:
            text = client.get("/metrics").text
    measures = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("skycue_batch_boxes_")
    )
    boxes, batches = measures["skycue_batch_boxes_sum"], measures["skycue_batch_boxes_count"]
    assert float(boxes) == CLIENTS * ROUNDS * 6
    assert float(batches) < float(boxes) / 2  # boxes of several users share batches
