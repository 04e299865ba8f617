"""Results written to playlist files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.formats import report_misfits
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.library.catalog import Track
    from soundalike.search import PlaylistEntry, Results

__all__ = ["print_playlist_path", "track_entries", "write_playlist", "write_tracks"]


def write_playlist(results: Results, path: Path, *, relative: bool = False) -> None:
    """Write results to a playlist. Tracks that do not fit the format are left out, with a message."""
    _write(results.playlist_entries(), path, relative=relative)


def write_tracks(tracks: Sequence[Track], path: Path, *, relative: bool = False) -> None:
    """Write tracks to a playlist. Tracks that do not fit the format are left out, with a message."""
    _write(track_entries(tracks), path, relative=relative)


def track_entries(tracks: Sequence[Track]) -> list[PlaylistEntry]:
    """Return the lines of a playlist of tracks."""
    from soundalike.search import playlist_entry

    return [playlist_entry(str(track.path), track.duration, track.title, track.artist) for track in tracks]


def _write(entries: Sequence[PlaylistEntry], path: Path, *, relative: bool) -> None:
    from soundalike.core.files import write_atomic
    from soundalike.search import format_m3u

    report_misfits(entries)
    if relative:
        folder = path.absolute().parent
        entries = [replace(entry, path=os.path.relpath(entry.path, folder)) for entry in entries]
    content = format_m3u(entries)
    write_atomic(path, lambda file: file.write(content))


def print_playlist_path(path: Path | None) -> None:
    """Print where a playlist was written, if one was."""
    if path is not None:
        print(f"playlist written: {one_line(path)}")
