"""Routes of files that arrive in chunks."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from skycue.service.records import RasterRecord
from skycue.service.uploads import Upload
from skycue.web.access import Owner, TheService
from skycue.web.schemas import Identifier, UploadRequest, UploadView

router = APIRouter(prefix="/uploads", tags=["uploads"])

MAX_OFFSET = 2**63 - 1
CHUNK = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""What OpenAPI says of a body that FastAPI does not read itself."""


@router.post("", status_code=201)
def begin_upload(asked: UploadRequest, service: TheService, owner: Owner) -> UploadView:
    """Announce a file: room is reserved for it, and its chunks may come."""
    upload = service.uploads.begin(owner, asked.name, asked.bytes)
    return _view(upload, service.settings.chunk_bytes)


@router.get("/{upload}")
def get_upload(upload: Identifier, service: TheService, owner: Owner) -> UploadView:
    """Tell how much has arrived, so that an upload can go on after anything."""
    return _view(service.uploads.get(owner, upload), service.settings.chunk_bytes)


@router.put("/{upload}", openapi_extra=CHUNK)
async def write_chunk(
    upload: Identifier,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)],
    request: Request,
    service: TheService,
    owner: Owner,
) -> UploadView:
    """Send the chunk that begins at `offset`: `chunk_bytes` long, the last one what is left."""
    content = await request.body()
    known = await run_in_threadpool(service.uploads.write, owner, upload, offset, content)
    return _view(known, service.settings.chunk_bytes)


@router.post("/{upload}/finish", status_code=202)
def finish_upload(upload: Identifier, service: TheService, owner: Owner) -> RasterRecord:
    """Turn what has arrived into a raster; a job checks it and makes it fast to look at."""
    return service.finish_upload(owner, upload)


@router.delete("/{upload}", status_code=204)
def remove_upload(upload: Identifier, service: TheService, owner: Owner) -> None:
    """Forget an upload and what has arrived of it."""
    service.uploads.remove(owner, upload)


def _view(upload: Upload, chunk_bytes: int) -> UploadView:
    return UploadView(**upload._asdict(), chunk_bytes=chunk_bytes)
