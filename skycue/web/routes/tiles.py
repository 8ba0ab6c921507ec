"""Routes of picture tiles."""

import asyncio
import io
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from numpy.typing import NDArray
from PIL import Image

from skycue.geo.map_tiles import MAX_ZOOM, draw_tile
from skycue.geo.raster_facts import Grid
from skycue.service.service import Service
from skycue.web.access import Owner, TheService
from skycue.web.schemas import Identifier

router = APIRouter(prefix="/rasters", tags=["tiles"])

Zoom = Annotated[int, Path(ge=0, le=MAX_ZOOM)]
Place = Annotated[int, Path(ge=0, lt=2**MAX_ZOOM)]
PNG = {200: {"content": {"image/png": {}}, "description": "256 x 256 pixels with alpha."}}
KEPT_BY_CLIENT = "private, max-age=3600"
"""Of tiles: what they show changes with the bands alone, and then a page asks by another query."""


@router.get("/{raster}/tiles/{grid}/{z}/{x}/{y}.png", response_class=Response, responses=PNG)  # type: ignore[arg-type]
async def raster_tile(
    raster: Identifier,
    grid: Grid,
    z: Zoom,
    x: Place,
    y: Place,
    request: Request,
    service: TheService,
    owner: Owner,
) -> Response:
    """Draw a tile of a raster, in its own pixels or in the grid of web maps."""
    loop = asyncio.get_running_loop()
    arguments = (service, owner, raster, grid, z, x, y)
    content = await loop.run_in_executor(request.app.state.tile_pool, _draw, *arguments)
    return Response(content, media_type="image/png", headers={"Cache-Control": KEPT_BY_CLIENT})


def _draw(service: Service, owner: str, raster: str, grid: Grid, z: int, x: int, y: int) -> bytes:
    facts = service.rasters.facts(owner, raster)
    with service.rasters.path(owner, raster) as path:
        return png_of(draw_tile(path, facts, grid, z, x, y))


def png_of(tile: NDArray[np.uint8]) -> bytes:
    """Write RGB and alpha [4, H, W] as a PNG, fast rather than small."""
    buffer = io.BytesIO()
    Image.fromarray(tile.transpose(1, 2, 0)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
