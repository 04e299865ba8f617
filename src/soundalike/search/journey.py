"""A list of tracks in an order: what paths and playlists share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from soundalike.audio import Words, same_recording
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import IntArray, Match, Span, Weights
from soundalike.library import LibraryFolder, Subject
from soundalike.library.catalog import Track
from soundalike.models import Model, query_terms

__all__ = ["Journey", "Recording", "encode_whole", "paths_of", "whole_track"]


@dataclass(frozen=True, slots=True, eq=False)
class Journey:
    """Where a journey leads: `matches` in the order to hear them, and what is known of their `tracks`, by path.

    Of a path, each match is a step: its score and parts are those of it and the track before it (`query_span`), and
    the last match is the `end`; `direct` is the step from `start` to `end` in one. Of a playlist, scores are those of
    a search with the seed, `start`; `end` and `direct` are None. `note` says in words why there are fewer tracks
    than were asked for. `corrupt` are tracks that were left out because something of them is not what was written.
    """

    start: Span
    end: Span | None
    model: str
    weights: Weights
    matches: tuple[Match, ...]
    tracks: Mapping[str, Track]
    direct: Match | None = None
    note: str | None = None
    corrupt: tuple[str, ...] = ()

    @property
    def smallest(self) -> float | None:
        """The smallest score of a match; None where there is none."""
        return min((match.score for match in self.matches), default=None)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """By what a recording is told from others."""

    audio_hash: str
    words: Words

    def is_any_of(self, others: Iterable[Recording]) -> bool:
        """Whether it is the same recording as one of these."""
        return any(self.audio_hash == other.audio_hash or same_recording(self.words, other.words) for other in others)


def encode_whole(library: LibraryFolder, path: Path, model: Model, weights: Weights) -> Subject:
    """What a recording sounds like; errors name it. Raises AudioError, UsageError if there is nothing to hear."""
    try:
        subject = library.subject(path, model)
        query_terms(model.spaces, subject.track, weights, "track")
    except (AudioError, UsageError) as error:
        raise type(error)(f"{path}: {error}") from error
    return subject


def paths_of(library: LibraryFolder, ids: IntArray) -> tuple[str, ...]:
    """The paths of tracks, given their ids (n,)."""
    return tuple(str(track.path) for track in library.catalog.tracks_of(ids.tolist()))


def whole_track(track: Track) -> Span:
    """The span of a whole track."""
    return Span(str(track.path), 0.0, track.duration)
