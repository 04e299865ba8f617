"""The app: the HTTP interface, OpenSubsonic and the page over one library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI

from soundalike import __version__
from soundalike.api import Library
from soundalike.serve.body_limit import BodyLimit
from soundalike.serve.metrics import CountRequests
from soundalike.serve.opensubsonic import router as opensubsonic
from soundalike.serve.problems import add_problem_handlers
from soundalike.serve.rate_limits import RateLimits
from soundalike.serve.routes import ROUTERS
from soundalike.serve.routes.page import router as page
from soundalike.serve.security import Guard
from soundalike.serve.settings import ServerSettings
from soundalike.serve.state import Server

__all__ = ["API", "create_app"]

API = "/api/v1"
_DESCRIPTION = """
Find music that sounds alike, and see why.

A score of 0 is what two random recordings score on average, and 1 is one standard deviation more alike. The shares of
the spaces sum to the score. Times are in seconds, percentiles are 0 to 100. Every error is a problem document
(RFC 9457) whose `detail` is one sentence.
"""


def create_app(library: Library, settings: ServerSettings | None = None) -> FastAPI:
    """Make the ASGI app that serves a library.

    Args:
        library: The library. It stays open when the app shuts down.
        settings: The settings; None takes the defaults.

    Example:
        >>> app = create_app(soundalike.open("library"))
    """
    settings = settings or ServerSettings()
    server = Server.of(library, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await anyio.to_thread.run_sync(server.close)

    app = FastAPI(
        title="soundalike", version=__version__, description=_DESCRIPTION, openapi_url="/openapi.json", docs_url=None,
        redoc_url=None, lifespan=lifespan, license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    app.state.server = server
    add_problem_handlers(app)
    for router in ROUTERS:
        app.include_router(router, prefix=API)
    app.include_router(opensubsonic, prefix="/rest", include_in_schema=False)
    app.include_router(page, include_in_schema=False)
    _describe_token(app)
    # The middleware that is added last sees a request first. Wrong tokens count towards the limit of a client.
    app.add_middleware(BodyLimit)
    app.add_middleware(Guard, settings=settings, nonce=server.nonce)
    if settings.requests_per_second is not None:
        app.add_middleware(RateLimits, rate=settings.requests_per_second)
    app.add_middleware(CountRequests, metrics=server.metrics)
    return app


def _describe_token(app: FastAPI) -> None:
    """Say in the OpenAPI document how a client sends the token, which servers for this machine alone do not need."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = make()
            schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["token"] = {"type": "http", "scheme": "bearer"}
            document["security"] = [{"token": []}, {}]
        return make()

    app.openapi = openapi  # type: ignore[method-assign]
