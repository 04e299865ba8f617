"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from soundalike.core.errors import (
    AudioError,
    LibraryBusyError,
    LibraryError,
    LibraryNotFoundError,
    ModelError,
    SoundalikeError,
    UsageError,
    one_line,
)

__all__ = ["PROBLEMS", "Problem", "ProblemError", "add_problem_handlers", "describe_errors", "problem_response"]

_TYPE = "application/problem+json"
_SHOWN = 5
"""Errors of a request that are named in one sentence."""
_CLIENT_LEFT = 499
"""The status, used by nginx too, of a request that its client gave up."""


class Problem(BaseModel):
    """Why a request could not be answered (RFC 9457). `detail` is one sentence."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "model": Problem,
        "description": description,
        "content": {_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in {
        "4XX": "The request cannot be answered.",
        "5XX": "The server or its library failed.",
    }.items()
}
"""What every route declares besides its answer."""


class ProblemError(Exception):
    """A request that cannot be answered.

    Args:
        status: The HTTP status.
        detail: One sentence: what was found, what was expected, what to do.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return a problem document."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=one_line(detail)).model_dump()
    return Response(json.dumps(body), status, media_type=_TYPE, headers=headers)


_STATUS: Sequence[tuple[type[SoundalikeError], int]] = (
    (UsageError, 400),
    (ModelError, 400),
    (AudioError, 422),
    (LibraryNotFoundError, 404),
    (LibraryBusyError, 409),
    (LibraryError, 503),
)
"""The first class that an error belongs to decides."""


def add_problem_handlers(app: FastAPI) -> None:
    """Answer errors of an app with problem documents."""

    @app.exception_handler(ProblemError)
    async def _known(_: Request, error: ProblemError) -> Response:
        return problem_response(error.status, error.detail, error.headers)

    @app.exception_handler(SoundalikeError)
    async def _ours(_: Request, error: SoundalikeError) -> Response:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
        return problem_response(status, str(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        return problem_response(422, describe_errors(error.errors()))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return problem_response(error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    async def _gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=_CLIENT_LEFT)  # nobody reads it, but it is counted

    @app.exception_handler(Exception)
    async def _unexpected(_: Request, error: Exception) -> Response:
        return problem_response(500, "the server failed; its log has the reason")


def describe_errors(errors: Sequence[Any]) -> str:
    """Return one sentence about the parts of a request that are invalid, as pydantic lists them."""
    parts = []
    for error in errors[:_SHOWN]:
        place = ".".join(str(one) for one in error["loc"] if one not in ("body", "query", "path"))
        message = str(error["msg"]).removeprefix("Value error, ")
        parts.append(f"{place}: {message}" if place else message)
    more = len(errors) - _SHOWN
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
