"""The picture that an audio file holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.audio.tag_fields import Section

__all__ = ["Cover", "read_cover"]

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


@dataclass(frozen=True, slots=True)
class Cover:
    """A picture as it is stored. `media_type` is that of its content, such as "image/jpeg"."""

    data: bytes
    media_type: str


def read_cover(path: str | os.PathLike[str]) -> Cover | None:
    """Return the front cover that a file holds, or else any other picture; None if it has none.

    What tags say about a picture is not trusted: only JPEG, PNG, GIF, BMP and WebP count as pictures.

    Raises:
        OSError: The file cannot be read.

    Example:
        >>> read_cover("song.mp3").media_type
        'image/jpeg'
    """
    from tinytag import TinyTag, TinyTagException

    with Path(path).open("rb") as file:
        section: Any = Section(file, 0)
        try:
            images = TinyTag.get(file_obj=section, duration=False, image=True).images
        except (TinyTagException, ValueError):  # a file without readable tags has no picture
            return None
    image = images.front_cover or images.any
    if image is None:
        return None
    kind = _media_type(image.data)
    return None if kind is None else Cover(image.data, kind)


def _media_type(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), None)
