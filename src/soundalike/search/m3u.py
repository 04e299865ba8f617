"""Playlists as text: extended M3U."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from soundalike.core.errors import one_line

__all__ = ["PlaylistEntry", "format_m3u"]


@dataclass(frozen=True, slots=True)
class PlaylistEntry:
    """One line of a playlist: an absolute path, the length in seconds, and what players show."""

    path: str
    duration: float
    title: str

    @property
    def fits(self) -> bool:
        """Whether the format can hold the path: a line break in it cannot be written."""
        return not {"\n", "\r"} & set(self.path)


def format_m3u(entries: Iterable[PlaylistEntry]) -> bytes:
    """An extended M3U in UTF-8 with absolute paths, byte for byte; entries that do not fit the format are left out.

    Example:
        >>> format_m3u([PlaylistEntry("/music/a.mp3", 61.2, "Some Song")])
        b'#EXTM3U\\n#EXTINF:61,Some Song\\n/music/a.mp3\\n'
    """
    lines = [b"#EXTM3U"]
    for entry in entries:
        if entry.fits:
            lines += [f"#EXTINF:{round(entry.duration)},{one_line(entry.title)}".encode(), os.fsencode(entry.path)]
    return b"\n".join(lines) + b"\n"
