"""Results written to playlist files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.output import print_message
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.library.catalog import Track
    from soundalike.search import PlaylistEntry, Results

__all__ = ["print_playlist_path", "write_playlist", "write_tracks"]


def write_playlist(results: Results, path: Path) -> None:
    """Write results to a playlist. Tracks that do not fit the format are left out, with a message."""
    _report_misfits(results.playlist_entries())
    results.to_m3u(path)


def write_tracks(tracks: Sequence[Track], path: Path) -> None:
    """Write tracks to a playlist. Tracks that do not fit the format are left out, with a message."""
    from soundalike.core.files import write_atomic
    from soundalike.search import format_m3u, playlist_entry

    entries = [playlist_entry(str(track.path), track.duration, track.title, track.artist) for track in tracks]
    _report_misfits(entries)
    content = format_m3u(entries)
    write_atomic(path, lambda file: file.write(content))


def _report_misfits(entries: Sequence[PlaylistEntry]) -> None:
    for entry in entries:
        if not entry.fits:
            print_message(f"left out of the playlist: {entry.path}: its name contains a line break")


def print_playlist_path(path: Path | None) -> None:
    """Print where a playlist was written, if one was."""
    if path is not None:
        print(f"playlist written: {one_line(path)}")
