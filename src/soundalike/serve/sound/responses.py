"""Answers that a player can seek in: whole, a range (RFC 9110, 14), or nothing if the client has them already."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from soundalike.serve.problems import ProblemError
from soundalike.serve.sound.media_types import media_type

__all__ = ["StoredFile", "bytes_response", "file_response", "range_headers", "range_responses"]

_CHUNK = 256 * 1024
"""Bytes of a file that are read at once."""
_SLICE = 64 * 1024
"""Bytes in memory that are sent at once: a client that reads slowly keeps the server from copying more."""
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it is on disk."""

    path: Path
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, label: str) -> StoredFile:
        """Look at a file. Raises ProblemError if there is none, which `label` names."""
        try:
            found = path.stat()
        except PermissionError:
            raise ProblemError(404, f"the file of {label} is not readable; change its permissions") from None
        except (OSError, ValueError):
            raise _missing(label) from None
        if not stat.S_ISREG(found.st_mode):
            raise _missing(label)
        return cls(path, found.st_size, found.st_mtime_ns)

    @property
    def key(self) -> tuple[str, int, int]:
        """What a result of its content may be kept under."""
        return os.fspath(self.path), self.size, self.mtime_ns


def _missing(label: str) -> ProblemError:
    return ProblemError(404, f"the file of {label} is not there; connect its disk, or index its folder again")


def file_response(request: Request, path: Path, name: str, label: str, *, save: bool = False) -> Response:
    """Return a file, or the range of it that a request asks for.

    Args:
        request: The request.
        path: The file.
        name: What a browser calls it when a user saves it.
        label: What problem documents call it.
        save: Whether a browser saves it rather than plays it.

    Raises:
        ProblemError: There is no such file, or the range lies behind its end.
    """
    StoredFile.of(path, label)  # opening a pipe would wait for a writer
    try:
        file = path.open("rb")
    except OSError:
        raise ProblemError(404, f"the file of {label} is not readable; change its permissions") from None
    try:
        found = os.fstat(file.fileno())
        headers = {
            "content-type": media_type(name, file.read(12)),
            "etag": f'"{found.st_mtime_ns:x}-{found.st_size:x}"',
            "last-modified": formatdate(found.st_mtime, usegmt=True),
            "content-disposition": _disposition(name, "attachment" if save else "inline"),
        }
        status, start, end = _select(request, found.st_size, headers)
    except BaseException:
        file.close()
        raise
    if status == 304 or request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_chunks(file, start, end), status, headers)


def bytes_response(request: Request, data: bytes, kind: str, etag: str, name: str) -> Response:
    """Return bytes, or the range of them that a request asks for.

    Args:
        request: The request.
        data: The bytes.
        kind: Their media type.
        etag: The entity tag, without quotes.
        name: What a browser calls them when a user saves them.

    Raises:
        ProblemError: The range lies behind the end.
    """
    headers = {"content-type": kind, "etag": f'"{etag}"', "content-disposition": _disposition(name)}
    status, start, end = _select(request, len(data), headers)
    if status == 304 or request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_slices(memoryview(data)[start:end]), status, headers)


def range_responses(content: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that answers with ranges, for the OpenAPI document; `content` is by media type."""
    return {
        200: {"description": "All of it.", "content": dict(content)},
        206: {"description": "The range that the Range header asks for.", "content": dict(content)},
        304: {"description": "It is what the client has: If-None-Match names its ETag."},
    }


def range_headers() -> dict[str, Any]:
    """The request headers of a route that answers with ranges, for the OpenAPI document."""
    text = {"type": "string"}
    described = {
        "Range": "The bytes to send, such as bytes=0-65535; several ranges, and invalid ones, are ignored.",
        "If-Range": "The ETag that the range is about; all of it is sent if it has another one.",
        "If-None-Match": "ETags that the client has; nothing is sent if one of them is current.",
    }
    return {
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": description, "schema": text}
            for name, description in described.items()
        ]
    }


def _select(request: Request, size: int, headers: dict[str, str]) -> tuple[int, int, int]:
    """The status, and the first byte and the end of what is sent; adds the headers that say so."""
    headers.update({"accept-ranges": "bytes", "cache-control": "private, no-cache"})
    if headers["etag"] in _tags(request.headers):
        return 304, 0, 0
    found = _range(request.headers, size, headers)
    start, end = found or (0, size)
    headers["content-length"] = str(end - start)
    if found:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    return (206 if found else 200), start, end


def _tags(headers: Headers) -> list[str]:
    return [one.strip().removeprefix("W/") for one in headers.get("if-none-match", "").split(",")]


def _range(headers: Headers, size: int, own: Mapping[str, str]) -> tuple[int, int] | None:
    """The range that a request asks for; None for all.

    A range that is invalid, or one of several, or of what has changed since, is ignored, as the standard allows.
    """
    condition = headers.get("if-range")
    if condition is not None and condition not in (own["etag"], own.get("last-modified")):
        return None
    found = re.fullmatch(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", headers.get("range", ""), re.IGNORECASE)
    if not found or not any(found.groups()):
        return None
    first, last = found.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < start:
        return None
    if start >= size:
        raise ProblemError(
            416,
            f"the range starts at byte {start:,} of {size:,}; ask for one inside",
            {"Content-Range": f"bytes */{size}"},
        )
    return start, end


def _disposition(name: str, kind: str = "inline") -> str:
    """A header that any name is safe in: all but letters, digits and a few marks is percent-encoded."""
    return f"{kind}; filename*=UTF-8''{quote(name[-_LONGEST_NAME:].encode('utf-8', 'replace'), safe='')}"


def _chunks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < end and (chunk := file.read(min(_CHUNK, end - start))):
            start += len(chunk)
            yield chunk


async def _slices(view: memoryview) -> AsyncIterator[memoryview]:
    for start in range(0, len(view), _SLICE):
        yield view[start : start + _SLICE]
