"""Versions of the pieces of a library as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soundalike.search import Versions

__all__ = ["CandidateRecord", "PairRecord", "VersionsRecord", "versions_record"]


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A recording of a piece, and its duplicates."""

    path: str
    copies: Sequence[str]


@dataclass(frozen=True, slots=True)
class PairRecord:
    """Two versions with the score, p-value and q-value of their similarity."""

    a: str
    b: str
    score: float
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class FamilyRecord:
    """The versions of one piece, and the pairs that connect them."""

    q: float
    versions: Sequence[VersionRecord]
    pairs: Sequence[PairRecord]


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """Two recordings of a small library, which may be alike by chance."""

    a: str
    b: str
    score: float


@dataclass(frozen=True, slots=True)
class VersionsRecord:
    """All version families of a library; see `soundalike.search.Versions`.

    `not_encoded` is the number of tracks that were left out because one of `models` has not encoded them, by its name.
    With fewer than 200 recordings there are `candidates` and no families, and both rates are null.
    """

    models: Sequence[str]
    weights: Mapping[str, float]
    false_discovery_rate: float | None
    recordings: int
    tests: int
    pairs: int
    expected_false: float | None
    not_encoded: Mapping[str, int]
    families: Sequence[FamilyRecord]
    candidates: Sequence[CandidateRecord]


def versions_record(found: Versions) -> VersionsRecord:
    """Return the record of the versions of a library."""
    return VersionsRecord(
        models=found.models,
        weights=dict(found.weights),
        false_discovery_rate=found.rate,
        recordings=found.recordings,
        tests=found.tests,
        pairs=found.found,
        expected_false=found.expected_false,
        not_encoded=found.not_encoded,
        families=[
            FamilyRecord(
                q=family.q,
                versions=[
                    VersionRecord(str(first.path), [str(copy.path) for copy in rest]) for first, *rest in family.members
                ],
                pairs=[
                    PairRecord(str(pair.a.path), str(pair.b.path), pair.score, pair.p, pair.q) for pair in family.pairs
                ],
            )
            for family in found.families
        ],
        candidates=[CandidateRecord(str(pair.a.path), str(pair.b.path), pair.score) for pair in found.candidates],
    )
