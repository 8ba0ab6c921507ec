"""Routes of maps: listed, shown as tiles in the colours of their legend, exported."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from skycue.errors import NotFoundError
from skycue.geo.label_tiles import draw_label_tile, tile_points
from skycue.geo.raster_facts import Grid
from skycue.service.map_exports import SUFFIX_OF, MapFiles, export_map
from skycue.service.records import MapFormat, MapRecord
from skycue.service.scene_maps import LABELS, PROBABILITIES, levels_of
from skycue.service.service import Service
from skycue.web.access import Owner, TheService
from skycue.web.downloads import MEDIA_TYPE_OF, download
from skycue.web.routes.tiles import PNG, Place, Zoom, png_of
from skycue.web.schemas import Identifier

router = APIRouter(prefix="/maps", tags=["maps"])

Classes = Annotated[
    str | None,
    Query(pattern=r"^(\d{1,3}(,\d{1,3})*)?$", max_length=1200, examples=["0,2"]),
]
"""Numbers of the classes that a tile shows, with commas; all if not given."""


@router.get("")
def list_maps(
    service: TheService, owner: Owner, raster: Identifier | None = None
) -> list[MapRecord]:
    """List your maps, of one raster or of all, the newest first."""
    return service.maps.list(owner, raster)


@router.get("/{map_id}")
def get_map(map_id: Identifier, service: TheService, owner: Owner) -> MapRecord:
    """Tell what is known of a map: its classes and their colours are the legend."""
    return service.maps.get(owner, map_id)


@router.delete("/{map_id}", status_code=204)
def remove_map(map_id: Identifier, service: TheService, owner: Owner) -> None:
    """Delete a map."""
    service.maps.remove(owner, map_id)


@router.get("/{map_id}/tiles/{grid}/{z}/{x}/{y}.png", response_class=Response, responses=PNG)  # type: ignore[arg-type]
async def map_tile(
    map_id: Identifier,
    grid: Grid,
    z: Zoom,
    x: Place,
    y: Place,
    request: Request,
    service: TheService,
    owner: Owner,
    classes: Classes = None,
) -> Response:
    """Draw a tile of a map, in the grids of its raster; cells without a class are transparent."""
    shown = None if classes is None else {int(number) for number in classes.split(",") if number}
    loop = asyncio.get_running_loop()
    arguments = (service, owner, map_id, grid, z, x, y, shown)
    content = await loop.run_in_executor(request.app.state.tile_pool, _draw, *arguments)
    return Response(content, media_type="image/png")


@router.get("/{map_id}/export", response_class=FileResponse)
def export(
    map_id: Identifier,
    service: TheService,
    owner: Owner,
    file_format: Annotated[MapFormat, Query(alias="format")] = "cog",
) -> FileResponse:
    """Download a map: `cog` holds the probabilities, others the most probable classes.

    The vector formats hold the features of `skycue classify`, `png` its quick look.
    """
    record = service.maps.get(owner, map_id)
    with (
        download(service.spool, f"map{SUFFIX_OF[file_format]}") as made,
        service.maps.file(owner, map_id, PROBABILITIES) as probabilities,
        service.maps.file(owner, map_id, LABELS) as labels,
        service.rasters.open(owner, record.raster) as raster,
    ):
        files = MapFiles(probabilities, labels)
        export_map(made.path, file_format, record, files, raster)
    return made.response(MEDIA_TYPE_OF[file_format])


def _draw(
    service: Service,
    owner: str,
    map_id: str,
    grid: Grid,
    z: int,
    x: int,
    y: int,
    shown: set[int] | None,
) -> bytes:
    record = service.maps.get(owner, map_id)
    if shown is not None and max(shown, default=0) >= len(record.classes):
        raise NotFoundError(f"the map has {len(record.classes)} classes, counted from 0.")
    facts = service.rasters.facts(owner, record.raster)
    with (
        service.rasters.open(owner, record.raster) as raster,
        service.maps.file(owner, map_id, LABELS) as labels,
    ):
        points = tile_points(facts, raster.georeference, grid, z, x, y)
        colours = levels_of([one.colour for one in record.classes])
        return png_of(draw_label_tile(labels, record.stride, facts.size, colours, shown, points))
