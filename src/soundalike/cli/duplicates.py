"""`soundalike duplicates`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.api.records.duplicates import duplicates_record
from soundalike.cli.arguments import library_option, m3u_option, model_option
from soundalike.cli.cells import count, track_name
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import Progress
from soundalike.cli.playlist_output import track_entries
from soundalike.cli.table import print_facts

if TYPE_CHECKING:
    from soundalike.library.catalog import Track
    from soundalike.search import Duplicates

__all__ = ["duplicates"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A line of a list of duplicates: files with the same `group` are copies, and one of them is the best."""

    group: int
    path: str
    best: bool
    reason: str


@command("duplicates")
@m3u_option("the duplicates")
@model_option()
@library_option()
@output_options(columns=False)
def duplicates(model: str | None, library_path: Path | None, output: Output) -> int:
    """List the tracks of the library that are copies of one recording.

    Copies have the same audio over the same duration; format, level, leading silence and a speed within 1 % make no
    difference. The best file of each group comes first: lossless before lossy, then by sample rate or bit rate, then by
    length. Tracks that share audio but are no copies are listed below: excerpts, such as a song of an album image, and
    other mixes, such as an instrumental. Tracks that only sound alike are not listed.

    \b
      soundalike duplicates
      soundalike duplicates --json
    """
    with chosen_library(library_path) as library, Progress("track", enabled=output.is_table) as progress:
        found = library.duplicates(model=model, progress=progress)

    output.print(lambda: _answer(found), lambda: _print_groups(found))
    return 0


def _files(found: Duplicates) -> list[Track]:
    return [track for group in found.groups for track in group.tracks]


def _answer(found: Duplicates) -> Answer:
    rows = [
        FileRecord(number, str(track.path), best=track is group.best, reason=reason)
        for number, group in enumerate(found.groups, start=1)
        for track, reason in zip(group.tracks, ("", *group.reasons), strict=True)
    ]
    return Answer(duplicates_record(found), rows, track_entries(_files(found)))


def _print_groups(found: Duplicates) -> None:
    from soundalike.search import relation_text

    for number, group in enumerate(found.groups, start=1):
        print(f"{number}  {count(len(group.tracks), 'file')} of one recording")
        print_facts(f"{_name(group.best)}  (best)", indent=3)
        for track, reason in zip(group.copies, group.reasons, strict=True):
            note = f"  (the best is {reason})" if reason != "added first" else ""
            print_facts(f"{_name(track)}{note}", indent=3)
    for pair in found.related:
        print_facts(f"not a copy: {_name(pair.b)}: {relation_text(pair.relation, _name(pair.a))}")
    spare = sum(len(group.copies) for group in found.groups)
    print(f"{count(len(found.groups), 'recording')} with duplicates, {count(spare, 'redundant file')}")


def _name(track: Track) -> str:
    return track_name(str(track.path), track)
