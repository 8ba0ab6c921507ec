"""The server as it really runs: GDAL without the drivers that follow paths, and ended by Ctrl-C."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skycue.geo.preparation import SAFE_GDAL, STRANGERS_GDAL
from tests.web.hostile_files import vrt
from tests.web.process import running
from tests.web.serving import geotiff, levels, upload
from tests.web.test_scenes import tile_below

pytestmark = [pytest.mark.slow, pytest.mark.service]


def test_web_tiles_are_drawn_and_the_server_ends_in_peace(tmp_path: Path) -> None:
    with running(tmp_path) as server, server.client() as client:
        record = upload(client, "a.tif", geotiff(levels(600, 700)))
        z, x, y = tile_below(next(g for g in record["grids"] if g["grid"] == "mercator"))
        answer = client.get(f"/v1/rasters/{record['id']}/tiles/mercator/{z}/{x}/{y}.png")
        assert answer.status_code == 200, answer.text
        tile = np.array(Image.open(io.BytesIO(answer.content)))
        assert (tile[..., 3] == 255).all()
        assert tile[..., :3].std() > 10
        assert server.stop() == 0


@pytest.mark.parametrize("environment", [SAFE_GDAL, STRANGERS_GDAL])
def test_the_drivers_are_really_gone(tmp_path: Path, environment: dict[str, str]) -> None:
    secret = tmp_path / "secret.tif"
    secret.write_bytes(geotiff(levels(9, 9)[:1]))
    trap = tmp_path / "trap.tif"
    trap.write_bytes(vrt(str(secret)))
    code = (
        "import sys, rasterio\n"
        "from rasterio.drivers import raster_driver_extensions\n"
        "with rasterio.Env() as env: print('VRT' in env.drivers(), 'WMS' in env.drivers())\n"
        "from pathlib import Path\n"
        "from skycue.errors import ImageReadError\n"
        "from skycue.geo.raster import Raster\n"
        "try: Raster.open(Path(sys.argv[1]))\n"
        "except ImageReadError: print('refused')\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(trap)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    has_vrt = environment is SAFE_GDAL
    assert said == [f"{has_vrt} False", "refused"]
