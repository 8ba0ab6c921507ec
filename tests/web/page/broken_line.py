"""A line to a server that can be cut in the middle of anything, and mended."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PIECE = 65536


class Line:
    """Passes bytes on between clients and a server until it is cut."""

    def __init__(self, address: str) -> None:
        """Listen on a free port.

        Args:
            address: Of the server, http://HOST:PORT.
        """
        to = urlsplit(address)
        assert to.hostname is not None
        assert to.port is not None
        self._to = (to.hostname, to.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._is_cut = threading.Event()
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and every new one at once."""
        self._is_cut.set()
        for end in list(self._open):
            _shut(end)

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut.clear()

    def close(self) -> None:
        """End for good."""
        self.cut()
        _shut(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                if self._is_cut.is_set():
                    _shut(client)
                    continue
                server = socket.create_connection(self._to)
                self._open |= {client, server}
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, from_end: socket.socket, to_end: socket.socket) -> None:
        with suppress(OSError):  # the other side went away
            while piece := from_end.recv(PIECE):
                to_end.sendall(piece)
        for end in (from_end, to_end):
            _shut(end)
            self._open.discard(end)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def line_to(address: str) -> Iterator[Line]:
    """Lay a line to a server."""
    line = Line(address)
    try:
        yield line
    finally:
        line.close()
