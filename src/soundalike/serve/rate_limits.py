"""How many requests one client may make: a token bucket per address."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from soundalike.serve.problems import problem_response

__all__ = ["RateLimits"]

_BURST = 10.0
"""Seconds of requests that a client may make at once."""
_CLIENTS = 10_000


class RateLimits:
    """An ASGI middleware that refuses requests of clients that make too many.

    Args:
        app: The app.
        rate: Requests per second on average.
        clock: Tells the time in seconds.
    """

    def __init__(self, app: ASGIApp, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app, self._rate, self._clock = app, rate, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with status 429."""
        if scope["type"] == "http":
            wait = self._wait((scope.get("client") or ("unknown",))[0])
            if wait:
                detail = f"more than {self._rate:g} requests per second; try again in {wait} s"
                await problem_response(429, detail, {"Retry-After": str(wait)})(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _wait(self, client: str) -> int:
        """Seconds that a client has to wait; 0 if its request may pass."""
        now, full = self._clock(), max(1.0, self._rate * _BURST)
        level, before = self._buckets.pop(client, (full, now))
        level = min(full, level + (now - before) * self._rate)
        passes = level >= 1
        self._buckets[client] = (level - passes, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0 if passes else max(1, math.ceil((1 - level) / self._rate))
