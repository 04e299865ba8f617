"""`soundalike library failures`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.cli.arguments import library_option
from soundalike.cli.cells import count, near
from soundalike.cli.commands import command
from soundalike.cli.formats import Answer, Output, output_options
from soundalike.cli.inputs import chosen_library
from soundalike.cli.output import report_corrupt
from soundalike.cli.table import fitted_name, print_facts
from soundalike.core.errors import one_line

__all__ = ["failures"]


@dataclass(frozen=True, slots=True)
class StoredFailureRecord:
    """A file that could not be read: why, how often it was tried, and whether it is still there."""

    path: str
    error: str
    attempts: int
    exists: bool


@dataclass(frozen=True, slots=True)
class FailuresRecord:
    """The files that could not be read, sorted by path."""

    failures: Sequence[StoredFailureRecord]


@command("failures")
@library_option()
@output_options(columns=False)
def failures(library_path: Path | None, output: Output) -> int:
    """List the files that could not be read when they were indexed, each with the reason and what to do.

    `soundalike index` leaves them out until they change, or until it is called with --retry. A file that is readable
    again, or gone, leaves this list when its folder is indexed.

    \b
      soundalike library failures
      soundalike index ~/Music --retry
    """
    from soundalike.library import is_there
    from soundalike.search import PlaylistEntry

    with chosen_library(library_path) as library:
        found = [
            StoredFailureRecord(str(one.path), one.message, one.attempts, is_there(one.path))
            for one in library.failures()
        ]
        code = report_corrupt(library.folder.catalog.failures.corrupt())

    def show() -> None:
        for one in found:
            gone = "; now gone" if not one.exists else ""
            print(f"{fitted_name(one_line(near(one.path)), 24)}  ({count(one.attempts, 'attempt')}{gone})")
            print_facts(one_line(one.error), style="dim", indent=4)
        print(count(len(found), "failure") + ("; to try them again: soundalike index FOLDER --retry" if found else ""))

    entries = [PlaylistEntry(one.path) for one in found]
    output.print(lambda: Answer(FailuresRecord(found), found, entries), show)
    return code
