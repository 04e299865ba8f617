"""Results as playlists: files, or on standard output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.output import print_message
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.library.catalog import Track
    from soundalike.search import PlaylistEntry

__all__ = ["playlist_content", "print_playlist_paths", "track_entries", "write_playlists"]


def track_entries(tracks: Sequence[Track]) -> list[PlaylistEntry]:
    """Return the lines of a playlist of tracks."""
    from soundalike.search import PlaylistEntry

    return [PlaylistEntry.of(track) for track in tracks]


def playlist_content(
    entries: Sequence[PlaylistEntry], form: str, relative_to: str | os.PathLike[str] | None, name: str = "soundalike"
) -> bytes:
    """Return a playlist; see `soundalike.search.make_playlist`. Tracks that do not fit are left out, with a message."""
    from soundalike.search import make_playlist

    made = make_playlist(entries, form, name=name, relative_to=relative_to)
    for path, reason in made.left_out:
        print_message(f"left out of the playlist: {one_line(path)}: {reason}")
    return made.content


def write_playlists(
    entries: Sequence[PlaylistEntry], paths: Sequence[Path], *, relative: bool = False, music_dir: Path | None = None
) -> None:
    """Write playlists in the formats of their suffixes. Tracks that do not fit are left out, with a message.

    Args:
        entries: The tracks.
        paths: The files to write.
        relative: Whether paths are relative to the folder of the playlist.
        music_dir: The music directory of MPD, for M3U files that MPD is to read.
    """
    from soundalike.core.files import write_atomic
    from soundalike.search import format_of

    for path in paths:
        form = format_of(path)
        if form == "m3u" and music_dir is not None:
            form = "mpd"
        folder = path.absolute().parent if relative else music_dir if form == "mpd" else None
        content = playlist_content(entries, form, folder, path.stem)
        write_atomic(path, lambda file, content=content: file.write(content))  # type: ignore[misc]


def print_playlist_paths(paths: Sequence[Path]) -> None:
    """Print which playlists were written."""
    for path in paths:
        print(f"playlist written: {one_line(path)}")
