"""Pictures in tags."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cover", "read_cover"]

_LARGEST = 10 * 1024 * 1024
_MOST_READ = 1 << 26
"""Bytes that tinytag may read at once: more than any cover, less than what a wrong size asks for."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A picture and its media type, which is that of its content, whatever the tag says."""

    data: bytes
    media_type: str


class _File(io.FileIO):
    """A file that refuses to read a wrong size into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_READ:
            raise ValueError(f"a field of {size} bytes")
        return super().read(size) or b""


def read_cover(path: Path) -> Cover | None:
    """Return the front cover in the tags of a file, or another picture if there is none; None if there are no pictures.

    JPEG, PNG, WebP and GIF of at most 10 MB are pictures. Unreadable tags have none.

    Raises:
        OSError: The file cannot be read.
    """
    from tinytag import TinyTag, TinyTagException

    with _File(path) as file:
        source: Any = file
        try:
            images = TinyTag.get(file_obj=source, duration=False, image=True).images
        except (TinyTagException, ValueError):
            return None
        found = [images.front_cover, *(one for some in images.as_dict().values() for one in some)]
    for image in found:
        if image is not None and len(image.data) <= _LARGEST and (kind := _media_type(image.data)):
            return Cover(image.data, kind)
    return None


def _media_type(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None
