"""`soundalike library check` and `soundalike library vacuum`."""

from __future__ import annotations

import argparse

from soundalike.cli import show
from soundalike.cli.inputs import library_path
from soundalike.core.errors import one_line
from soundalike.library import (
    CheckReport,
    LibraryFolder,
    build_prefilters,
    check_library,
    repair_library,
    vacuum_library,
)

__all__ = ["run_check", "run_prepare", "run_vacuum"]


def run_check(args: argparse.Namespace) -> int:
    """Compare everything with its checksums; 1 if something is damaged, mended or not."""
    progress = show.Progress("row", enabled=not args.json)
    with LibraryFolder(library_path(args)) as library:
        report = check_library(library, progress)
    progress.end()
    mended = 0
    if args.repair and not report.ok:
        with LibraryFolder(library_path(args), writable=True) as library:
            mended = repair_library(library, report)
    if args.json:
        show.print_json(
            {
                "library": str(library.path),
                "rows": report.rows,
                "tracks": report.checked_tracks,
                "well": report.ok,
                "problems": list(report.problems),
                "damaged": [{"path": report.paths[key], "what": list(what)} for key, what in report.tracks.items()],
                "removed": list(report.derived),
                "to_hear_again": mended,
            }
        )
    else:
        _print_report(report, mended)
    return 0 if report.ok else 1


def _print_report(report: CheckReport, mended: int) -> None:
    for problem in report.problems:
        show.message(f"the catalogue: {problem}", "damaged")
    for key, what in report.tracks.items():
        show.message(f"{report.paths[key]}: {', '.join(what)}", "damaged")
    looked = f"{show.count(report.checked_tracks, 'track')} and {show.count(report.rows, 'row')} compared"
    print(f"{looked}: {_verdict(report)}")
    for name in report.derived:
        print(f"{one_line(name)} was damaged and is made again when it is needed")
    if mended:
        print(f"{show.count(mended, 'track')} will be listened to again by: soundalike index DIR")
    elif report.tracks and not report.problems:
        print("to have them listened to again: soundalike library check --repair, then soundalike index DIR")
    elif report.problems:
        print("restore the library from a copy, or index into a new one (--library PATH)")


def run_prepare(library: LibraryFolder, args: argparse.Namespace) -> None:
    """Build what very large libraries are searched with, where rows have come or moved."""
    progress = show.Progress("row", enabled=not args.json)
    build_prefilters(library, progress)
    progress.end()


def run_vacuum(args: argparse.Namespace) -> int:
    """Give back the room of what is nobody's."""
    with LibraryFolder(library_path(args), writable=True) as library:
        report = vacuum_library(library)
        run_prepare(library, args)
    if args.json:
        show.print_json(
            {
                "library": str(library.path),
                "dropped_rows": report.dropped,
                "bytes_before": report.before,
                "bytes_after": report.after,
            }
        )
    else:
        dropped = f"{show.count(report.dropped, 'row')} of nobody dropped"
        print(f"{dropped}; {report.before / 1e6:,.1f} MB before, {report.after / 1e6:,.1f} MB after")
    return 0


def _verdict(report: CheckReport) -> str:
    if report.ok:
        return "all as written"
    return f"{show.count(len(report.tracks), 'track')} damaged" if report.tracks else "the catalogue is damaged"
