"""Records that several commands print as JSON. Field names are the keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundalike.core.types import Match, PercentileSource, SpaceScore

__all__ = [
    "ErrorRecord",
    "FailureRecord",
    "MatchRecord",
    "SpaceRecord",
    "WarningRecord",
    "failure_records",
    "match_record",
    "warning_records",
]


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Why a command could not be carried out."""

    error: str


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """An input that failed."""

    path: str
    error: str


def failure_records(failed: Iterable[tuple[object, str]]) -> list[FailureRecord]:
    """Return one record per input that failed."""
    return [FailureRecord(str(path), error) for path, error in failed]


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
    """A track, or a passage of one, with its score."""

    path: str
    start: float
    end: float
    score: float
    spaces: Mapping[str, SpaceRecord]


def match_record(match: Match, path: str | None = None) -> MatchRecord:
    """Return the record of a match; `path` replaces the path of its track."""
    span = match.span
    return MatchRecord(path or span.track, span.start, span.end, match.score, SpaceRecord.all_of(match.spaces))
