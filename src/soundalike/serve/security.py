"""Who may ask: Host and Origin headers, tokens, and the headers that browsers obey.

A page of any site can make a browser send requests to 127.0.0.1, and DNS rebinding lets it read the answers. So a
request must name the server in its Host header, and a request that changes something must not come from another origin.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundalike.serve.problems import problem_response
from soundalike.serve.settings import ServerSettings

__all__ = ["Guard", "is_token"]

_LOCAL = ("127.0.0.1", "localhost", "::1")
_COOKIE_SECONDS = 30 * 24 * 3600
_SAFE = ("GET", "HEAD", "OPTIONS")
_OPEN = ("/api/v1/health",)
"""Paths that need no token, for health checks."""
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_token(given: str | None, expected: str) -> bool:
    """Whether a token is the right one, in a time that does not depend on where it differs."""
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), expected.encode())


class Guard:
    """An ASGI middleware that refuses requests, and adds headers to answers.

    Args:
        app: The app to guard.
        settings: The settings of the server.
        nonce: The nonce of the style sheets that the page's scripts add.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, nonce: str) -> None:
        self._app, self._settings, self._nonce = app, settings, nonce
        self._names = {name.lower() for name in (*_LOCAL, settings.host, *settings.names)}
        # Browsers send a cookie to all ports of a host. So it does not hold the token itself.
        secret = (settings.token or "").encode()
        self._session = hmac.new(secret, b"session", hashlib.sha256).hexdigest()
        self._cookie = f"soundalike_{hmac.new(secret, b'name', hashlib.sha256).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refuse(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value.replace("{nonce}", self._nonce))
            await send(message)

        await (refused or self._app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that is not passed on."""
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        host = headers.get("host", "")
        if not self._is_own(host):
            return problem_response(
                421, f"the request is for the host {host!r}, which is not this server; start it with --name to allow it"
            )
        origin = headers.get("origin")
        if origin is not None and method not in _SAFE and origin.partition("://")[2] != host:
            return problem_response(403, f"the request comes from a page of {origin!r}; use the page of this server")
        if origin is None and method not in _SAFE and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return problem_response(403, "the request comes from a page of another site; use the page of this server")
        return self._check_token(scope, headers, path)

    def _is_own(self, host: str) -> bool:
        name = re.sub(r":\d*$", "", host).strip("[]").lower()
        return name in self._names or (self._settings.host in ("0.0.0.0", "::") and _is_address(name))

    def _check_token(self, scope: Scope, headers: Headers, path: str) -> Response | None:
        expected = self._settings.token
        if expected is None or path in _OPEN or path.startswith("/rest/"):  # OpenSubsonic has its own way to log in
            return None
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and is_token(bearer.strip(), expected):
            return None
        if is_token(cookie_parser(headers.get("cookie", "")).get(self._cookie), self._session):
            return None
        if scope["method"] == "GET" and path == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if is_token(given, expected):
                answer = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
                answer.set_cookie(
                    self._cookie, self._session, httponly=True, samesite="strict", max_age=_COOKIE_SECONDS,
                    secure=headers.get("x-forwarded-proto") == "https",
                )  # fmt: skip
                return answer
        return problem_response(
            401,
            "the request has no valid token; send the header 'Authorization: Bearer TOKEN', or open the address with "
            "?token=TOKEN that the server printed",
            {"WWW-Authenticate": "Bearer"},
        )


def _is_address(name: str) -> bool:
    """Whether a host is an address. Rebinding needs a name, so any address of this machine will do."""
    return bool(re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}|[0-9a-f:]+:[0-9a-f:.]*", name))
