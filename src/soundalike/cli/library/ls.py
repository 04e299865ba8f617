"""`soundalike library ls`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import json_option, library_option, where_option
from soundalike.cli.cells import clock, count, tempo_and_key, track_name
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.library.tracks import TrackRecord
from soundalike.cli.output import print_json, print_table

__all__ = ["list_tracks"]


@dataclass(frozen=True, slots=True)
class TracksRecord:
    """Tracks of a library, in the order in which they were added."""

    tracks: Sequence[TrackRecord]


@command("ls")
@where_option()
@library_option()
@json_option()
def list_tracks(where: str | None, library_path: Path | None, as_json: bool) -> int:
    """List the tracks of the library, in the order in which they were added.

    \b
      soundalike library ls
      soundalike library ls --where 'bpm 118..126 and genre = house'
      soundalike library ls --where 'artist ~ bach' --json
    """
    with chosen_library(library_path) as library:
        tracks = library.tracks(where)
    if as_json:
        print_json(TracksRecord([TrackRecord.of(track) for track in tracks]))
        return 0
    rows = []
    for track in tracks:
        flags = [name for name in ("missing", "unreadable", "silent") if getattr(track, name)]
        name = track_name(str(track.path), track) + (f"  ({', '.join(flags)})" if flags else "")
        rows.append([*tempo_and_key(track), clock(track.duration), name])
    if rows:
        print_table(["bpm", "key", "time", "track"], rows, left=[1, 3])
    print(count(len(tracks), "track"))
    return 0
