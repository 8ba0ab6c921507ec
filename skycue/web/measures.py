"""What the server measures of itself, in the text format of Prometheus."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
UNKNOWN = "unknown"
"""Stands for all paths that lead nowhere, so that strangers cannot make up measures."""


class Measures:
    """Counters of one server."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "skycue_requests_total",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "skycue_request_seconds",
            "Time from a request to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "skycue_requests_in_progress", "Requests that are being answered.",
            registry=self.registry,
        )  # fmt: skip
        self.waiting_boxes = Gauge(
            "skycue_waiting_boxes", "Boxes that wait for the region model.", registry=self.registry
        )
        self.batch_boxes = Histogram(
            "skycue_batch_boxes",
            "Boxes that the region model answered at once.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )

    def waiting(self, boxes: int) -> None:
        """Note how many boxes wait."""
        self.waiting_boxes.set(boxes)

    def batch(self, boxes: int) -> None:
        """Note that a batch of boxes is answered."""
        self.batch_boxes.observe(boxes)

    def text(self) -> bytes:
        """Return all measures as Prometheus reads them."""
        return generate_latest(self.registry)


class Measured:
    """Counts the requests of an application, by the pattern of their route."""

    def __init__(self, app: ASGIApp, measures: Measures, prefix: str) -> None:
        """Stand before an application, most of whose routes lie below a prefix."""
        self._app, self._measures, self._prefix = app, measures, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, begin = 500, time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._measures.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, send_on)
            finally:
                route = self._route_of(scope)
                method = scope["method"] if route != UNKNOWN else UNKNOWN
                self._measures.requests.labels(method, route, str(status)).inc()
                self._measures.seconds.labels(route).observe(time.perf_counter() - begin)

    def _route_of(self, scope: Scope) -> str:
        """Return the pattern of the route that answered, such as /v1/rasters/{raster}."""
        pattern: str = getattr(scope.get("route"), "path", UNKNOWN)
        is_below = scope["path"].startswith(f"{self._prefix}/")
        if pattern == UNKNOWN or not is_below or pattern.startswith(f"{self._prefix}/"):
            return pattern
        return f"{self._prefix}{pattern}"  # FastAPI tells a route as its router has it
