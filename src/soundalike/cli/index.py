"""`soundalike index`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from soundalike.cli import show
from soundalike.cli.inputs import library_path
from soundalike.cli.main import INTERRUPTED
from soundalike.cli.maintenance import run_prepare
from soundalike.core.errors import UsageError, one_line
from soundalike.library import FeatureCost, LibraryFolder, feature_costs
from soundalike.library.indexing import IndexReport, index_files

__all__ = ["run_index"]


def run_index(args: argparse.Namespace) -> int:
    """Fill or update the library; 1 if some inputs failed."""
    path, sources = library_path(args), _sources(args.sources)
    progress = show.Progress("file", enabled=not args.json)
    with LibraryFolder.create(path) as library:
        report = index_files(
            library,
            sources,
            model=args.model,
            jobs=args.jobs,
            retry=args.retry,
            prune=args.prune,
            keep_features=args.keep_features,
            progress=progress,
        )
        progress.end()
        if not report.interrupted:
            run_prepare(library, args)
        held, kept = library.catalog.counts(), feature_costs(library.catalog)
    for name, why in report.failed:
        show.message(f"{name}: {why}", "failed")
    for name in report.silent:
        show.message(f"{name}: nothing to hear; kept, but never a match", "silent", "yellow")
    if args.json:
        show.print_json(_report_json(path, report, held, kept))
    else:
        _print_report(path, report, held)
        for cost in kept if args.keep_features else ():
            print(f"features kept of {show.kept(asdict(cost))}")
    if report.interrupted:
        return INTERRUPTED
    return 1 if report.failed else 0


def _sources(given: list[Path]) -> list[Path]:
    """The folders and files that are meant: `-` is a list on standard input, a line each or ended by NUL each."""
    sources: list[Path] = []
    for path in given:
        if str(path) == "-":
            data = sys.stdin.buffer.read() if sys.stdin is not None else b""
            lines = data.split(b"\0" if b"\0" in data else b"\n")
            sources += [Path(os.fsdecode(line)) for line in lines if line.strip()]
        else:
            sources.append(path)
    if not any(path.exists() for path in sources):  # before a library is made for nothing
        names = ", ".join(map(str, sources[:3])) or "standard input"
        raise UsageError(f"{names}: not found; give a folder of music or an audio file")
    return sources


def _print_report(path: Path, report: IndexReport, held: dict[str, int]) -> None:
    done = report.added + report.changed
    rate = f", {done / report.seconds * 60:,.0f} a minute" if done and report.seconds > 0.5 else ""
    heard, took = show.clock(report.audio_seconds), show.clock(report.seconds)
    print(f"{show.count(done, 'file')} encoded ({heard} of sound) in {took}{rate}")
    notes = [
        (report.reprojected, "re-projected from kept features"),
        (report.unchanged, "unchanged"),
        (report.moved, "moved"),
        (report.copied, "copies of others"),
        (len(report.failed), "failed"),
        (len(report.silent), "silent"),
        (report.pruned, "removed"),
        (0 if report.pruned else report.missing, "vanished (remove with --prune)"),
    ]
    told = ", ".join(f"{number:,} {what}" for number, what in notes if number)
    if told or not done:
        print(told or "no recordings there")
    print(f"{show.count(held['tracks'], 'track')} in the library at {one_line(path)}")
    if report.interrupted:
        show.message("interrupted: what is done is kept; run it again to go on")


def _report_json(
    path: Path, report: IndexReport, held: dict[str, int], kept: Sequence[FeatureCost]
) -> dict[str, object]:
    return {
        "library": str(path),
        "added": report.added,
        "changed": report.changed,
        "reprojected": report.reprojected,
        "moved": report.moved,
        "copied": report.copied,
        "unchanged": report.unchanged,
        "missing": report.missing,
        "pruned": report.pruned,
        "failed": [{"path": name, "error": why} for name, why in report.failed],
        "silent": report.silent,
        "audio_seconds": report.audio_seconds,
        "seconds": report.seconds,
        "interrupted": report.interrupted,
        "tracks": held["tracks"],
        "features": [asdict(cost) for cost in kept],
    }
