"""A request: its parameters, and who asks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from soundalike.serve.music_index import MusicIndex
from soundalike.serve.opensubsonic.envelope import Payload, SubsonicError
from soundalike.serve.security import is_token
from soundalike.serve.state import Server

__all__ = ["Call", "Endpoint", "Parameters", "check_login"]

_MOST_FIELDS = 10_000
"""Parameters of one request: a client may report that it played many songs."""


class Parameters:
    """The parameters of a request: those of the address, then those of a form."""

    def __init__(self, *encoded: str) -> None:
        """Read parameters as they are encoded in addresses and forms. Raises SubsonicError if there are too many."""
        self._values: dict[str, list[str]] = {}
        for text in encoded:
            try:
                found = parse_qs(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
            except ValueError as error:
                raise SubsonicError(0, f"the request has more than {_MOST_FIELDS:,} parameters") from error
            for name, values in found.items():
                self._values.setdefault(name, []).extend(values)

    def get(self, name: str) -> str | None:
        """A parameter, or None."""
        values = self._values.get(name)
        return values[0] if values else None

    def require(self, name: str) -> str:
        """A parameter. Raises SubsonicError if it is missing."""
        value = self.get(name)
        if value is None:
            raise SubsonicError(10, f"the parameter {name!r} is missing")
        return value

    def number(self, name: str, default: int, most: int | None = None) -> int:
        """A whole number of 0 or more; larger ones than `most` become `most`. Raises SubsonicError."""
        text = self.get(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise SubsonicError(0, f"{name} is {text[:40]!r}, expected a whole number of 0 or more")
        return int(text) if most is None else min(int(text), most)

    def year(self, name: str) -> int | None:
        """A year, or None. Raises SubsonicError if it is no number."""
        return self.number(name, 0) if self.get(name) else None


@dataclass(frozen=True, slots=True)
class Call:
    """A request for an endpoint."""

    server: Server
    request: Request
    parameters: Parameters

    @property
    def index(self) -> MusicIndex:
        """The songs, albums and artists of the library."""
        return self.server.music.get()


Endpoint: TypeAlias = Callable[[Call], Payload | Response]
"""Answers a request: what the envelope holds, or a file. Raises SubsonicError."""


def check_login(parameters: Parameters, token: str | None) -> None:
    """Check who asks: with an API key, a salted hash, or a password, all of which are the token of the server.

    Args:
        parameters: The parameters of the request.
        token: The token; None lets anyone in, as on a server that only this machine reaches.

    Raises:
        SubsonicError: A parameter is missing (10) or wrong (40, 44), or parameters contradict each other (43).
    """
    for name in ("v", "c"):
        parameters.require(name)
    key = parameters.get("apiKey")
    password, salted = parameters.get("p"), parameters.get("t") is not None or parameters.get("s") is not None
    if key is not None:
        if parameters.get("u") is not None or password is not None or salted:
            raise SubsonicError(43, "the request has an apiKey and other credentials; send one of them")
        if token is not None and not is_token(key, token):
            raise SubsonicError(44, "the API key is wrong; use the token of the server")
        return
    if not parameters.require("u"):
        raise SubsonicError(40, "the user name is empty; use any other")
    if password is not None and salted:
        raise SubsonicError(43, "the request has a password and a salted token; send one of them")
    if password is None:
        digest, salt = parameters.require("t"), parameters.require("s")
        given = token is None or is_token(digest.lower(), _digest(token, salt))
    else:
        given = token is None or is_token(_decoded(password), token)
    if not given:
        raise SubsonicError(40, "wrong user name or password; the password is the token of the server")


def _digest(token: str, salt: str) -> str:
    return hashlib.md5(f"{token}{salt}".encode(), usedforsecurity=False).hexdigest()


def _decoded(password: str) -> str:
    """A password, which may be written as hexadecimal digits."""
    if not password.startswith("enc:"):
        return password
    try:
        return bytes.fromhex(password.removeprefix("enc:")).decode("utf-8", "replace")
    except ValueError:
        return password
