"""`soundalike index`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soundalike.cli.arguments import (
    GIVEN_PATH,
    argument,
    jobs_option,
    json_option,
    library_option,
    model_option,
    option,
)
from soundalike.cli.cells import clock, count, feature_cost
from soundalike.cli.commands import command
from soundalike.cli.exit_codes import INTERRUPTED
from soundalike.cli.inputs import chosen_library, library_folder
from soundalike.cli.output import Progress, print_interrupted, print_json, print_message, print_warnings
from soundalike.cli.records import FailureRecord, WarningRecord, failure_records, warning_records
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import absolute

if TYPE_CHECKING:
    from soundalike.library import FeatureCost
    from soundalike.library.indexing import IndexReport

__all__ = ["index"]


@dataclass(frozen=True, slots=True)
class IndexRecord:
    """What a run did, and what the library holds after it."""

    library: str
    added: int
    changed: int
    reprojected: int
    moved: int
    copied: int
    unchanged: int
    missing: int
    pruned: int
    failed: Sequence[FailureRecord]
    silent: Sequence[str]
    warnings: Sequence[WarningRecord]
    audio_seconds: float
    seconds: float
    interrupted: bool
    tracks: int
    features: Sequence[FeatureCost]


@command("index")
@argument(
    "sources",
    nargs=-1,
    required=True,
    type=GIVEN_PATH,
    metavar="DIR...",
    help="Folders or files; - reads a list of paths from standard input, separated by line breaks or NUL.",
)
@option("--prune", is_flag=True, help="Remove tracks whose files are missing.")
@option("--retry", is_flag=True, help="Try files again that failed before.")
@option("--keep-features", is_flag=True, help="Also store backbone features, for other models on the same backbone.")
@jobs_option()
@model_option()
@library_option()
@json_option()
def index(
    sources: Sequence[Path],
    prune: bool,
    retry: bool,
    keep_features: bool,
    jobs: int | None,
    model: str | None,
    library_path: Path | None,
    as_json: bool,
) -> int:
    """Encode every recording below folders, or single files, into the library.

    Only new or changed files are encoded; moved and copied files are recognised. Unreadable files are skipped and
    listed at the end. Missing files are flagged; --prune removes them from the library. You can interrupt a run at any
    time: the next one continues.

    \b
      soundalike index ~/Music
      soundalike index ~/Music --prune --retry
      find ~/Music -name '*.flac' -print0 | soundalike index -

    With --keep-features the library also stores cached backbone features, one row per passage: 0.6 MB for 4 minutes of
    audio with the default model. Another model on that backbone, or a new version of this one, then needs no encoding:
    `index` projects the stored features, at thousands of tracks per minute. Tracks that were encoded without their
    features are encoded once more. A later run without the option keeps and uses what is stored; `soundalike library
    info` shows what it takes.

    \b
      soundalike index ~/Music --keep-features
      soundalike index ~/Music --model my/model      a second model on the same backbone
    """
    from soundalike.library import feature_costs

    paths = _read_sources(sources)
    with chosen_library(library_path, create=True) as library:
        with Progress("file", enabled=not as_json) as progress:
            report = library.index(
                *paths, model=model, jobs=jobs, retry=retry, prune=prune, keep_features=keep_features, progress=progress
            )
        tracks, features = len(library), feature_costs(library.folder.catalog)
    for name, error in report.failed:
        print_message(f"{name}: {error}", "failed")
    for name in report.silent:
        print_message(f"{name}: no audible content; stored, but never a match", "silent", "yellow")
    print_warnings(report.warnings)
    folder = library_folder(library_path)
    if as_json:
        print_json(_record(folder, report, tracks, features))
    else:
        _print_report(folder, report, tracks)
        for cost in features if keep_features else ():
            print(f"features of {feature_cost(cost)}")
    if report.interrupted:
        return INTERRUPTED
    return 1 if report.failed else 0


def _read_sources(given: Sequence[Path]) -> list[Path]:
    """The folders and files to index, absolute; `-` is a list on standard input. Raises UsageError if none exists."""
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
    return [absolute(path) for path in sources]


def _print_report(folder: Path, report: IndexReport, tracks: int) -> None:
    encoded = report.added + report.changed
    rate = f", {encoded / report.seconds * 60:,.0f} per minute" if encoded and report.seconds > 0.5 else ""
    audio, seconds = clock(report.audio_seconds), clock(report.seconds)
    print(f"{count(encoded, 'file')} encoded ({audio} of audio) in {seconds}{rate}")
    notes = [
        (report.reprojected, "projected from stored features"),
        (report.unchanged, "unchanged"),
        (report.moved, "moved"),
        (report.copied, "copies of others"),
        (len(report.failed), "failed"),
        (len(report.silent), "silent"),
        (len(report.warnings), "decoded in part"),
        (report.pruned, "removed"),
        (0 if report.pruned else report.missing, "missing (--prune removes them)"),
    ]
    listed = ", ".join(f"{number:,} {what}" for number, what in notes if number)
    if listed or not encoded:
        print(listed or "no recordings found")
    print(f"{count(tracks, 'track')} in the library at {one_line(folder)}")
    if report.interrupted:
        print_interrupted()


def _record(folder: Path, report: IndexReport, tracks: int, features: Sequence[FeatureCost]) -> IndexRecord:
    return IndexRecord(
        library=str(folder),
        added=report.added,
        changed=report.changed,
        reprojected=report.reprojected,
        moved=report.moved,
        copied=report.copied,
        unchanged=report.unchanged,
        missing=report.missing,
        pruned=report.pruned,
        failed=failure_records(report.failed),
        silent=report.silent,
        warnings=warning_records(report.warnings),
        audio_seconds=report.audio_seconds,
        seconds=report.seconds,
        interrupted=report.interrupted,
        tracks=tracks,
        features=features,
    )
