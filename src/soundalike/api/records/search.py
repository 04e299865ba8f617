"""The answer to a search as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soundalike.api.records.matches import MatchRecord, SpaceRecord, WarningRecord, warning_records
from soundalike.core.literals import LevelReason, PercentileSource

if TYPE_CHECKING:
    from soundalike.core.types import Match
    from soundalike.search import Example, SearchResults

__all__ = ["SearchMatchRecord", "SearchRecord", "example_weights", "search_record"]


@dataclass(frozen=True, slots=True)
class SearchQueryRecord:
    """The recording, or region of one, that was searched with.

    `shortlist` is null, or the number of tracks, the most similar by their mixes, that were compared by their stems.
    `stem` is null, or the stem of the recording that was searched with, and `separator` what made it.
    """

    path: str
    start: float
    end: float
    level: str
    where: str | None
    searched: int
    hubness: str
    level_reason: LevelReason
    at_least: Mapping[str, float]
    at_most: Mapping[str, float]
    shortlist: int | None
    stem: str | None
    separator: str | None


@dataclass(frozen=True, slots=True)
class ExampleRecord:
    """One of several examples, with its weights."""

    path: str
    like: bool
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ExampleScoreRecord:
    """What one of several examples contributes to a match."""

    path: str
    like: bool
    score: float
    spaces: Mapping[str, SpaceRecord]


@dataclass(frozen=True, slots=True)
class SearchMatchRecord(MatchRecord):
    """A match; `examples` is empty without --like and --unlike, `versions` is null without --collapse.

    `relation` is null, or what the match is to the query.
    """

    relation: str | None
    examples: Sequence[ExampleScoreRecord]
    versions: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """The answer to a search.

    `models` are the models whose spaces the request uses, its own model first. `reference` says whose random pairs
    scores and percentiles are measured against. `not_encoded` is the number of tracks that were left out because one of
    the models has not encoded them, by its name.
    """

    query: SearchQueryRecord
    models: Sequence[str]
    reference: PercentileSource
    weights: Mapping[str, float]
    matches: Sequence[SearchMatchRecord]
    copies: Sequence[str]
    corrupt: Sequence[str]
    missing: Sequence[str]
    absent_folders: Sequence[str]
    not_encoded: Mapping[str, int]
    examples: Sequence[ExampleRecord]
    warnings: Sequence[WarningRecord]


def search_record(results: SearchResults, where: str | None) -> SearchRecord:
    """Return the record of the answer to a search."""
    span = results.query
    return SearchRecord(
        query=SearchQueryRecord(
            span.track,
            span.start,
            span.end,
            results.level,
            where,
            results.searched,
            results.hubness,
            results.level_reason,
            results.at_least,
            results.at_most,
            results.shortlist,
            results.stem,
            results.separator,
        ),
        models=results.models,
        reference=results.reference,
        weights=dict(results.weights),
        matches=[_match_record(results, match) for match in results],
        copies=results.copies,
        corrupt=results.corrupt,
        missing=results.missing,
        absent_folders=results.absent_folders,
        not_encoded=results.not_encoded,
        examples=[ExampleRecord(str(one.path), one.like, example_weights(one)) for one in results.examples],
        warnings=warning_records(results.warnings),
    )


def _match_record(results: SearchResults, match: Match) -> SearchMatchRecord:
    return SearchMatchRecord.of(
        match,
        results.tracks.get(match.path),
        relation=match.relation,
        examples=[
            ExampleScoreRecord(one.path, one.like, one.score, SpaceRecord.all_of(one.spaces)) for one in match.examples
        ],
        versions=None if results.versions is None else results.versions.get(match.path, ()),
    )


def example_weights(one: Example) -> Mapping[str, float]:
    """Return the weights of an example."""
    return dict(one.weights) if isinstance(one.weights, Mapping) else {}
