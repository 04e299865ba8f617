"""Conditions on tracks: the records that `filter_parser.py` makes and `filter_columns.py` evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "FIELDS",
    "LISTS",
    "NUMBERS",
    "AllOf",
    "AnyOf",
    "Expression",
    "Filter",
    "Not",
    "NumberCondition",
    "TextCondition",
    "half_and_double",
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


Expression: TypeAlias = NumberCondition | TextCondition | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a track must all meet. Without conditions, every track matches."""

    conditions: tuple[Expression, ...] = ()


def half_and_double(low: float, high: float) -> AnyOf:
    """The condition that a tempo, its half or its double is in a range."""
    bounds = [(low * factor, high * factor) for factor in (0.5, 1.0, 2.0)]
    return AnyOf(
        tuple(AllOf((NumberCondition("bpm", ">=", one), NumberCondition("bpm", "<=", other))) for one, other in bounds)
    )
