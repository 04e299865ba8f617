"""Conditions on tracks: the records that `filter_parser.py` makes and `filter_columns.py` evaluates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from soundalike.audio import compatible_keys
from soundalike.core.text import fold

__all__ = [
    "FIELDS",
    "LISTS",
    "NUMBERS",
    "TEMPO_TOLERANCE",
    "AllOf",
    "AnyOf",
    "Expression",
    "Filter",
    "Not",
    "NumberCondition",
    "QueryCondition",
    "TextCondition",
    "half_and_double",
    "mixes_with",
    "near_tempo",
]

FIELDS = (
    "bpm",
    "tempo_confidence",
    "key",
    "key_confidence",
    "meter",
    "meter_confidence",
    "duration",
    "loudness",
    "year",
    "genre",
    "artist",
    "album_artist",
    "album",
    "title",
    "path",
)
"""The fields of conditions. A tag takes precedence over a measurement."""
NUMBERS = frozenset(("bpm", "tempo_confidence", "key_confidence", "meter_confidence", "duration", "loudness", "year"))
"""The fields that are numbers; the others are text."""
LISTS = frozenset(("artist", "genre"))
"""The text fields of which a track may have several values."""
TEMPO_TOLERANCE = 0.04
"""`bpm ~ 140` accepts this relative difference, the usual tolerance when tempo estimates are evaluated."""


@dataclass(frozen=True, slots=True)
class NumberCondition:
    """A number compared with `value`: `operator` is one of = != < <= > >=. A track without a value never matches."""

    field: str
    operator: str
    value: float


@dataclass(frozen=True, slots=True)
class TextCondition:
    """Text compared with `value`, both folded by `core.text.fold`: `operator` is =, != or ~ (contains).

    With = and !=, each `*` in the value matches anything. A track without a value never matches. Of several values, one
    must match for = and ~, and none may match for !=.
    """

    field: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class QueryCondition:
    """A field compared with its value in the recording that is searched with, such as `bpm ~ query`.

    `query_values.py` replaces it by a condition of another kind before a filter is evaluated.
    """

    field: str
    operator: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part must match."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part must match."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part must not match. This includes tracks without a value."""

    part: Expression


Expression: TypeAlias = NumberCondition | TextCondition | QueryCondition | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a track must all meet. Without conditions, every track matches."""

    conditions: tuple[Expression, ...] = ()

    def query_conditions(self) -> Iterator[QueryCondition]:
        """The conditions that need a query, in the order in which they were written."""
        for condition in self.conditions:
            yield from _query_conditions(condition)


def half_and_double(low: float, high: float) -> AnyOf:
    """The condition that a tempo, its half or its double is in a range."""
    bounds = [(low * factor, high * factor) for factor in (0.5, 1.0, 2.0)]
    return AnyOf(
        tuple(AllOf((NumberCondition("bpm", ">=", one), NumberCondition("bpm", "<=", other))) for one, other in bounds)
    )


def near_tempo(bpm: float) -> AnyOf:
    """The condition that a tempo, its half or its double is within `TEMPO_TOLERANCE` of another one."""
    return half_and_double(bpm * (1 - TEMPO_TOLERANCE), bpm * (1 + TEMPO_TOLERANCE))


def mixes_with(key: str) -> AnyOf:
    """The condition that a key mixes well with another one, which is written as `parse_key` returns it."""
    return AnyOf(tuple(TextCondition("key", "=", fold(one)) for one in sorted(compatible_keys(key))))


def _query_conditions(expression: Expression) -> Iterator[QueryCondition]:
    match expression:
        case QueryCondition():
            yield expression
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _query_conditions(part)
        case Not(part):
            yield from _query_conditions(part)
        case _:
            pass
