"""How many tiles and boxes does `skycue serve` answer, and how long does one wait?

    python -m bench.server

A server of its own on the loopback, with the region model `mini`, and a georeferenced raster of
3600 x 3600 pixels, which it has rewritten with overviews. Tiles: 8 clients ask for random tiles of
both grids. A box: one client asks for boxes on windows that the server has seen, one after the
other. Mixed: 50 clients at once, three tiles and one box each time; every answer is checked to be
there and to be about the box that was asked for. The clients take part of the same machine.
"""

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np

from bench.timing import NO_TARGET, DifferentOutputsError, Result, read_options, report
from skycue.geo.raster import read_raster
from skycue.geo.write_raster import write_raster

EXAMPLE = "spacenet/regions/rotterdam_tanks.tif"
COPIES = 10
"""Of the example raster, along each side."""
TILE_CLIENTS, TILES_EACH = 8, 50
BOXES = 30
CLIENTS, TURNS = 50, 3
TIMEOUT_S = 600.0


class Server(NamedTuple):
    """A running server and its raster."""

    address: str
    raster: dict[str, Any]


class Waits(NamedTuple):
    """How long single requests took.

    Attributes:
        seconds: Of each.
        total_s: From the first request to the last answer.
    """

    seconds: list[float]
    total_s: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.total_s

    def percentile(self, percent: float) -> float:
        """Return the time that so many percent of the requests did not exceed, in ms."""
        return 1000 * float(np.percentile(self.seconds, percent))

    def words(self) -> str:
        """Say the usual percentiles."""
        return f"p50 {self.percentile(50):.0f} ms, p95 {self.percentile(95):.0f} ms"


@contextmanager
def serving(folder: Path, threads: int) -> Iterator[Server]:
    """Run a server on a large raster while the block runs."""
    example = read_raster(Path(str(resources.files("skycue") / "examples" / EXAMPLE)))
    assert example.georeference is not None
    large = np.tile(example.pixels, (1, COPIES, COPIES))
    (folder / "root").mkdir()
    write_raster(folder / "root" / "large.tif", large, example.georeference)
    command = [sys.executable, "-m", "skycue", "serve", str(folder / "root"), "--port", "0"]
    command += ["--state", str(folder / "state"), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    log = folder / "log"
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(command, stderr=file, env=environment) as process,
    ):
        try:
            while not (found := re.search(r"http://\S+", log.read_text(encoding="utf-8"))):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                time.sleep(0.1)
            yield Server(found[0], _prepared(found[0]))
        except DifferentOutputsError:
            sys.stderr.write(log.read_text(encoding="utf-8"))
            raise
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def _prepared(address: str) -> dict[str, Any]:
    while True:
        (raster,) = httpx.get(f"{address}/v1/rasters").json()
        if raster["status"] != "preparing":
            assert raster["status"] == "ready", raster
            return dict(raster)
        time.sleep(0.2)


def random_tile(raster: dict[str, Any], chance: random.Random) -> str:
    """Return the path of a tile that shows something."""
    grid = chance.choice(raster["grids"])
    z = chance.randint(grid["min_zoom"], grid["max_zoom"])
    x_min, y_min, x_max, y_max = grid["extent"]
    x, y = chance.uniform(x_min, x_max), chance.uniform(y_min, y_max)
    if grid["grid"] == "pixels":
        side = grid["tile_size"] * 2 ** (grid["max_zoom"] - z)
        column, row = int(x / side), int(y / side)
    else:
        world = 2 * np.pi * 6378137.0
        column, row = int((x / world + 0.5) * 2**z), int((0.5 - y / world) * 2**z)
    return f"/v1/rasters/{raster['id']}/tiles/{grid['grid']}/{z}/{column}/{row}.png"


def random_box(chance: random.Random) -> list[float]:
    """Return a box inside the window of 1024 pixels around the middle, as if drawn by hand."""
    x, y = chance.uniform(1700, 1820), chance.uniform(1700, 1820)
    return [x, y, x + chance.uniform(40, 100), y + chance.uniform(40, 100)]


async def tile(client: httpx.AsyncClient, raster: dict[str, Any], chance: random.Random) -> float:
    """Ask for a tile, and return how long it took."""
    begin = time.perf_counter()
    answer = await client.get(random_tile(raster, chance))
    if answer.status_code != 200 or not answer.content.startswith(b"\x89PNG"):
        raise DifferentOutputsError(f"a tile is lost: {answer.status_code} {answer.text}")
    return time.perf_counter() - begin


async def box(client: httpx.AsyncClient, raster: dict[str, Any], chance: random.Random) -> float:
    """Ask for a box, and return how long it took."""
    corners = random_box(chance)
    asked = {"raster": raster["id"], "boxes": [{"box": corners}]}
    begin = time.perf_counter()
    answer = await client.post("/v1/describe", json=asked)
    seconds = time.perf_counter() - begin
    if answer.status_code != 200:
        raise DifferentOutputsError(f"a box is lost: {answer.text}")
    (found,) = answer.json()["answers"]
    if not np.allclose(found["box"], corners):
        raise DifferentOutputsError(f"asked for {corners}, got {found['box']}")
    return seconds


Ask = Callable[[httpx.AsyncClient, dict[str, Any], random.Random], Awaitable[float]]


async def drive(server: Server, clients: int, turns: int, asks: Sequence[Ask]) -> list[list[float]]:
    """Let clients ask in turns, each for all of `asks` in order, and return the times of each."""
    seconds: list[list[float]] = [[] for _ in asks]

    async def one(number: int) -> None:
        chance = random.Random(number)
        async with httpx.AsyncClient(base_url=server.address, timeout=TIMEOUT_S) as client:
            for _ in range(turns):
                for place, ask in enumerate(asks):
                    seconds[place].append(await ask(client, server.raster, chance))

    await asyncio.gather(*(one(number) for number in range(clients)))
    return seconds


def measure(
    server: Server, clients: int, turns: int, asks: Sequence[Ask]
) -> tuple[list[list[float]], float]:
    """Return the times of each kind of request, and the time of all."""
    begin = time.perf_counter()
    seconds = asyncio.run(drive(server, clients, turns, asks))
    return seconds, time.perf_counter() - begin


def results(server: Server) -> list[Result]:
    """Ask the three questions."""
    measure(server, 1, 1, [tile, box])  # the model is loaded, and the window encoded
    (tiles,), tiles_s = measure(server, TILE_CLIENTS, TILES_EACH, [tile])
    (boxes,), boxes_s = measure(server, 1, BOXES, [box])
    mixed, mixed_s = measure(server, CLIENTS, TURNS, [tile, tile, tile, box])
    of_tiles, of_boxes = Waits(tiles, tiles_s), Waits(boxes, boxes_s)
    mixed_tiles = Waits([one for some in mixed[:3] for one in some], mixed_s)
    mixed_boxes = Waits(mixed[3], mixed_s)
    return [
        _result(f"server: tiles, {TILE_CLIENTS} clients", of_tiles, "tiles/s"),
        _result("server: boxes, one client, window encoded", of_boxes, "boxes/s"),
        _result(f"server: tiles among boxes, {CLIENTS} clients", mixed_tiles, "tiles/s"),
        _result(f"server: boxes among tiles, {CLIENTS} clients", mixed_boxes, "boxes/s"),
    ]


def _result(question: str, waits: Waits, unit: str) -> Result:
    return Result(
        question=question,
        answer=f"{waits.rate:.1f} {unit}",
        target=NO_TARGET,
        met=True,
        detail=f"{waits.words()}, {len(waits.seconds)} answers, none lost or mixed",
    )


if __name__ == "__main__":
    options = read_options(__doc__)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), options.threads) as server,
    ):
        report(results(server), options)
