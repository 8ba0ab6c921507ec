"""A server in this process, with a small raster or two, for tests of its routes."""

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import rasterio
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

from skycue.backbones.clip import Clip
from skycue.encoding import SceneEncoder
from skycue.inference import SceneClassifier
from skycue.model_folder import read_model
from skycue.region_describer import RegionDescriber
from skycue.scenes.registry import build_method
from skycue.service.model_loading import ModelLoading
from skycue.service.service import Service
from skycue.service.settings import ServiceSettings
from skycue.web.access import Tokens
from skycue.web.app import create_app
from tests.conftest import build_tiny_clip
from tests.web.made_up_regions import MadeUpRegions

TOKENS = ["first-token-of-a-test", "second-token-of-a-test"]
PLACE = Affine(0.5, 0.0, 593000.0, 0.0, -0.5, 5750000.0)
WAIT_S = 300.0
Client = TestClient | httpx.Client
"""Asks a server in this process, or in another one."""


def levels(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return RGB pixels that differ everywhere, [3, H, W]."""
    return np.random.default_rng(seed).integers(1, 256, (3, height, width)).astype(np.uint8)


def geotiff(pixels: NDArray[np.generic], **options: Any) -> bytes:
    """Return a GeoTIFF of bands [N, H, W] in UTM 31."""
    place = {"crs": "EPSG:32631", "transform": PLACE} | options
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=pixels.shape[0],
            height=pixels.shape[1],
            width=pixels.shape[2],
            dtype=pixels.dtype,
            **place,
        ) as dataset:
            dataset.write(pixels)
        return bytes(memory.read())


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG of RGB pixels [3, H, W]."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


class TinyModels(ModelLoading):
    """A made-up region model, and a CLIP of random weights: they answer in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.regions = MadeUpRegions()

    def clip(self) -> Clip:
        return build_tiny_clip()

    def describer(self) -> RegionDescriber:
        return cast(RegionDescriber, self.regions)

    def classifier(self, folder: Path) -> SceneClassifier:
        record, learned = read_model(folder)
        encoder = SceneEncoder(self.clip())
        method = build_method(encoder.clip, record.config.method).eval()
        method.load_learned_state(learned, record.prompt_names)
        return SceneClassifier(method, encoder, record.config, record.class_names, record.fit)


@contextmanager
def serving(
    folder: Path,
    *,
    tokens: list[str] | None = None,
    roots: list[Path] | None = None,
    loading: ModelLoading | None = None,
    hosts: tuple[str, ...] = (),
    **set_to: Any,
) -> Iterator[TestClient]:
    """Run a server; requests of the client bring the first of the tokens."""
    service = Service(folder, ServiceSettings(**set_to), loading or TinyModels())
    known = Tokens(TOKENS if tokens is None else tokens)
    with TestClient(
        create_app(service, known, hosts=hosts), raise_server_exceptions=False
    ) as client:
        if known.are_needed:
            client.headers["Authorization"] = f"Bearer {(tokens or TOKENS)[0]}"
        service.register(roots or [])
        yield client


def upload(client: Client, name: str, content: bytes) -> dict[str, Any]:
    """Send a file in chunks, wait until it is ready or failed, and return its record."""
    begun = client.post("/v1/uploads", json={"name": name, "bytes": len(content)})
    assert begun.status_code == 201, begun.text
    one, size = begun.json()["id"], begun.json()["chunk_bytes"]
    for offset in range(0, len(content), size):
        sent = client.put(
            f"/v1/uploads/{one}",
            params={"offset": offset},
            content=content[offset : offset + size],
        )
        assert sent.status_code == 200, sent.text
    finished = client.post(f"/v1/uploads/{one}/finish")
    assert finished.status_code == 202, finished.text
    return wait_for_raster(client, finished.json()["id"])


def wait_for_raster(client: Client, raster: str) -> dict[str, Any]:
    """Ask for a raster until it is prepared."""
    deadline = time.monotonic() + WAIT_S
    while True:
        record: dict[str, Any] = client.get(f"/v1/rasters/{raster}").json()
        if record["status"] != "preparing":
            return record
        assert time.monotonic() < deadline, record
        time.sleep(0.05)


def wait_for_job(client: Client, job: str) -> dict[str, Any]:
    """Ask for a job until it has ended."""
    deadline = time.monotonic() + WAIT_S
    while True:
        record: dict[str, Any] = client.get(f"/v1/jobs/{job}").json()
        if record["status"] not in ("queued", "running"):
            return record
        assert time.monotonic() < deadline, record
        time.sleep(0.05)


def tile_of(answer: Any) -> NDArray[np.uint8]:
    """Return the pixels of a tile, RGB and alpha [4, H, W]."""
    assert answer.status_code == 200, answer.text
    return np.array(Image.open(io.BytesIO(answer.content))).transpose(2, 0, 1)


def events_of(answer: Any) -> list[tuple[str, Any]]:
    """Read server-sent events: kinds and data."""
    assert answer.status_code == 200, answer.text
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found
