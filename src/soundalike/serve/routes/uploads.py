"""Uploads: recordings that are no files of the library."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from soundalike.serve.problems import PROBLEMS
from soundalike.serve.state import State
from soundalike.serve.uploads import Upload

__all__ = ["router"]

router = APIRouter(tags=["uploads"], responses=PROBLEMS)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class UploadRecord(BaseModel):
    """A recording that was sent. Requests name it by `id`."""

    id: str
    name: str
    duration: float
    title: str | None
    artist: str | None
    warning: str | None

    @classmethod
    def of(cls, upload: Upload) -> UploadRecord:
        """Return the record of an upload."""
        artist = ", ".join(upload.tags.artists) or None
        return cls(
            id=upload.id, name=upload.name, duration=upload.duration, title=upload.tags.title, artist=artist,
            warning=upload.warning,
        )  # fmt: skip


@router.post("/uploads", status_code=201, openapi_extra=_BODY)
async def upload(
    server: State,
    request: Request,
    name: Annotated[str, Query(max_length=1000, description="What answers call the recording.")] = "recording",
) -> UploadRecord:
    """Send a recording: the bytes of an audio file as the body.

    It is decoded and kept until the server stops or later uploads replace it, and never written under its own name.
    """
    stated = request.headers.get("content-length", "")
    size = int(stated) if stated.isdecimal() and len(stated) < 20 else None
    return UploadRecord.of(await server.uploads.add(name, request.stream(), size, request.is_disconnected))


@router.get("/uploads/{upload_id}")
def show_upload(server: State, upload_id: str) -> UploadRecord:
    """Show an upload."""
    return UploadRecord.of(server.uploads.get(upload_id))


@router.delete("/uploads/{upload_id}", status_code=204)
def remove_upload(server: State, upload_id: str) -> Response:
    """Remove an upload."""
    server.uploads.remove(upload_id)
    return Response(status_code=204)
