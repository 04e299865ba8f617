"""`soundalike library move`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.api.records.failures import FailureRecord, failure_records
from soundalike.cli.arguments import GIVEN_PATH, argument, json_option, library_option
from soundalike.cli.cells import count, near
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import DONE, FAILED, PARTLY
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import Progress, print_json, print_message
from soundalike.core.files import absolute

__all__ = ["move"]


@dataclass(frozen=True, slots=True)
class MoveRecord:
    """The number of tracks that follow their files, and those that stay as they are."""

    library: str
    moved: int
    failed: Sequence[FailureRecord]


@command("move")
@argument("old", type=GIVEN_PATH, metavar="OLD", help="Where the library has a track, or a folder of tracks.")
@argument("new", type=GIVEN_PATH, metavar="NEW", help="Where the file or the folder is now.")
@library_option()
@json_option()
def move(old: Path, new: Path, library_path: Path | None, as_json: bool) -> int:
    """Tell the library that files were moved, without encoding them again.

    Move the files first. Each entry follows its file if the file at the new place has the content that the library
    knows, and if there is none at the old place any more. `soundalike index NEW` finds moved files by itself; this
    command looks at nothing but them.

    \b
      mv ~/Music /mnt/disk/Music
      soundalike library move ~/Music /mnt/disk/Music
    """
    with chosen_library(library_path) as library, Progress("file", enabled=not as_json) as progress:
        report = library.move(absolute(old), absolute(new), progress=progress)
        place = str(library.location)
    for path, reason in report.failed:
        print_message(f"{near(path)}: {reason}", "stays")
    if as_json:
        print_json(MoveRecord(place, report.moved, failure_records(report.failed)))
    else:
        print(f"{count(report.moved, 'track')} moved")
    if not report.failed:
        return DONE
    return PARTLY if report.moved else FAILED
