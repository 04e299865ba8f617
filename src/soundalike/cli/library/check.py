"""`soundalike library check`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.arguments import json_option, library_option, option
from soundalike.cli.cells import count
from soundalike.cli.commands import command
from soundalike.cli.inputs import library_folder
from soundalike.cli.output import Progress, print_json, print_message
from soundalike.core.errors import one_line

if TYPE_CHECKING:
    from soundalike.library import CheckReport

__all__ = ["check"]


@dataclass(frozen=True, slots=True)
class CorruptTrackRecord:
    """A track with stored data that fails its checksum: which data that is."""

    path: str
    what: Sequence[str]


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """What a check found.

    `failures` are unreadable files whose entries are corrupt. `removed` are corrupt caches, which are made again on
    use; `not_removed` are those that could not be deleted.
    """

    library: str
    rows: int
    tracks: int
    ok: bool
    problems: Sequence[str]
    corrupt: Sequence[CorruptTrackRecord]
    failures: Sequence[str]
    removed: Sequence[str]
    not_removed: Sequence[str]
    to_encode_again: int


@command("check")
@option("--repair", is_flag=True, help="Mark corrupt tracks, so that the next `soundalike index` encodes them again.")
@library_option()
@json_option()
def check(repair: bool, library_path: Path | None, as_json: bool) -> int:
    """Compare everything stored with its checksums.

    Every flipped bit in the vectors and in the catalogue is found, and every missing row. Corrupt entries are listed;
    searches always exclude them. The exit code is 1 if something is corrupt or missing. Missing files that follow from
    others are made again.

    \b
      soundalike library check
      soundalike library check --repair && soundalike index ~/Music
    """
    from soundalike.library import LibraryFolder, check_library, repair_library

    folder = library_folder(library_path)
    with LibraryFolder(folder, incomplete=True) as library, Progress("row", enabled=not as_json) as progress:
        report = check_library(library, progress)
    marked = 0
    if repair and not report.ok:
        with LibraryFolder(folder, writable=True, incomplete=True) as writer:
            marked = repair_library(writer, report)
    if as_json:
        corrupt = [CorruptTrackRecord(report.paths[key], what) for key, what in report.tracks.items()]
        print_json(
            CheckRecord(
                library=str(folder),
                rows=report.rows,
                tracks=report.checked_tracks,
                ok=report.ok,
                problems=report.problems,
                corrupt=corrupt,
                failures=report.failures,
                removed=report.derived,
                not_removed=report.derived_left,
                to_encode_again=marked,
            )
        )
    else:
        _print_report(report, marked, repaired=repair)
    return 0 if report.ok else 1


def _print_report(report: CheckReport, marked: int, *, repaired: bool) -> None:
    from soundalike.library import LOST

    for problem in report.problems:
        print_message(f"the catalogue: {problem}", "corrupt")
    for reason in report.unreadable:
        print_message(reason, "lost")
    for key, what in report.tracks.items():
        lost = all(one.endswith(LOST) for one in what)
        print_message(f"{report.paths[key]}: {', '.join(what)}", "lost" if lost else "corrupt")
    for path in report.failures:
        print_message(f"{path}: its entry among the files that could not be read", "corrupt")
    for name in report.derived_left:
        print_message(f"the cache {name}, which cannot be deleted; check the permissions of the library", "corrupt")
    print(f"{count(report.checked_tracks, 'track')} and {count(report.rows, 'row')} checked: {_verdict(report)}")
    for name in report.derived:
        print(f"{one_line(name)} cannot be used any more; it was removed and is made again on use")
    if report.problems:
        print("restore the library from a copy, or index into a new one (--library PATH)")
    elif repaired and not report.ok:
        if marked:
            print(f"{count(marked, 'track')} will be encoded again by: soundalike index DIR")
        if report.failures:
            print(f"{count(len(report.failures), 'file')} will be tried again by: soundalike index DIR")
    elif report.tracks:
        print("to encode them again: soundalike library check --repair, then soundalike index DIR")
    elif report.failures:
        print("to try these files again: soundalike library check --repair, then soundalike index DIR")


def _verdict(report: CheckReport) -> str:
    if report.ok:
        return "OK, no corruption found"
    found = []
    if report.tracks:
        found.append(f"{count(len(report.tracks), 'track')} corrupt" + (" or lost" if report.unreadable else ""))
    if report.failures:
        found.append(f"{count(len(report.failures), 'failure')} corrupt")
    return ", ".join(found) or "the catalogue is corrupt"
