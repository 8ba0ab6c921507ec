"""Routes about the server itself: is it there, what does it offer, how much does it do."""

from typing import get_args

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from skycue import __version__
from skycue.errors import ConflictError
from skycue.service.quota import used_bytes
from skycue.web.access import Owner, TheService
from skycue.web.schemas import Health, Limits, Method, ServerView

router = APIRouter(tags=["server"])
outside = APIRouter(tags=["server"])


@router.get("/health")
async def health(request: Request, service: TheService) -> Health:
    """Tell whether the server, its database and its files answer; no token is needed."""
    if not await run_in_threadpool(_is_ready, service):
        raise ConflictError("the database or the files of the server do not answer.")
    needs_token: bool = request.app.state.tokens.are_needed
    return Health(version=__version__, needs_token=needs_token)


def _is_ready(service: TheService) -> bool:
    return service.database.is_ready() and service.files.is_ready()


@router.get("/server")
def server(service: TheService, owner: Owner) -> ServerView:
    """Tell what the server offers, what it refuses, and how much of the quota is used."""
    settings = service.settings
    with service.database.read() as connection:
        used = used_bytes(connection, owner)
    return ServerView(
        version=__version__,
        region_model=service.loading.region_model,
        methods=get_args(Method),
        limits=Limits(
            max_upload_bytes=settings.max_upload_bytes,
            chunk_bytes=settings.chunk_bytes,
            max_pixels=settings.max_pixels,
            max_bands=settings.max_bands,
            quota_bytes=settings.quota_bytes,
        ),
        used_bytes=used,
    )


@outside.get("/metrics", response_class=Response)
def metrics(request: Request, owner: Owner) -> Response:
    """Give measures to Prometheus; a token is needed where others need one."""
    content: bytes = request.app.state.measures.text()
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")
