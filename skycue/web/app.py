"""The application: routes, what stands before them, and how mistakes are told."""

import logging
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from skycue import __version__
from skycue.errors import (
    ConflictError,
    ImageReadError,
    NotFoundError,
    QuotaError,
    SkycueError,
    UploadError,
)
from skycue.service.service import Service
from skycue.web.access import Tokens, UnauthorizedError
from skycue.web.gate import Gate
from skycue.web.measures import Measured, Measures
from skycue.web.problems import in_words
from skycue.web.routes import answers, describe, jobs, maps, rasters, scenes, server, tiles, uploads
from skycue.web.schemas import ErrorView

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
"""The page, bundled."""
PREFIX = "/v1"
ROUTES = (server, uploads, rasters, tiles, describe, answers, scenes, maps, jobs)
STATUS_OF: tuple[tuple[type[SkycueError], int], ...] = (
    (UnauthorizedError, 401),
    (NotFoundError, 404),
    (ConflictError, 409),
    (QuotaError, 429),
    (UploadError, 400),
    (ImageReadError, 400),
    (SkycueError, 422),
)
"""Status of each kind of mistake; the first that fits."""
SHOWN_PROBLEMS = 3
"""Problems of a request that are told at once."""
MAX_SHOWN = 500
"""Characters of a message about a request."""


def create_app(service: Service, tokens: Tokens, *, hosts: Iterable[str] = ()) -> ASGIApp:
    """Build the server's application.

    Args:
        service: What it keeps and does; started and ended with the application.
        tokens: Who may ask.
        hosts: Names by which it may be called; empty allows all.
    """
    app = build_api(service, tokens)
    measured = Measured(app, app.state.measures, PREFIX)
    return Gate(measured, service.settings, hosts=hosts, is_open=not tokens.are_needed)


def build_api(service: Service, tokens: Tokens) -> FastAPI:
    """Build the routes, without what stands before them; its OpenAPI is the documentation."""
    app = FastAPI(
        title="Skycue",
        version=__version__,
        summary="Boxes on rasters become captions with masks; labelled boxes become maps.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
        responses={
            status: {"model": ErrorView, "description": meaning}
            for status, meaning in (
                (400, "What was sent cannot be used."),
                (401, "A token is needed."),
                (403, "A page of another site asked."),
                (404, "There is no such thing, or it belongs to another token."),
                (405, "The route has other methods."),
                (408, "The body did not arrive in time."),
                (409, "It does not fit the state of things."),
                (413, "The body is too large."),
                (421, "The server is not called so."),
                (422, "A value is not allowed."),
                (429, "A quota is used up."),
                (500, "Something went wrong in the server; its log says what."),
                (504, "It took too long."),
            )
        },
    )
    app.state.service, app.state.tokens = service, tokens
    app.state.measures = Measures()
    service.batches.counts = app.state.measures
    app.state.tile_pool = ThreadPoolExecutor(service.settings.tile_threads, "tile")
    for routes in ROUTES:
        app.include_router(routes.router, prefix=PREFIX)
    app.include_router(server.outside)
    app.add_exception_handler(SkycueError, _answer_mistake)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_bug)
    if STATIC.is_dir():
        app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.service.start()
    try:
        yield
    finally:
        app.state.tile_pool.shutdown(cancel_futures=True)
        app.state.service.close()


def _answer(status: int, kind: str, message: str) -> JSONResponse:
    content = {"error": {"type": kind, "message": message}}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(content, status_code=status, headers=headers)


async def _answer_mistake(_request: Request, error: Exception) -> JSONResponse:
    status = next(code for kind, code in STATUS_OF if isinstance(error, kind))
    return _answer(status, type(error).__name__, str(error))


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    shown = [in_words(problem) for problem in error.errors()[:SHOWN_PROBLEMS]]
    message = "; ".join(shown).encode("utf-8", "replace").decode()
    return _answer(422, "RequestError", message[:MAX_SHOWN])


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind, message = "RequestError", str(error.detail)
    routes = f"{PREFIX}/openapi.json lists the routes."
    if error.status_code == 404:
        kind, message = "NotFoundError", f"nothing is here; {routes}"
    elif error.status_code == 405:
        kind, message = "MethodError", f"{request.method} is not allowed here; {routes}"
    answer = _answer(error.status_code, kind, message)
    answer.headers.update(error.headers or {})
    return answer


async def _answer_bug(_request: Request, _error: Exception) -> JSONResponse:
    """Tell nothing of what went wrong; the server's log has it (Starlette raises it again)."""
    message = "something went wrong in the server; its log says what."
    return _answer(500, "ServerError", message)
