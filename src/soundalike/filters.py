"""`--where`: conditions on tracks, such as `bpm 90..110 and genre = jazz`, compiled to SQL on the catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass

from soundalike.errors import UsageError
from soundalike.tags import parse_key

__all__ = ["FIELDS", "Filter", "parse_filter"]

FIELDS = {
    "bpm": "coalesce(tracks.bpm_tag, tracks.tempo)",
    "key": "coalesce(tracks.key_tag, tracks.key)",
    "key_confidence": "tracks.key_confidence",
    "meter": "tracks.meter",
    "duration": "tracks.duration",
    "loudness": "tracks.loudness",
    "year": "tracks.year",
    "genre": "tracks.genre",
    "artist": "tracks.artist",
    "album": "tracks.album",
    "title": "tracks.title",
    "path": "tracks.shown_path",
}
"""What can be asked, and the SQL it stands for. A tag, where there is one, goes before what was measured."""

_NUMBERS = {"bpm", "key_confidence", "duration", "loudness", "year"}
_TOKEN = re.compile(r"""\s*(?:(?P<op><=|>=|!=|=|<|>|~)|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s<>=!~"']+))""")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition as SQL with its parameters."""

    sql: str = "1"
    parameters: tuple[str | float, ...] = ()


def parse_filter(text: str) -> Filter:
    """Read `field op value` or `field a..b`, joined by `and`.

    Operators: = != < <= > >= and ~ (contains). Text is compared without regard to case; `*` in the value of = stands
    for anything. A track without the value asked about does not match. Raises UsageError saying what is wrong.
    """
    tokens = _tokens(text)
    clauses: list[str] = []
    parameters: list[str | float] = []
    at = 0
    while True:
        field, at = _field(tokens, at, text)
        clause, values, at = _condition(field, tokens, at, text)
        clauses.append(clause)
        parameters += values
        if at == len(tokens):
            return Filter(" AND ".join(clauses), tuple(parameters))
        if tokens[at].lower() != "and":
            raise UsageError(
                f"in --where {text!r}: found {tokens[at]!r}, expected 'and'; put quotes around several words"
            )
        at += 1


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        found = _TOKEN.match(stripped, at)
        if not found:
            raise UsageError(f"in --where {text!r}: cannot read {stripped[at:]!r}; is a quote missing?")
        tokens.append(found.group().strip())
        at = found.end()
    return tokens


def _field(tokens: list[str], at: int, text: str) -> tuple[str, int]:
    if at >= len(tokens):
        raise UsageError(f"in --where {text!r}: a condition is missing; expected one such as 'bpm 90..110'")
    field = tokens[at].lower()
    if field not in FIELDS:
        raise UsageError(f"in --where {text!r}: unknown field {tokens[at]!r}; known: {', '.join(FIELDS)}")
    return field, at + 1


def _condition(field: str, tokens: list[str], at: int, text: str) -> tuple[str, list[str | float], int]:
    column = FIELDS[field]
    if at >= len(tokens):
        raise UsageError(f"in --where {text!r}: {field} is compared with nothing; expected '{field} = VALUE'")
    operator = tokens[at]
    between = _RANGE.fullmatch(operator)
    if between and field in _NUMBERS:
        low, high = float(between[1]), float(between[2])
        if low > high:
            raise UsageError(f"in --where {text!r}: {operator} is empty; put the smaller number first")
        return f"{column} BETWEEN ? AND ?", [low, high], at + 1
    if operator not in ("=", "!=", "<", "<=", ">", ">=", "~"):
        raise UsageError(
            f"in --where {text!r}: found {operator!r} after {field}, expected = != < <= > >= ~ or a range a..b"
        )
    if at + 1 >= len(tokens):
        raise UsageError(f"in --where {text!r}: no value after '{field} {operator}'")
    value = tokens[at + 1]
    quoted = value[:1] in "\"'"
    value = value[1:-1] if quoted else value
    if field in _NUMBERS:
        if operator == "~" or not re.fullmatch(_NUMBER, value):
            raise UsageError(f"in --where {text!r}: {field} is a number; found '{operator} {value}'")
        return f"{column} {operator} ?", [float(value)], at + 2
    if operator not in ("=", "!=", "~"):
        raise UsageError(f"in --where {text!r}: {field} is text; compare it with =, != or ~")
    if field == "key" and operator != "~" and "*" not in value:
        known = parse_key(value)
        if known is None:
            raise UsageError(f"in --where {text!r}: {value!r} is no key; write one such as Am, 'F# minor', Bb or 8A")
        value = known
    lowered = f"casefold({column})"
    if operator == "~":
        return f"instr({lowered}, ?) > 0", [value.casefold()], at + 2
    if "*" in value:
        # GLOB knows ? and [ too: only the star is ours.
        pattern = re.sub(r"([?\[])", r"[\1]", value.casefold())
        return f"{lowered} {'NOT ' if operator == '!=' else ''}GLOB ?", [pattern], at + 2
    return f"{lowered} {operator} ?", [value.casefold()], at + 2
