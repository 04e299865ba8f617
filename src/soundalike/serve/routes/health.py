"""Whether the server works, and its metrics."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from soundalike import __version__
from soundalike.serve.problems import PROBLEMS
from soundalike.serve.state import State

__all__ = ["router"]

router = APIRouter(tags=["server"], responses=PROBLEMS)


class Health(BaseModel):
    """The server answers and can read its library."""

    status: Literal["ok"] = "ok"
    version: str
    tracks: int


@router.head("/health", include_in_schema=False)
@router.get("/health")
def health(server: State) -> Health:
    """Whether the server can read its library. Needs no token."""
    return Health(version=__version__, tracks=len(server.library))


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(server: State) -> Response:
    """Numbers for Prometheus."""
    return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
