"""What every request passes first: where it comes from, how large it is, how long it may take.

Written against ASGI itself, so that a body is refused while it arrives, before anything reads it.
"""

import asyncio
import json
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skycue.service.settings import ServiceSettings

UPLOADS = "/v1/uploads/"
STREAM = "/stream"
"""Paths that end so may take as long as they need."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SEND_TIMEOUT_S = 60.0
"""A client that takes nothing for so long is let go."""

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class _RefusedError(Exception):
    """A request that ends here."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class Gate:
    """Refuses requests before the application sees them, and adds headers to every answer."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServiceSettings,
        *,
        hosts: Iterable[str],
        is_open: bool,
    ) -> None:
        """Stand before an application.

        Args:
            app: The application.
            settings: Its limits.
            hosts: Names by which the server may be called; empty allows all.
            is_open: No token is needed, so pages of other sites must be kept out.
        """
        self._app, self._settings = app, settings
        self._hosts, self._is_open = frozenset(hosts), is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False
        refused: list[_RefusedError] = []

        async def send_on(message: Message) -> None:
            nonlocal has_begun
            if refused and not has_begun:
                return  # what the application makes of a body that it could not read
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await asyncio.wait_for(send(message), SEND_TIMEOUT_S)

        limit_s = None if scope["path"].endswith(STREAM) else self._settings.request_timeout_s
        try:
            self._check_source(scope)
            bounded = self._bounded(scope, receive, refused)
            await asyncio.wait_for(self._app(scope, bounded, send_on), limit_s)
        except _RefusedError as refusal:
            refused.append(refusal)
        except TimeoutError:
            busy = "this took too long: ask for less at once, or try again later."
            refused.append(_RefusedError(504, "TimeoutError", busy))
        if refused and not has_begun:
            told = refused[-1]
            refused.clear()  # so that `send_on` lets this answer through
            await _answer(send_on, told)

    def _check_source(self, scope: Scope) -> None:
        """Keep out other names of this server (DNS rebinding) and pages of other sites (CSRF)."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if self._hosts and name.lower() not in self._hosts:
            raise _RefusedError(
                421, "HostError", "this server is not called so: use the address that it printed."
            )
        if not self._is_open or scope["method"] in SAFE_METHODS:
            return
        origin = headers.get("origin")
        is_foreign = origin is not None and urlsplit(origin).netloc != host
        if is_foreign or headers.get("sec-fetch-site", "same-origin") not in (
            "same-origin",
            "none",
        ):
            raise _RefusedError(403, "OriginError", "pages of other sites may not ask this server.")

    def _bounded(self, scope: Scope, receive: Receive, refused: list[_RefusedError]) -> Receive:
        """Return `receive` with bounds on the size of the body and on pauses in it.

        What is refused is noted too, for an application may take the exception for its own.
        """
        settings, path = self._settings, scope["path"]
        is_chunk = scope["method"] == "PUT" and path.startswith(UPLOADS)
        limit = settings.chunk_bytes if is_chunk else settings.max_body_bytes
        too_large = _RefusedError(
            413, "TooLargeError", f"the body of this request has more than {limit:,} bytes."
        )
        stated = Headers(scope=scope).get("content-length", "0")
        if not (stated.isascii() and stated.isdigit() and len(stated) < 20):
            raise _RefusedError(400, "HeaderError", "the header Content-Length is no number.")
        if int(stated) > limit:
            raise too_large
        arrived, is_complete = 0, False

        async def receive_some() -> Message:
            nonlocal arrived, is_complete
            if is_complete:  # what follows is only the news that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), settings.body_timeout_s)
            except TimeoutError as error:
                late = "the body of this request did not arrive in time."
                refused.append(_RefusedError(408, "TimeoutError", late))
                raise refused[-1] from error
            if message["type"] == "http.request":
                arrived += len(message.get("body", b""))
                is_complete = not message.get("more_body", False)
                if arrived > limit:
                    refused.append(too_large)
                    raise too_large
            return message

        return receive_some


async def _answer(send: Send, refusal: _RefusedError) -> None:
    content = json.dumps({"error": {"type": refusal.kind, "message": refusal.message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
