"""How large the body of a request may be."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimit"]

_LARGEST = 1024 * 1024
_OWN_LIMITS = ("/api/v1/uploads", "/api/v1/search/batch", "/rest/")
"""Paths whose routes read their bodies as a stream, and have limits of their own."""


class BodyLimit:
    """An ASGI middleware that answers 413 when more than a megabyte is sent, before anything parses it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; reading more of its body than is allowed fails."""
        if scope["type"] != "http" or scope["path"].startswith(_OWN_LIMITS):
            await self._app(scope, receive, send)
            return
        size = 0

        async def receive_some() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > _LARGEST:
                raise HTTPException(413, f"the body has more than {_LARGEST:,} bytes; send less at a time")
            return message

        await self._app(scope, receive_some, send)
