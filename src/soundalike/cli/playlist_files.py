"""Playlists as files: extended M3U."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from soundalike.cli import show
from soundalike.cli.inputs import check_folder
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import write_whole
from soundalike.library.catalog import Track

__all__ = ["check_playlist", "tell_playlist", "write_playlist"]


def check_playlist(path: Path | None) -> None:
    """Refuse a playlist that could not be written, if one is wanted, before any work is done. Raises UsageError."""
    if path is None:
        return
    if path.suffix.lower() not in (".m3u", ".m3u8"):
        raise UsageError(f"{path} is no name for a playlist; give one that ends in .m3u8 or .m3u")
    check_folder(path)


def write_playlist(path: Path, tracks: Sequence[Track]) -> None:
    """An extended M3U in UTF-8: absolute paths, byte for byte.

    A name with a line break has no place in the format: it is left out, with a message.
    """
    lines = [b"#EXTM3U"]
    for track in tracks:
        name = os.fsencode(track.path)
        if b"\n" in name or b"\r" in name:
            show.message(f"left out of the playlist: {track.path}: its name holds a line break")
            continue
        title = show.credit(track) or track.title or track.path.stem
        lines += [f"#EXTINF:{round(track.duration)},{one_line(title)}".encode(), name]
    write_whole(path, lambda file: file.write(b"\n".join(lines) + b"\n"))


def tell_playlist(path: Path | None) -> None:
    """Say where a playlist was written, if one was."""
    if path is not None:
        print(f"playlist written: {one_line(path)}")
