"""Conditions on tracks, such as `bpm 90..110 and genre = jazz`. `filter_columns.py` evaluates them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from soundalike.audio import parse_key
from soundalike.core.errors import UsageError

__all__ = ["FIELDS", "NUMBERS", "Condition", "Filter", "NumberCondition", "TextCondition", "parse_filter"]

FIELDS = (
    "bpm",
    "key",
    "key_confidence",
    "meter",
    "duration",
    "loudness",
    "year",
    "genre",
    "artist",
    "album",
    "title",
    "path",
)
"""The fields of conditions. A tag takes precedence over a measurement."""
NUMBERS = frozenset({"bpm", "key_confidence", "duration", "loudness", "year"})
"""The fields that are numbers; the others are text."""

_TOKEN = re.compile(r"""\s*(?:(?P<op><=|>=|!=|=|<|>|~)|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s<>=!~"']+))""")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")


@dataclass(frozen=True, slots=True)
class NumberCondition:
    """A number compared with `value`: `operator` is one of = != < <= > >=. A track without a value never matches."""

    field: str
    operator: str
    value: float


@dataclass(frozen=True, slots=True)
class TextCondition:
    """Casefolded text compared with `value`, casefolded too: `operator` is =, != or ~ (contains).

    With = and !=, each `*` in the value matches anything. A track without a value never matches.
    """

    field: str
    operator: str
    value: str


Condition: TypeAlias = NumberCondition | TextCondition


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a track must all meet. Without conditions, every track matches."""

    conditions: tuple[Condition, ...] = ()


def parse_filter(text: str) -> Filter:
    """Parse conditions: `FIELD OPERATOR VALUE` or `FIELD LOW..HIGH`, joined by `and`.

    Operators are = != < <= > >= and ~ (contains). Text is compared without case; `*` in a value matches anything. A
    track without a value never matches.

    Raises:
        UsageError: The text cannot be parsed; the message names what was found and what was expected.

    Example:
        >>> len(parse_filter("bpm 90..110 and genre = jazz").conditions)
        3
    """
    tokens = _tokens(text)
    conditions: list[Condition] = []
    at = 0
    while True:
        field, at = _field(tokens, at, text)
        found, at = _conditions(field, tokens, at, text)
        conditions += found
        if at == len(tokens):
            return Filter(tuple(conditions))
        if tokens[at].lower() != "and":
            raise UsageError(
                f"in the condition {text!r}: found {tokens[at]!r}, expected 'and'; quote values of several words"
            )
        at += 1


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        found = _TOKEN.match(stripped, at)
        if not found:
            raise UsageError(f"in the condition {text!r}: cannot read {stripped[at:]!r}; is a quote missing?")
        tokens.append(found.group().strip())
        at = found.end()
    return tokens


def _field(tokens: list[str], at: int, text: str) -> tuple[str, int]:
    if at >= len(tokens):
        raise UsageError(f"in the condition {text!r}: a condition is missing; expected one such as 'bpm 90..110'")
    field = tokens[at].lower()
    if field not in FIELDS:
        raise UsageError(f"in the condition {text!r}: unknown field {tokens[at]!r}; known: {', '.join(FIELDS)}")
    return field, at + 1


def _conditions(field: str, tokens: list[str], at: int, text: str) -> tuple[list[Condition], int]:
    if at >= len(tokens):
        raise UsageError(f"in the condition {text!r}: {field} has no comparison; expected '{field} = VALUE'")
    operator = tokens[at]
    between = _RANGE.fullmatch(operator)
    if between and field in NUMBERS:
        low, high = float(between[1]), float(between[2])
        if low > high:
            raise UsageError(f"in the condition {text!r}: the range {operator} is empty; put the smaller number first")
        return [NumberCondition(field, ">=", low), NumberCondition(field, "<=", high)], at + 1
    if operator not in ("=", "!=", "<", "<=", ">", ">=", "~"):
        raise UsageError(
            f"in the condition {text!r}: found {operator!r} after {field}, expected = != < <= > >= ~ or a range a..b"
        )
    if at + 1 >= len(tokens):
        raise UsageError(f"in the condition {text!r}: no value after '{field} {operator}'")
    value = tokens[at + 1]
    quoted = value[:1] in "\"'"
    value = value[1:-1] if quoted else value
    if field in NUMBERS:
        if operator == "~" or not re.fullmatch(_NUMBER, value):
            raise UsageError(f"in the condition {text!r}: {field} is a number; found '{operator} {value}'")
        return [NumberCondition(field, operator, float(value))], at + 2
    if operator not in ("=", "!=", "~"):
        raise UsageError(f"in the condition {text!r}: {field} is text; compare it with =, != or ~")
    if field == "key" and operator != "~" and "*" not in value:
        known = parse_key(value)
        if known is None:
            raise UsageError(
                f"in the condition {text!r}: {value!r} is not a key; write one such as Am, 'F# minor', Bb or 8A"
            )
        value = known
    return [TextCondition(field, operator, value.casefold())], at + 2
