"""The page: one document for all its views, and its scripts and styles. Nothing is loaded from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from soundalike.serve.problems import ProblemError
from soundalike.serve.state import State

__all__ = ["router"]

router = APIRouter()
_PAGE = files("soundalike.serve") / "page"
_METHODS = ["GET", "HEAD"]
_LONGEST = 200
"""Characters of the path of a file; systems refuse much longer ones."""
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}


@router.api_route("/", methods=_METHODS)
@router.api_route("/compare", methods=_METHODS)
@router.api_route("/map", methods=_METHODS)
@router.api_route("/library", methods=_METHODS)
def document(server: State) -> Response:
    """The document; the address tells its script which view to show."""
    text = (_PAGE / "index.html").read_text("utf-8").replace("$nonce", server.nonce)
    return HTMLResponse(text, headers={"Cache-Control": "no-cache"})


@router.api_route("/assets/{path:path}", methods=_METHODS)
def asset(path: str) -> Response:
    """A script, style sheet or picture of the page."""
    parts = path.split("/")
    found = _PAGE.joinpath(*parts)
    kind = _TYPES.get(path.rpartition(".")[2])
    hidden = any(not part or part.startswith(".") or "\\" in part for part in parts)
    if kind is None or hidden or len(path) > _LONGEST or not found.is_file():
        raise ProblemError(404, f"the page has no file {path!r}")
    return Response(found.read_bytes(), media_type=kind, headers={"Cache-Control": "no-cache"})
