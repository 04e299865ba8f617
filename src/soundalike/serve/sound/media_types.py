"""The media types of audio files, by content where it tells, else by suffix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

__all__ = ["MEDIA_TYPES", "media_type"]

_UNKNOWN = "application/octet-stream"
_BY_SUFFIX: Mapping[str, str] = {
    **dict.fromkeys((".mp3", ".mp2", ".mp1", ".mpa", ".m1a", ".m2a"), "audio/mpeg"),
    **dict.fromkeys((".m4a", ".m4b", ".m4r", ".f4a", ".f4b"), "audio/mp4"),
    **dict.fromkeys((".oga", ".ogg", ".opus", ".spx"), "audio/ogg"),
    **dict.fromkeys((".wav", ".wave", ".bwf", ".rf64"), "audio/wav"),
    **dict.fromkeys((".aif", ".aifc", ".aiff"), "audio/aiff"),
    **dict.fromkeys((".aac", ".adts"), "audio/aac"),
    **dict.fromkeys((".mp4", ".m4v", ".f4v"), "video/mp4"),
    **dict.fromkeys((".mkv", ".mk3d"), "video/x-matroska"),
    **dict.fromkeys((".mpg", ".mpeg", ".mpe", ".m2p", ".vob"), "video/mpeg"),
    **dict.fromkeys((".mov", ".qt"), "video/quicktime"),
    **dict.fromkeys((".au", ".snd"), "audio/basic"),
    ".flac": "audio/flac", ".caf": "audio/x-caf", ".mka": "audio/x-matroska", ".weba": "audio/webm",
    ".webm": "video/webm", ".ogv": "video/ogg", ".wma": "audio/x-ms-wma", ".wv": "audio/x-wavpack",
    ".mpc": "audio/x-musepack", ".ape": "audio/x-ape", ".avi": "video/x-msvideo",
}  # fmt: skip
MEDIA_TYPES = tuple(sorted({*_BY_SUFFIX.values(), _UNKNOWN}))
"""All media types that files of the library may have. None of them is a document that a browser would run."""


def media_type(name: str, head: bytes = b"") -> str:
    """Return the media type of an audio file.

    Args:
        name: Its name.
        head: Its first 12 bytes; without them the suffix decides.

    Example:
        >>> media_type("song.mp3", b"fLaC" + bytes(8))
        'audio/flac'
    """
    by_name = _BY_SUFFIX.get(PurePath(name).suffix.lower(), _UNKNOWN)
    if head.startswith(b"fLaC"):
        return "audio/flac"
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "audio/wav"
    if head.startswith(b"OggS"):
        return "video/ogg" if by_name == "video/ogg" else "audio/ogg"
    if head.startswith(b"FORM") and head[8:11] == b"AIF":
        return "audio/aiff"
    if head[4:8] == b"ftyp" and by_name not in ("video/mp4", "video/quicktime"):
        return "audio/mp4"
    if head.startswith(b"ID3") and by_name == _UNKNOWN:
        return "audio/mpeg"
    return by_name
