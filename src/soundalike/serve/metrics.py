"""Numbers for Prometheus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundalike.api import Library

if TYPE_CHECKING:
    from soundalike.serve.jobs.runner import JobRunner
    from soundalike.serve.uploads import Uploads

__all__ = ["CountRequests", "Metrics"]

_METHODS = ("GET", "HEAD", "POST", "DELETE")
_PREFIXES = ("/api/v1", "/rest")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one server."""

    def __init__(self, library: Library, jobs: JobRunner, uploads: Uploads) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "soundalike_requests", "Requests by route, method and status.", ["route", "method", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "soundalike_request_seconds", "Seconds until the answer was sent.", ["route"], buckets=_BUCKETS,
            registry=self._registry,
        )  # fmt: skip
        Gauge("soundalike_tracks", "Tracks of the library.", registry=self._registry).set_function(lambda: len(library))
        Gauge("soundalike_uploads", "Uploads that are kept.", registry=self._registry).set_function(
            lambda: len(uploads)
        )
        Gauge("soundalike_jobs_running", "Jobs that run or wait.", registry=self._registry).set_function(
            lambda: jobs.unfinished
        )

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self._registry)


def _route(scope: Scope) -> str:
    """The template of the path of a request, such as /api/v1/tracks/{track_id}."""
    path = getattr(scope.get("route"), "path", None)
    if path is None:
        return "other"
    prefix = next((one for one in _PREFIXES if scope["path"].startswith(f"{one}/")), "")
    return path if path.startswith(f"{prefix}/") else prefix + path


class CountRequests:
    """An ASGI middleware that counts requests by the route that answered."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def count(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, count)
        finally:
            # Anyone may send any path and any method, and each label is kept for ever.
            route = _route(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)
