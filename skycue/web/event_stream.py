"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from pydantic import JsonValue

from skycue.service.describing import Event

KEEP_ALIVE_S = 10.0
"""A comment is sent when nothing else was for so long, so that proxies keep the connection."""


class Mailbox:
    """Brings events from threads to one coroutine; whoever puts one in never waits."""

    def __init__(self) -> None:
        """Open it for the coroutine that runs."""
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        """Take an event from any thread; nobody misses one after the server has ended."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def next(self, timeout_s: float | None = None) -> Event | None:
        """Return the next event; None if there is none in time."""
        try:
            return await asyncio.wait_for(self._events.get(), timeout_s)
        except TimeoutError:
            return None


def message(kind: str, data: JsonValue) -> bytes:
    """Write one event; JSON holds no line break, so nothing in `data` can begin another event."""
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def stream_boxes(mailbox: Mailbox, n_boxes: int) -> StreamingResponse:
    """Send the events of a request until each of its boxes has been answered."""

    async def events() -> AsyncIterator[bytes]:
        left, answers = n_boxes, 0
        yield b": the answers follow\n\n"
        while left:
            event = await mailbox.next(KEEP_ALIVE_S)
            if event is None:
                yield b": still here\n\n"
                continue
            left -= event.kind != "token"
            answers += event.kind == "answer"
            yield message(event.kind, event.data)
        yield message("done", {"answers": answers})

    headers = {"X-Accel-Buffering": "no"}  # proxies pass each event on at once
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)
