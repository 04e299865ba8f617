"""Matches, the scores of their spaces, and warnings as plain values. Field names are the keys in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from soundalike.core.literals import PercentileSource

if TYPE_CHECKING:
    from soundalike.core.types import Match, SpaceScore
    from soundalike.library.catalog import Track

__all__ = ["MatchRecord", "SpaceRecord", "WarningRecord", "camelot", "warning_records"]


@dataclass(frozen=True, slots=True)
class WarningRecord:
    """An input that could be decoded in part, and what is missing."""

    path: str
    warning: str


def warning_records(warnings: Iterable[tuple[str, str]]) -> list[WarningRecord]:
    """Return one record per input with a warning."""
    return [WarningRecord(path, warning) for path, warning in warnings]


@dataclass(frozen=True, slots=True)
class SpaceRecord:
    """What one space contributes to a score; see `soundalike.core.types.SpaceScore`."""

    similarity: float | None
    z: float | None
    weight: float
    share: float
    percentile: float | None
    percentile_source: PercentileSource
    audible: bool

    @classmethod
    def all_of(cls, scores: Mapping[str, SpaceScore]) -> dict[str, SpaceRecord]:
        """Return one record per space."""
        return {
            name: cls(one.similarity, one.z, one.weight, one.share, one.percentile, one.percentile_source, one.audible)
            for name, one in scores.items()
        }


@dataclass(frozen=True, slots=True)
class MatchRecord:
    """A track, or a passage of one, with its score.

    `rank` counts from 1. `id` is that of the track in the library. What the library does not know is null. `start` and
    `end` are those of the match, in seconds. `percentile` is the percentage of random matches with a lower score.
    `stretch` is the tempo of the query, its half or its double, divided by that of the match: the quotient that is
    nearest to 1. `semitones` is the smallest transposition of the match that brings its key to that of the query or to
    its relative key. In a path, the query is the track before. `copies` are other files of the same recording.
    """

    rank: int
    id: int | None
    path: str
    title: str | None
    artist: str | None
    artists: Sequence[str]
    album: str | None
    bpm: float | None
    key: str | None
    camelot: str | None
    duration: float | None
    start: float
    end: float
    score: float
    percentile: float | None
    stretch: float | None
    semitones: int | None
    spaces: Mapping[str, SpaceRecord]
    copies: Sequence[str]

    @classmethod
    def of(cls, match: Match, track: Track | None = None, *, path: str | None = None, **more: Any) -> Self:
        """Return the record of a match.

        Args:
            match: The match.
            track: What the library knows of its track.
            path: Replaces the path of the track.
            more: The fields that the class adds to this one.
        """
        span = match.span
        return cls(
            rank=match.rank,
            id=track.id if track else None,
            path=path or span.track,
            title=match.title,
            artist=match.artist,
            artists=match.artists,
            album=match.album,
            bpm=match.bpm,
            key=match.key,
            camelot=camelot(match.key),
            duration=match.duration,
            start=span.start,
            end=span.end,
            score=match.score,
            percentile=match.percentile,
            stretch=match.stretch,
            semitones=match.semitones,
            spaces=SpaceRecord.all_of(match.spaces),
            copies=match.copies,
            **more,
        )


def camelot(key: str | None) -> str | None:
    """Return the Camelot code of a key; None if it is unknown or is no name of a key."""
    from soundalike.audio import camelot_code, parse_key

    parsed = parse_key(key) if key else None
    return camelot_code(parsed) if parsed else None
