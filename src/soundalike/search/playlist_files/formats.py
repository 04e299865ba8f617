"""The formats of playlists, and one function that makes a file of any of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from soundalike.core.arguments import as_choice
from soundalike.core.errors import UsageError
from soundalike.search.playlist_files.entry import PlaylistEntry, xml_misfit
from soundalike.search.playlist_files.m3u import format_m3u, line_misfit, mpd_misfit, mpd_path
from soundalike.search.playlist_files.rekordbox import format_rekordbox
from soundalike.search.playlist_files.traktor import format_traktor

__all__ = ["PLAYLIST_FORMATS", "PLAYLIST_SUFFIXES", "PlaylistFile", "format_of", "make_playlist"]

PLAYLIST_FORMATS = ("m3u", "mpd", "rekordbox", "traktor")
"""The formats. `m3u` is that of most players, and of Mixxx."""
PLAYLIST_SUFFIXES = {".m3u8": "m3u", ".m3u": "m3u", ".xml": "rekordbox", ".nml": "traktor"}
"""The format of a file by its suffix."""


@dataclass(frozen=True, slots=True)
class PlaylistFile:
    """A playlist as bytes, and the paths that the format cannot hold, each with the reason."""

    content: bytes
    left_out: tuple[tuple[str, str], ...]


def format_of(path: Path) -> str:
    """Return the format of a playlist by the suffix of its file.

    Raises:
        UsageError: The suffix is none of `PLAYLIST_SUFFIXES`.

    Example:
        >>> format_of(Path("evening.nml"))
        'traktor'
    """
    form = PLAYLIST_SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise UsageError(
            f"{path} is not a playlist name; give one that ends in .m3u8 or .m3u, .xml (Rekordbox) or .nml (Traktor)"
        )
    return form


def make_playlist(
    entries: Sequence[PlaylistEntry],
    form: str = "m3u",
    *,
    name: str = "soundalike",
    relative_to: str | os.PathLike[str] | None = None,
) -> PlaylistFile:
    """Make a playlist file.

    Args:
        entries: The tracks, in order.
        form: One of `PLAYLIST_FORMATS`.
        name: The name of the playlist, in formats that have one.
        relative_to: For `m3u`, a folder that paths are relative to; for `mpd`, its music directory.

    Raises:
        UsageError: The format is unknown, `mpd` has no folder, or the format needs absolute paths.

    Example:
        >>> make_playlist([PlaylistEntry("/music/a.mp3", 61.2)], "mpd", relative_to="/music").content
        b'#EXTM3U\\n#EXTINF:61,a\\na.mp3\\n'
    """
    as_choice(form, "form", PLAYLIST_FORMATS)
    # As a text: normalised, but links stay, because tracks are known by paths with links.
    folder = None if relative_to is None else os.path.abspath(os.path.expanduser(relative_to))  # noqa: PTH111
    if form == "mpd":
        if folder is None:
            raise UsageError("a playlist for MPD needs the music directory of MPD, such as --music-dir ~/Music")
        misfit: Callable[[PlaylistEntry], str | None] = lambda entry: mpd_misfit(entry, folder)  # noqa: E731
    elif form == "m3u":
        misfit = line_misfit
    else:
        if folder is not None:
            raise UsageError(f"a playlist for {form} has absolute paths; relative paths are for m3u and mpd")
        misfit = xml_misfit
    reasons = [(entry, misfit(entry)) for entry in entries]
    fitting = [entry for entry, reason in reasons if reason is None]
    if form == "rekordbox":
        content = format_rekordbox(fitting, name)
    elif form == "traktor":
        content = format_traktor(fitting, name)
    else:
        if folder is not None:
            shorter = mpd_path if form == "mpd" else os.path.relpath
            fitting = [replace(entry, path=shorter(entry.path, folder)) for entry in fitting]
        content = format_m3u(fitting)
    return PlaylistFile(content, tuple((entry.path, reason) for entry, reason in reasons if reason is not None))
