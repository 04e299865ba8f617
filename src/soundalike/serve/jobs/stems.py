"""Separate tracks, in the process of a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundalike.api import Library
from soundalike.core.errors import AudioError, UsageError
from soundalike.serve.jobs.requests import StemsJob

__all__ = ["SeparatedRecord", "separate_tracks"]


@dataclass(frozen=True, slots=True)
class NotSeparated:
    """A track that could not be separated. `error` is one sentence."""

    track: int
    error: str


@dataclass(frozen=True, slots=True)
class SeparatedRecord:
    """The stems of a separator, the number of tracks of which they are in the cache, and the others."""

    separator: str
    stems: Sequence[str]
    tracks: int
    failed: Sequence[NotSeparated]


def separate_tracks(library: Library, job: StemsJob, report: Callable[[int, int, Path], None]) -> SeparatedRecord:
    """Separate the tracks of a job that are not in the cache.

    Args:
        library: The library.
        job: The job.
        report: Called before every track with the number of those before it, that of all, and its file.

    Raises:
        ModelError: The separator lacks its extra or its weights.
        UsageError: There is no such separator, the library holds a track no more, or the cache cannot be written.
    """
    from soundalike.audio.separators import separated_stems
    from soundalike.core import plugins

    separator = plugins.load("separators", job.separator)
    try:
        tracks = library.folder.catalog.tracks_of(job.tracks)
    except KeyError:
        raise UsageError("a track has been removed from the library since; start the job without it") from None
    failed = []
    for done, track in enumerate(tracks):
        report(done, len(tracks), track.path)
        try:
            separated_stems(separator, track.path)
        except AudioError as error:
            failed.append(NotSeparated(track.id, f"{track.path.name}: {error}"))
    return SeparatedRecord(separator.name, separator.stems, len(tracks) - len(failed), failed)
