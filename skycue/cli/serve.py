"""`skycue serve`: rasters, boxes and maps for browsers and programs, by HTTP."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skycue.cli.options import ConfigOption, DeviceOption, DtypeOption, SetOption

if TYPE_CHECKING:
    from skycue.web.access import Tokens

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""What a browser may call the server where it wants no token."""
TOKEN_VARIABLE = "SKYCUE_TOKEN"
"""Environment variable that may hold one token."""
EXTRA = "pip install 'skycue[serve]'"
UVICORN: dict[str, Any] = {
    "http": "h11",  # the stricter of uvicorn's parsers
    "log_level": "warning",
    "server_header": False,
    "limit_concurrency": 1000,
    "timeout_keep_alive": 20,
    "timeout_graceful_shutdown": 10,
    "h11_max_incomplete_event_size": 16 * 1024,  # of the headers
}
"""How uvicorn serves: bounded connections, headers and times."""


def serve(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="GeoTIFF, JPEG or PNG files, or folders of them, that everybody may look at."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    tokens: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Tokens, one a line; each owns what it makes. One may stand in {TOKEN_VARIABLE}.",
        ),
    ] = None,
    state: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where rasters, jobs and results are kept.")
    ] = Path("skycue-state"),
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Of regions: `mini`, a folder, or a hub name.")
    ] = "mini",
    classifier: Annotated[
        list[Path] | None,
        typer.Option(metavar="MODEL", help="Made by `skycue fit`, for everybody; repeatable."),
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
) -> None:
    """Serve the page and the API until Ctrl-C: PATHS to look at, uploads, boxes and maps.

    Without tokens only this machine can reach it; another --host needs some. A server that was
    killed goes on with its uploads and jobs when it is started again on the same --state.
    """
    from skycue.geo.preparation import harden_gdal

    harden_gdal()
    try:
        import uvicorn  # heavy, and only the extra `serve` has it: imported when used

        from skycue.config import load_config
        from skycue.device import resolve_device, resolve_dtype
        from skycue.service.model_loading import ModelLoading
        from skycue.service.service import SERVED_SUFFIXES, Service
        from skycue.service.settings import ServiceSettings
        from skycue.web.app import create_app
    except ModuleNotFoundError as error:
        from skycue.errors import MissingToolError

        raise MissingToolError(f"the server needs {error.name}: {EXTRA}.") from error
    limits = load_config(ServiceSettings, config, settings or [])
    place = resolve_device(device)
    known = _tokens(tokens, host)
    loading = ModelLoading(
        region_model=model,
        device=place,
        dtype=resolve_dtype(dtype, place),
        encodings=state / "encodings",
        encodings_bytes=limits.encodings_bytes,
    )
    service = Service(state, limits, loading)
    service.models.register(classifier or [])
    registered = service.register(paths or [])
    app = create_app(service, known, hosts=() if known.are_needed else LOOPBACK_NAMES)
    server = uvicorn.Server(uvicorn.Config(app, **UVICORN))
    with listening(host, port) as sockets:
        name, number = sockets[0].getsockname()[:2]
        address = f"[{name}]" if ":" in name else name
        where = f"http://{address}:{number}"
        typer.echo(f"skycue serves {registered.rasters} rasters at {where}", err=True)
        if registered.passed_over:
            typer.echo(
                f"passed over {registered.passed_over} files in folders that are none of "
                f"{SERVED_SUFFIXES}: convert rasters by `gdal_translate -of COG`",
                err=True,
            )
        with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
            server.run(sockets=sockets)


def _tokens(path: Path | None, host: str) -> "Tokens":
    """Return who may ask; nobody listens to other machines without a token.

    Raises:
        ConfigError: If a token is needed and there is none, or one is not allowed.
    """
    from skycue.errors import ConfigError
    from skycue.web.access import Tokens

    if path is not None:
        return Tokens.read(path)
    secret = os.environ.get(TOKEN_VARIABLE)
    if secret is None and host not in LOOPBACK:
        raise ConfigError(
            f"{host} can be reached by others, so a token is needed: write one a line into a file "
            f"for --tokens, or one into the environment variable {TOKEN_VARIABLE}."
        )
    return Tokens([] if secret is None else [secret])


@contextmanager
def listening(host: str, port: int) -> Iterator[list[socket.socket]]:
    """Listen at an address while the block runs.

    Raises:
        ConfigError: If it cannot be had.
    """
    from skycue.errors import ConfigError

    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(f"cannot listen at {host}:{port}: {error.strerror}.") from error
    with listener:
        yield [listener]
