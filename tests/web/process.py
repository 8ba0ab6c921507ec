"""A server in a process of its own, which a test may kill: `python -m tests.web.process FOLDER`.

It serves as `skycue serve` does, with the made-up models of `serving.py`, so that it starts soon.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.web.serving import TOKENS, TinyModels


class ServerProcess:
    """A running server."""

    def __init__(self, folder: Path, **set_to: Any) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "tests.web.process", str(folder), json.dumps(set_to)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            self.process.wait()
            self._close()
            raise AssertionError("the server did not start")

    def client(self, token: str = TOKENS[0], timeout_s: float = 60.0) -> httpx.Client:
        """Return a client of one owner."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=timeout_s)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def stop(self) -> int:
        """End it as Ctrl-C does, and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=60)
        self._close()
        return status

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextmanager
def running(folder: Path, **set_to: Any) -> Iterator[ServerProcess]:
    """Run a server while the block runs, unless the block ends it itself."""
    server = ServerProcess(folder, **set_to)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def _serve(folder: Path, set_to: dict[str, Any]) -> None:
    import uvicorn

    from skycue.cli.serve import UVICORN, listening
    from skycue.geo.preparation import harden_gdal
    from skycue.service.service import Service
    from skycue.service.settings import ServiceSettings
    from skycue.web.access import Tokens
    from skycue.web.app import create_app

    harden_gdal()
    tokens = [*TOKENS, *(f"token-of-client-{n:04d}" for n in range(60))]
    service = Service(folder, ServiceSettings(**set_to), TinyModels())
    server = uvicorn.Server(uvicorn.Config(create_app(service, Tokens(tokens)), **UVICORN))
    with listening("127.0.0.1", 0) as sockets:
        sys.stdout.write(f"http://127.0.0.1:{sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):  # Ctrl-C is how a server ends
            server.run(sockets=sockets)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), json.loads(sys.argv[2]))
