"""A comparison of two recordings as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundalike.api.records.matches import MatchRecord, SpaceRecord, WarningRecord, warning_records
from soundalike.core.literals import LevelReason, PercentileSource

if TYPE_CHECKING:
    from soundalike.search import Comparison, StemMatrix
    from soundalike.search.compare import PassagePair

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
class CellRecord:
    """How alike the recordings are in one space: a stem, or the mix, in one factor."""

    model: str
    space: str
    score: SpaceRecord
    passages: PassagePairRecord | None


@dataclass(frozen=True, slots=True)
class MatrixRecord:
    """The cells by row and column. `sources` are the rows, "mix" and the stems, and `factors` the columns."""

    sources: Sequence[str]
    factors: Sequence[str]
    cells: Mapping[str, Mapping[str, CellRecord]]


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """A comparison; `matches` holds one match. `matrix` is null without --matrix."""

    query: ComparisonQueryRecord
    models: Sequence[str]
    reference: PercentileSource
    weights: Mapping[str, float]
    matches: Sequence[ComparedRecord]
    passages: Mapping[str, PassagePairRecord | None]
    matrix: MatrixRecord | None
    warnings: Sequence[WarningRecord]


def comparison_record(a: str, b: str, found: Comparison, matrix: StemMatrix | None = None) -> ComparisonRecord:
    """Return the record of a comparison of the recordings that are called `a` and `b`."""
    span = found.match.query_span
    one = found.match.alignment
    alignment = AlignmentRecord(one.semitones, one.tempo_ratio, one.offset, one.agreement) if one else None
    pairs = {name: _pair_record(pair) for name, pair in found.pairs.items()}
    return ComparisonRecord(
        query=ComparisonQueryRecord(
            a, span.start if span else 0.0, span.end if span else 0.0, found.level, found.level_reason
        ),
        models=found.models if matrix is None else [*found.models, matrix.stems.model],
        reference=found.reference,
        weights=dict(found.weights),
        matches=[ComparedRecord.of(found.match, path=b, alignment=alignment)],
        passages=pairs,
        matrix=None if matrix is None else _matrix_record(matrix),
        warnings=warning_records(found.warnings),
    )


def _pair_record(pair: PassagePair | None) -> PassagePairRecord | None:
    if pair is None:
        return None
    a, b = (PassageRecord(span.start, span.end) for span in (pair.a, pair.b))
    return PassagePairRecord(a, b, pair.similarity)


def _matrix_record(matrix: StemMatrix) -> MatrixRecord:
    cells: dict[str, dict[str, CellRecord]] = {source: {} for source in matrix.sources}
    for cell in matrix:
        (score,) = SpaceRecord.all_of({cell.space: cell.score}).values()
        cells[cell.source][cell.factor] = CellRecord(cell.model, cell.space, score, _pair_record(cell.pair))
    return MatrixRecord(matrix.sources, matrix.factors, cells)
