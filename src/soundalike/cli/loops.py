"""`soundalike search --stem` and `--in`: a folder that is searched, and searches with one stem."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundalike.cli.cells import count, near
from soundalike.cli.output import Progress, print_message
from soundalike.core.errors import LibraryError, UsageError
from soundalike.core.files import absolute
from soundalike.core.settings import cache_folder

if TYPE_CHECKING:
    from soundalike.api import Library
    from soundalike.audio import AudioInput
    from soundalike.search import SearchResults

__all__ = ["check_stem", "folder_library", "search_with_stem"]

_REFUSED = {
    "like": "--like",
    "unlike": "--unlike",
    "exclude_same_artist": "--exclude-same-artist",
    "include_self": "--include-self",
    "collapse": "--collapse",
}


def folder_library(folder: Path, model: str | None, *, quiet: bool) -> tuple[Library, bool]:
    """Open the library of a folder in the cache, after bringing it up to date.

    Args:
        folder: The folder of audio files.
        model: The model to encode with; None is the default one.
        quiet: Show no progress.

    Returns:
        The library, and whether files failed in this run.

    Raises:
        UsageError: It is no folder, or holds no recording that can be read.
        LibraryError: The cache cannot be written, or another process is writing there.
    """
    from soundalike import api
    from soundalike.library import discard_if_empty

    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"--in {folder}: it {what}; give a folder of audio files")
    folder = absolute(folder)
    place = cache_folder() / "folders" / hashlib.blake2b(os.fsencode(folder), digest_size=16).hexdigest()
    library = api.open(place, create=True)
    try:
        with Progress("file", enabled=not quiet) as progress:
            report = library.index(folder, model=model, prune=True, progress=progress, waiting=progress.wait)
        if report.interrupted:
            raise KeyboardInterrupt
        for name, error in report.failed:
            print_message(f"{near(name)}: {error}", "failed")
        if report.failed_before:
            unread = count(report.failed_before, "file")
            print_message(f"{unread} that could not be read before and did not change", "left out", "yellow")
        if not len(library):
            bad = len(report.failed) + report.failed_before
            found = f"none of the {count(bad, 'recording')} there can be read" if bad else "no recordings found there"
            raise UsageError(f"--in {near(str(folder))}: {found}; give a folder of audio files")
    except BaseException:
        library.close()
        with suppress(LibraryError):
            discard_if_empty(place)
        raise
    return library, bool(report.failed)


def check_stem(audio: str, stem: str, separator: str | None) -> None:
    """Raise an error if no separator makes the stem of a file, before anything takes time.

    Raises:
        UsageError: None that is installed makes the stem, or the one that was named does not.
        ModelError: The one that was named is not installed.
    """
    from soundalike.search import choose_separator

    if Path(audio).is_file():
        choose_separator(absolute(Path(audio)), stem, separator)


def search_with_stem(
    library: Library,
    recording: AudioInput,
    stem: str,
    separator: str | None,
    asked: Mapping[str, Any],
) -> SearchResults:
    """Search for loops like one stem of a recording.

    Args:
        library: The library.
        recording: The recording.
        stem: The stem.
        separator: The separator; None chooses one.
        asked: The arguments of `Library.search` that the command was given.

    Raises:
        UsageError: An option was given that does not go with `--stem`.
    """
    refused = [option for name, option in _REFUSED.items() if asked[name]]
    refused += ["--hubness"] if asked["hubness"] != "none" else []
    if refused:
        raise UsageError(
            f"--stem does not go with {', '.join(refused)}; leave {'it' if len(refused) == 1 else 'them'} out"
        )

    def separating(name: str) -> None:
        if name != "given":  # which takes a moment
            print_message(f"separating with {name}; the stems are kept for later searches")

    others = {name: value for name, value in asked.items() if name not in (*_REFUSED, "hubness")}
    return library.search_loops(recording, stem, separator, separating=separating, **others)
