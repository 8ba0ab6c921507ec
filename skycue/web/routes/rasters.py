"""Routes of rasters."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query

from skycue.errors import ConflictError
from skycue.geo.crs import WGS84, reproject
from skycue.service.records import RasterRecord
from skycue.web.access import Owner, TheService
from skycue.web.schemas import BandsRequest, Identifier, PositionView

FARTHEST = 2**31
"""Of the sides of a raster."""
Pixel = Annotated[float, Query(ge=0, le=FARTHEST, allow_inf_nan=False)]

router = APIRouter(prefix="/rasters", tags=["rasters"])


@router.get("")
def list_rasters(service: TheService, owner: Owner) -> list[RasterRecord]:
    """List your rasters and those of the server's operator, the newest first."""
    return service.rasters.list(owner)


@router.get("/{raster}")
def get_raster(raster: Identifier, service: TheService, owner: Owner) -> RasterRecord:
    """Tell what is known of a raster."""
    return service.rasters.get(owner, raster)


@router.put("/{raster}/bands")
def show_bands(
    raster: Identifier, request: BandsRequest, service: TheService, owner: Owner
) -> RasterRecord:
    """Show other bands of a raster, on tiles and to the models; answers and maps stay.

    The server's own rasters keep theirs where it wants tokens, for others see them too.
    """
    return service.rasters.show_bands(owner, raster, request.bands)


@router.get("/{raster}/position")
def get_position(
    raster: Identifier, x: Pixel, y: Pixel, service: TheService, owner: Owner
) -> PositionView:
    """Tell where a point of a raster, in continuous pixels, lies on the ground."""
    with service.rasters.open(owner, raster) as opened:
        place = opened.georeference
    if place is None:
        raise ConflictError("this raster has no place on the ground: its file names no CRS.")
    on_map = place.to_map(np.array([[x, y]]))
    longitude, latitude = reproject(on_map, place.crs, WGS84)[0]
    return PositionView(
        longitude=longitude,
        latitude=latitude,
        crs=place.crs,
        map_x=on_map[0, 0],
        map_y=on_map[0, 1],
    )


@router.delete("/{raster}", status_code=204)
def remove_raster(raster: Identifier, service: TheService, owner: Owner) -> None:
    """Delete a raster with its answers, labels and maps."""
    service.rasters.remove(owner, raster)
