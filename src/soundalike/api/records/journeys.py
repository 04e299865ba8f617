"""Paths and playlists as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soundalike.api.records.matches import MatchRecord
from soundalike.core.literals import PercentileSource

if TYPE_CHECKING:
    from soundalike.core.types import Match
    from soundalike.search import Journey

__all__ = ["PathRecord", "PlaylistQueryRecord", "PlaylistRecord", "path_record", "playlist_record"]


@dataclass(frozen=True, slots=True)
class PathQueryRecord:
    """Where the path starts and ends, and the number of tracks in between."""

    a: str
    b: str
    steps: int
    where: str | None


@dataclass(frozen=True, slots=True)
class PathRecord:
    """A path: `matches` are the tracks in between, `arrival` is B, `direct` is the score of B as a match of A.

    `copies` are copies of A and B, which were left out. `not_encoded` is the number of tracks that were left out
    because one of `models` has not encoded them, by its name.
    """

    query: PathQueryRecord
    models: Sequence[str]
    reference: PercentileSource
    weights: Mapping[str, float]
    matches: Sequence[MatchRecord]
    note: str | None
    copies: Sequence[str]
    corrupt: Sequence[str]
    missing: Sequence[str]
    absent_folders: Sequence[str]
    not_encoded: Mapping[str, int]
    arrival: MatchRecord
    direct: float | None
    smallest: float | None


@dataclass(frozen=True, slots=True)
class PlaylistQueryRecord:
    """The seed and the limits."""

    path: str
    length: int
    where: str | None
    spread: float
    tempo: tuple[float, float] | None
    tempo_step: float | None
    half_double: bool
    harmonic: bool


@dataclass(frozen=True, slots=True)
class PlaylistRecord:
    """A playlist; `note` says why it is shorter than requested, if it is; `copies` are those of the seed, left out.

    `not_encoded` is the number of tracks that were left out because one of `models` has not encoded them, by its name.
    """

    query: PlaylistQueryRecord
    models: Sequence[str]
    reference: PercentileSource
    weights: Mapping[str, float]
    matches: Sequence[MatchRecord]
    note: str | None
    copies: Sequence[str]
    corrupt: Sequence[str]
    missing: Sequence[str]
    absent_folders: Sequence[str]
    not_encoded: Mapping[str, int]


def path_record(found: Journey, steps: int, where: str | None) -> PathRecord:
    """Return the record of a path, of which `steps` tracks in between that meet `where` were asked for."""
    *between, last = found.matches
    (arrival,) = _records(found, [last])
    return PathRecord(
        query=PathQueryRecord(found.start.track, last.path, steps, where),
        matches=_records(found, between),
        **_facts(found),
        arrival=arrival,
        direct=found.direct.score if found.direct else None,
        smallest=found.smallest,
    )


def playlist_record(found: Journey, query: PlaylistQueryRecord) -> PlaylistRecord:
    """Return the record of a playlist."""
    return PlaylistRecord(query=query, matches=_records(found, found.matches), **_facts(found))


def _records(journey: Journey, matches: Sequence[Match]) -> list[MatchRecord]:
    return [MatchRecord.of(match, journey.tracks.get(match.path)) for match in matches]


def _facts(journey: Journey) -> dict[str, Any]:
    """The fields that the records of paths and playlists share, besides the query and the matches."""
    return {
        "models": journey.models,
        "reference": journey.reference,
        "weights": dict(journey.weights),
        "note": journey.note,
        "copies": journey.copies,
        "corrupt": journey.corrupt,
        "missing": journey.missing,
        "absent_folders": journey.absent_folders,
        "not_encoded": journey.not_encoded,
    }
