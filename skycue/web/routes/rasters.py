"""Routes of rasters."""

from fastapi import APIRouter

from skycue.service.records import RasterRecord
from skycue.web.access import Owner, TheService
from skycue.web.schemas import Identifier

router = APIRouter(prefix="/rasters", tags=["rasters"])


@router.get("")
def list_rasters(service: TheService, owner: Owner) -> list[RasterRecord]:
    """List your rasters and those of the server's operator, the newest first."""
    return service.rasters.list(owner)


@router.get("/{raster}")
def get_raster(raster: Identifier, service: TheService, owner: Owner) -> RasterRecord:
    """Tell what is known of a raster."""
    return service.rasters.get(owner, raster)


@router.delete("/{raster}", status_code=204)
def remove_raster(raster: Identifier, service: TheService, owner: Owner) -> None:
    """Delete a raster with its answers, labels and maps."""
    service.rasters.remove(owner, raster)
