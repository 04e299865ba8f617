"""`soundalike library ls`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.api.records.tracks import TrackRecord
from soundalike.cli.arguments import library_option, option, where_option
from soundalike.cli.cells import clock, count, tempo_and_key, track_names
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.inputs import chosen_library
from soundalike.cli.playlist_output import track_entries
from soundalike.cli.table import print_facts, print_table
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.library.catalog import Track

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
@output_options(columns=False)
def list_tracks(where: str | None, missing: bool, library_path: Path | None, output: Output) -> int:
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
    records = [TrackRecord.of(track, missing=missing) for track in tracks]

    def show() -> None:
        _print_tracks(tracks)
        if missing:
            print(f"{count(absent, 'track')} whose files are not there")
        else:
            print(count(len(tracks), "track") + (f", and {absent:,} missing (--missing lists them)" if absent else ""))

    output.print(lambda: Answer(TracksRecord(records, absent), records, track_entries(tracks)), show)
    return 0


def _print_tracks(tracks: Sequence[Track]) -> None:
    if not tracks:
        return
    names, folder = track_names([(str(track.path), track) for track in tracks])
    rows = []
    for track, name in zip(tracks, names, strict=True):
        flags = [flag for flag in ("unreadable", "silent") if getattr(track, flag)]
        name += f"  ({', '.join(flags)})" if flags else ""
        rows.append([name, *tempo_and_key(track), clock(track.duration)])
    print_table(["track", "bpm", "key", "length"], rows, left=[0, 2], stretch=0, ranks={3: 1})
    print_facts(f"paths below {one_line(folder)}" if folder else "", style="dim")
