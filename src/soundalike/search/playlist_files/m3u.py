"""Extended M3U, for most players, Mixxx among them, and as MPD stores it."""

from __future__ import annotations

import os
from collections.abc import Iterable

from soundalike.core.errors import one_line
from soundalike.search.playlist_files.entry import PlaylistEntry

__all__ = ["format_m3u", "line_misfit", "mpd_misfit", "mpd_path"]


def line_misfit(entry: PlaylistEntry) -> str | None:
    """Why the path of an entry cannot stand on a line of its own; None if it can."""
    return "its name contains a line break" if {"\n", "\r"} & set(entry.path) else None


def format_m3u(entries: Iterable[PlaylistEntry]) -> bytes:
    """An extended M3U in UTF-8, with the paths byte for byte. The entries must fit lines, see `line_misfit`.

    Example:
        >>> format_m3u([PlaylistEntry("/music/a.mp3", 61.2, "Some Song")])
        b'#EXTM3U\\n#EXTINF:61,Some Song\\n/music/a.mp3\\n'
    """
    lines = [b"#EXTM3U"]
    for entry in entries:
        # A line that starts with # is a comment, so a relative path must not.
        path = os.path.join(os.curdir, entry.path) if entry.path.startswith("#") else entry.path  # noqa: PTH118 - a text
        title = one_line(entry.shown).encode("utf-8", "replace")
        lines += [b"#EXTINF:%d,%s" % (round(entry.duration), title), os.fsencode(path)]
    return b"\n".join(lines) + b"\n"


def mpd_path(path: str, folder: str) -> str:
    """The name by which MPD knows a file: its path below the music directory `folder`, with slashes."""
    return os.path.relpath(path, folder).replace(os.sep, "/")


def mpd_misfit(entry: PlaylistEntry, folder: str) -> str | None:
    """Why MPD, with the music directory `folder`, cannot play an entry; None if it can."""
    if misfit := line_misfit(entry):
        return misfit
    try:
        path = mpd_path(entry.path, folder)
    except ValueError:  # another drive of Windows
        path = ".."
    if path == ".." or path.startswith("../"):
        return f"it is not below the music directory {folder}"
    return "MPD takes a name that starts with # for a comment" if path.startswith("#") else None
