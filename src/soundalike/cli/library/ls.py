"""`soundalike library ls`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import json_option, library_option, option, where_option
from soundalike.cli.cells import clock, count, tempo_and_key, track_name
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.library.tracks import TrackRecord
from soundalike.cli.output import print_json
from soundalike.cli.table import print_table

__all__ = ["list_tracks"]


@dataclass(frozen=True, slots=True)
class TracksRecord:
    """Tracks of a library, in the order in which they were added.

    `missing` is the number of tracks that are not listed because their files are not there, or with --missing, those
    that are listed.
    """

    tracks: Sequence[TrackRecord]
    missing: int


@command("ls")
@where_option()
@option("--missing", is_flag=True, help="List the tracks whose files are not there, instead of all others.")
@library_option()
@json_option()
def list_tracks(where: str | None, missing: bool, library_path: Path | None, as_json: bool) -> int:
    """List the tracks of the library, in the order in which they were added.

    Tracks whose files are not there at this moment, because they were deleted or moved, or because their disk is not
    mounted, are counted; --missing lists them.

    \b
      soundalike library ls
      soundalike library ls --where 'bpm 118..126 and genre = house'
      soundalike library ls --where 'artist ~ bach' --json
      soundalike library ls --missing
    """
    from soundalike.library import is_there

    with chosen_library(library_path) as library:
        found = [(track, is_there(track.path)) for track in library.tracks(where)]
    tracks = [track for track, there in found if there is not missing]
    absent = sum(not there for _, there in found)
    if as_json:
        print_json(TracksRecord([TrackRecord.of(track, missing=missing) for track in tracks], absent))
        return 0
    rows = []
    for track in tracks:
        flags = [name for name in ("unreadable", "silent") if getattr(track, name)]
        name = track_name(str(track.path), track) + (f"  ({', '.join(flags)})" if flags else "")
        rows.append([*tempo_and_key(track), clock(track.duration), name])
    if rows:
        print_table(["bpm", "key", "time", "track"], rows, left=[1, 3])
    if missing:
        print(f"{count(absent, 'track')} whose files are not there")
    else:
        print(count(len(tracks), "track") + (f", and {absent:,} missing (--missing lists them)" if absent else ""))
    return 0
