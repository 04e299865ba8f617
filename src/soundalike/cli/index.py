"""`soundalike index`."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
    ray_option,
)
from soundalike.cli.cells import clock, count, feature_cost, near
from soundalike.cli.commands import command
from soundalike.cli.config import read_config
from soundalike.cli.exit_codes import DONE, INTERRUPTED, PARTLY
from soundalike.cli.file_lists import is_playlist, read_playlist, read_standard_input
from soundalike.cli.inputs import chosen_library, library_folder
from soundalike.cli.models.stems import ready_stem_model
from soundalike.cli.output import Progress, print_interrupted, print_json, print_message, print_warnings
from soundalike.cli.stems import announce_cost, base_models, stems_option
from soundalike.core.errors import LibraryError, UsageError, one_line
from soundalike.core.files import absolute
from soundalike.core.options import TextType
from soundalike.core.text import quoted

if TYPE_CHECKING:
    from soundalike.library.indexing import IndexReport

__all__ = ["index"]

_SHOWN = 6
"""Reasons for skipping files that are listed by name."""


def _read_interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ValueError(f"expected seconds, such as 60, found {text!r}")
    return seconds


@command("index")
@argument(
    "sources",
    nargs=-1,
    required=True,
    type=GIVEN_PATH,
    metavar="DIR...",
    help="Folders, files, M3U playlists, or URLs such as s3://bucket/music; - reads a playlist or a list "
    "of paths, separated by line breaks or NUL, from standard input.",
)
@option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out files and folders that match a pattern, in the syntax of gitignore, relative to DIR: '*.wav', "
    "/demos/, '!keep.wav'; may be repeated.",
)
@option(
    "--watch",
    "interval",
    type=TextType("SECONDS", _read_interval),
    metavar="SECONDS",
    help="Go on after the first run: look for changes this often, and index them once they are complete.",
)
@option("--prune", is_flag=True, help="Remove tracks from the library whose files are missing or excluded.")
@option("--retry", is_flag=True, help="Also try files that failed in an earlier run and have not changed since.")
@option("--keep-features", is_flag=True, help="Also store backbone features, for other models on the same backbone.")
@stems_option("Also encode the stems that a separator makes of every recording: vocals.melody, drums.rhythm and so on.")
@jobs_option()
@ray_option()
@model_option()
@library_option()
@json_option()
def index(
    sources: Sequence[Path],
    exclude: Sequence[str],
    interval: float | None,
    prune: bool,
    retry: bool,
    keep_features: bool,
    separator: str | None,
    jobs: int | None,
    model: str | None,
    library_path: Path | None,
    as_json: bool,
) -> int:
    """Encode every recording below folders, or single files, into the library.

    Only new or changed files are encoded. Entries follow files that were moved or renamed, and copies share the rows of
    the original. Unreadable files are skipped and listed; the next run leaves them out (see: soundalike library
    failures). You can interrupt a run at any time: the next one continues.

    Missing files are flagged, and --prune removes them from the library. Where nothing is left of a folder that held
    several tracks, or of the mount point of a disk, its tracks stay, because the disk may not be mounted. `soundalike
    library remove FOLDER` removes them.

    Files named .soundalikeignore, in any folder, hold patterns like those of --exclude, one per line, for what lies
    below their folder; `exclude` in the file of settings holds patterns for every run. Tracks that are excluded from
    now on stay until --prune.

    \b
      soundalike index ~/Music
      soundalike index ~/Music --prune --retry
      soundalike index ~/Music --exclude '*.wav' --exclude /Demos/
      find ~/Music -name '*.flac' -print0 | soundalike index -

    With --watch the command does not end: it scans the folders again and again, on network drives too, and prints one
    line per set of changes (with --json one object). A file counts once two scans find it the same. Ctrl-C ends the
    command with exit code 0, or with 130 if it was encoding.

    \b
      soundalike index ~/Music --watch 60

    With --keep-features the library also stores cached backbone features, one row per passage: 0.6 MB for 4 minutes of
    audio with the default model. Another model on that backbone, or a new version of this one, then needs no encoding:
    `index` projects the stored features, at thousands of tracks per minute. Tracks that were encoded without their
    features are encoded once more. A later run without the option keeps and uses what is stored; `soundalike library
    info` shows what it takes.

    \b
      soundalike index ~/Music --keep-features
      soundalike index ~/Music --model my/model    another on that backbone

    With --stems every recording is separated too, and each model of the library gets a twin for the stems: with
    spleeter, compact gets compact-spleeter. Before it starts, the command says how long that will take. Recordings that
    cannot be separated keep the rows of their mix. Later runs encode the stems of new files without the option.

    \b
      soundalike index ~/Music --stems spleeter
      soundalike search song.mp3 --model compact-spleeter -w vocals.melody
    """
    from soundalike.api.records.index import index_record

    paths, folder = _read_sources(sources), library_folder(library_path)
    patterns = [*read_config().exclude, *exclude]

    def run(*, again: bool = False) -> int:
        with (
            _without_empty_library(folder),
            chosen_library(library_path, create=True) as library,
            Progress("known file", enabled=not as_json) as comparing,
            Progress("file", enabled=not as_json) as progress,
        ):

            def compare(done: int, total: int) -> None:
                comparing(done, total)
                if done == total:
                    comparing.end()
                    progress.restart()

            models = [] if model is None else [model]
            if separator is not None and not again:
                bases = base_models(library, model)
                on_stems = [ready_stem_model(base, separator, quiet=as_json) for base in bases]
                announce_cost(library, paths, on_stems, separator, jobs=jobs, exclude=patterns)
                models = [*bases, *on_stems]
            report = library.index(
                *paths, model=models, jobs=jobs, retry=retry and not again, prune=prune, keep_features=keep_features,
                exclude=patterns, progress=progress, waiting=progress.wait, comparing=compare,
            )  # fmt: skip
            progress.end()
            record = index_record(library, report)
        _print_messages(report, again=again)
        if not report.interrupted and interval is None:  # recordings may still come to a folder that is watched
            _check_outcome(report, paths, record.tracks)
        if as_json:
            print_json(record, indent=2 if interval is None else None)
        elif again:
            listed = _listed([(report.added + report.changed, "encoded"), *_changes(report)]) or "nothing new"
            print(f"{time.strftime('%H:%M:%S')}  {listed}; {count(record.tracks, 'track')}")
        else:
            _print_report(folder, report, record.tracks)
            for cost in record.features if keep_features else ():
                print(f"features of {feature_cost(cost)}")
        sys.stdout.flush()  # with --watch the next line may be hours away
        if report.interrupted:
            return INTERRUPTED
        return PARTLY if report.failed else DONE

    if interval is None:
        return run()
    from soundalike.cli.watch import watch
    from soundalike.library.indexing import state_of_files

    runs = itertools.count()
    return watch(lambda: state_of_files(paths, patterns), lambda: run(again=next(runs) > 0), interval)


def _read_sources(given: Sequence[Path]) -> list[Path]:
    """The folders and files to index, absolute. `-` and playlists are lists of them. Raises UsageError."""
    sources: list[Path] = []
    for path in given:
        if str(path) == "-":
            sources += read_standard_input()
        elif is_playlist(path):
            sources += read_playlist(path)
        else:
            sources.append(path)
    return [absolute(path) for path in sources]


@contextmanager
def _without_empty_library(folder: Path) -> Iterator[None]:
    """Remove a library that this run made, if it holds nothing: neither tracks nor files that could not be read."""
    new, new_folder = not (folder / "catalog.sqlite").exists(), not folder.exists()
    try:
        yield
    finally:
        if new:
            from soundalike.library import discard_if_empty

            with suppress(LibraryError):  # another process writes to it
                discard_if_empty(folder)
            if new_folder:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()


def _check_outcome(report: IndexReport, paths: Sequence[Path], tracks: int) -> None:
    """Raise UsageError if nothing could be done."""
    found = report.unchanged + report.added + report.changed + report.reprojected + report.moved + report.copied
    if (
        found + report.missing + report.excluded + report.pruned + report.failed_before + len(report.away) == 0
        and not report.failed
    ):
        places = ", ".join(map(near, map(str, paths[:3]))) + (", ..." if len(paths) > 3 else "")
        raise UsageError(f"no recordings found in {places}{_skipped(report, '; skipped: ')}")
    if tracks == 0 and not found and report.failed:
        raise UsageError(
            f"nothing could be read ({len(report.failed):,} failed); the next run leaves out what has not changed, and "
            "--retry tries it again"
        )


def _print_messages(report: IndexReport, *, again: bool) -> None:
    """Print on standard error what needs attention; not what the first run has said, if this is a later one."""
    for name, error in report.failed:
        print_message(f"{near(name)}: {error}", "failed")
    for name in report.silent:
        print_message(f"{near(name)}: no audible content; stored, but never a match", "silent", "yellow")
    print_warnings(report.warnings)
    for name, number in report.away:
        print_message(
            f"{near(name)}: nothing is left of its {count(number, 'track')}; is the disk mounted? They stay in the "
            f"library, but are no matches; to remove them: soundalike library remove {quoted(near(name))}",
            "away", "yellow",
        )  # fmt: skip
    if report.failed_before and not again:
        others = report.unchanged + report.added + report.changed + report.reprojected + report.moved + report.copied
        every = "" if others or report.failed else "everything that was found: "
        print_message(
            f"{every}{count(report.failed_before, 'file')} that failed before; soundalike library failures lists them, "
            "and --retry tries them again",
            "left out", "yellow",
        )  # fmt: skip


def _skipped(report: IndexReport, before: str = "") -> str:
    """What was passed over, the most frequent first; empty if nothing was."""
    ordered = sorted(report.skipped.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{number:,} {reason if number > 1 else _singular(reason)}" for reason, number in ordered[:_SHOWN]]
    others = sum(number for _, number in ordered[_SHOWN:])
    return before + ", ".join([*shown, *([f"{others:,} others"] if others else [])]) if shown else ""


def _singular(reason: str) -> str:
    """A reason for skipping files, which is in the plural, for one file."""
    words = reason.replace("pipes and devices", "pipe or device").split(" ")
    nouns = {"files": "file", "folders": "folder", "are": "is"}
    return " ".join(nouns.get(word, word) for word in words)


def _print_report(folder: Path, report: IndexReport, tracks: int) -> None:
    encoded = report.added + report.changed
    rate = f", {encoded / report.seconds * 60:,.0f} per minute" if encoded and report.seconds > 0.5 else ""
    audio, seconds = clock(report.audio_seconds), clock(report.seconds)
    print(f"{count(encoded, 'file')} encoded ({audio} of audio) in {seconds}{rate}")
    if listed := _listed([(report.unchanged, "unchanged"), *_changes(report)]):
        print(listed)
    if skipped := _skipped(report):
        print(f"skipped: {skipped}")
    print(f"{count(tracks, 'track')} in the library at {one_line(folder)}")
    if report.interrupted:
        print_interrupted()


def _changes(report: IndexReport) -> list[tuple[int, str]]:
    """The numbers of files besides those that were encoded or are unchanged."""
    return [
        (report.reprojected, "projected from what is stored"),
        (report.moved, "moved"),
        (report.copied, "copied from others" if report.copied != 1 else "copied from another"),
        (len(report.failed), "failed"),
        (len(report.silent), "silent"),
        (len(report.warnings), "decoded in part"),
        (report.pruned, "removed"),
        (0 if report.pruned else report.missing, "missing (--prune removes them)"),
        (0 if report.pruned else report.excluded, "now excluded (--prune removes them)"),
        (sum(number for _, number in report.away), "on disks that may not be mounted"),
    ]


def _listed(notes: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{number:,} {what}" for number, what in notes if number)
