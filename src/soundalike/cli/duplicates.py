"""`soundalike duplicates`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import json_option, library_option, m3u_option, model_option
from soundalike.cli.cells import count, track_name
from soundalike.cli.commands import command
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import Progress, print_json
from soundalike.cli.playlist_output import print_playlist_path, write_tracks

__all__ = ["duplicates"]


@dataclass(frozen=True, slots=True)
class DuplicatesRecord:
    """The paths of every recording that the library holds more than once."""

    duplicates: Sequence[Sequence[str]]


@command("duplicates")
@m3u_option("the duplicates")
@model_option()
@library_option()
@json_option()
def duplicates(m3u: Path | None, model: str | None, library_path: Path | None, as_json: bool) -> int:
    """List the tracks of the library that are the same recording.

    Two tracks are the same recording if their audio is equal, or if their acoustic fingerprints match. Format, level
    and leading silence make no difference. Tracks that only sound alike are not listed.

    \b
      soundalike duplicates
      soundalike duplicates --json
    """
    with chosen_library(library_path) as library, Progress("track", enabled=not as_json) as progress:
        groups = library.duplicates(model=model, progress=progress)
    if m3u:
        write_tracks([track for group in groups for track in group], m3u)
    if as_json:
        print_json(DuplicatesRecord([[str(track.path) for track in group] for group in groups]))
        return 0
    for number, group in enumerate(groups, start=1):
        print(f"{number}  {count(len(group), 'file')} of one recording")
        for track in group:
            print(f"   {track_name(str(track.path), track)}")
    spare = sum(len(group) - 1 for group in groups)
    print(f"{count(len(groups), 'recording')} with duplicates, {count(spare, 'redundant file')}")
    print_playlist_path(m3u)
    return 0
