"""Which function answers which endpoint, over GET and POST, with and without `.view`."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from soundalike.core.errors import AudioError, SoundalikeError
from soundalike.serve.opensubsonic import browsing, lists, media, similar, system
from soundalike.serve.opensubsonic.envelope import FORMATS, SubsonicError, envelope
from soundalike.serve.opensubsonic.request import Call, Endpoint, Parameters, check_login
from soundalike.serve.problems import ProblemError
from soundalike.serve.state import Server, State

__all__ = ["router"]

router = APIRouter()
_ENDPOINTS: Mapping[str, Endpoint] = {
    **system.ENDPOINTS,
    **browsing.ENDPOINTS,
    **lists.ENDPOINTS,
    **media.ENDPOINTS,
    **similar.ENDPOINTS,
}
_PUBLIC = ("getOpenSubsonicExtensions",)
"""Endpoints that need no login."""
_LARGEST_FORM = 1024 * 1024


@router.api_route("/{name}", methods=["GET", "HEAD", "POST"])
async def answer(server: State, request: Request, name: str) -> Response:
    """Answer any endpoint."""
    form = b""
    if request.headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded":
        async for chunk in request.stream():
            form += chunk
            if len(form) > _LARGEST_FORM:
                return envelope(SubsonicError(0, f"a form has at most {_LARGEST_FORM:,} bytes", 413), "xml")
    return await run_in_threadpool(_answer, server, request, name.removesuffix(".view"), form)


def _answer(server: Server, request: Request, name: str, form: bytes) -> Response:
    shown = "xml"
    try:
        parameters = Parameters(request.url.query, form.decode("utf-8", "replace"))
        asked = parameters.get("f") or "xml"
        shown = "json" if asked in ("json", "jsonp") else "xml"
        if asked not in FORMATS:
            # A page of any site can run JSONP as a script, and so read the library of a server without a token.
            raise SubsonicError(0, f"f is {asked[:40]!r}, expected one of {', '.join(FORMATS)}")
        found = _result(Call(server, request, parameters), name)
        response = found if isinstance(found, Response) else envelope(found, shown)
    except SubsonicError as error:
        response = envelope(error, shown)
    except ProblemError as error:
        missing = error.status == 404
        response = envelope(SubsonicError(70 if missing else 0, error.detail, 200 if missing else error.status), shown)
        response.headers.update(error.headers or {})
    if server.settings.token is not None:
        # Players that run in a browser are pages of another site. Without the token they learn nothing.
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _result(call: Call, name: str) -> Mapping[str, object] | Response:
    endpoint = _ENDPOINTS.get(name)
    if name not in _PUBLIC:
        check_login(call.parameters, call.server.settings.token)
    if endpoint is None:
        raise SubsonicError(0, f"this server has no endpoint {name[:40]!r}", 404)
    try:
        return endpoint(call)
    except AudioError as error:
        raise SubsonicError(0, "the recording cannot be read") from error
    except SoundalikeError as error:
        # Messages of the library name folders of this machine.
        raise SubsonicError(0, "the library cannot be searched; look at it with: soundalike library info") from error
