"""A comparison of two recordings as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundalike.api.records.matches import MatchRecord, WarningRecord, warning_records
from soundalike.core.literals import LevelReason, PercentileSource

if TYPE_CHECKING:
    from soundalike.search import Comparison

__all__ = ["ComparisonRecord", "comparison_record"]


@dataclass(frozen=True, slots=True)
class ComparisonQueryRecord:
    """The first recording."""

    path: str
    start: float
    end: float
    level: str
    level_reason: LevelReason


@dataclass(frozen=True, slots=True)
class AlignmentRecord:
    """How the second recording is aligned with the first; see `soundalike.core.types.Alignment`."""

    semitones: int
    tempo_ratio: float
    offset: float
    agreement: float


@dataclass(frozen=True, slots=True)
class ComparedRecord(MatchRecord):
    """The second recording as a match of the first; `alignment` is null without --align."""

    alignment: AlignmentRecord | None


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """A passage in seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class PassagePairRecord:
    """The most similar passages of the two recordings in one space."""

    a: PassageRecord
    b: PassageRecord
    similarity: float


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """A comparison; `matches` holds one match."""

    query: ComparisonQueryRecord
    models: Sequence[str]
    reference: PercentileSource
    weights: Mapping[str, float]
    matches: Sequence[ComparedRecord]
    passages: Mapping[str, PassagePairRecord | None]
    warnings: Sequence[WarningRecord]


def comparison_record(a: str, b: str, found: Comparison) -> ComparisonRecord:
    """Return the record of a comparison of the recordings that are called `a` and `b`."""
    span = found.match.query_span
    one = found.match.alignment
    alignment = AlignmentRecord(one.semitones, one.tempo_ratio, one.offset, one.agreement) if one else None
    pairs = {
        name: PassagePairRecord(
            PassageRecord(pair.a.start, pair.a.end), PassageRecord(pair.b.start, pair.b.end), pair.similarity
        )
        if pair
        else None
        for name, pair in found.pairs.items()
    }
    return ComparisonRecord(
        query=ComparisonQueryRecord(
            a, span.start if span else 0.0, span.end if span else 0.0, found.level, found.level_reason
        ),
        models=[found.model],
        reference=found.reference,
        weights=dict(found.weights),
        matches=[ComparedRecord.of(found.match, path=b, alignment=alignment)],
        passages=pairs,
        warnings=warning_records(found.warnings),
    )
