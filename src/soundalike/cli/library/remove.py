"""`soundalike library remove`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, library_option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import print_json
from soundalike.core.errors import one_line
from soundalike.core.files import absolute

__all__ = ["remove"]


@dataclass(frozen=True, slots=True)
class RemoveRecord:
    """The number of tracks removed, and of those left."""

    library: str
    removed: int
    tracks: int


@command("remove")
@argument(
    "tracks", nargs=-1, required=True, type=GIVEN_PATH, metavar="TRACK...", help="Paths of tracks in the library."
)
@library_option()
@json_option()
def remove(tracks: Sequence[Path], library_path: Path | None, as_json: bool) -> int:
    """Remove tracks from the library, not their files.

    If a path is not in the library, nothing is removed. The next `soundalike index` of their folder adds the tracks
    again. Their rows stay on disk until `soundalike library vacuum`.

    \b
      soundalike library remove song.mp3 other.mp3
    """
    with chosen_library(library_path) as library:
        removed = library.remove(*(absolute(track) for track in tracks))
        record = RemoveRecord(str(library.location), removed, len(library))
    if as_json:
        print_json(record)
    else:
        print(f"{count(removed, 'track')} removed")
        print(f"{count(record.tracks, 'track')} in the library at {one_line(record.library)}")
    return 0
