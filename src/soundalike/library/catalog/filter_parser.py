"""Parse conditions on tracks, such as `bpm ~ 140 and (genre = jazz or not key = minor)`; docs/filters.md explains them.

filter    = and { "or" and }
and       = not { "and" not }
not       = "not" not | "(" filter ")" | condition
condition = FIELD OPERATOR VALUE | FIELD OPERATOR query | FIELD LOW..HIGH | FIELD ~ LOW..HIGH
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from soundalike.audio import MAX_SECONDS, parse_key, split_genres
from soundalike.core.errors import UsageError
from soundalike.core.text import fold
from soundalike.library.catalog.filters import (
    FIELDS,
    NUMBERS,
    AllOf,
    AnyOf,
    Expression,
    Filter,
    Not,
    NumberCondition,
    QueryCondition,
    TextCondition,
    half_and_double,
    mixes_with,
    near_tempo,
)

__all__ = ["parse_filter"]

_ALIASES = {
    "tempo": "bpm",
    "length": "duration",
    "artists": "artist",
    "genres": "genre",
    "albumartist": "album_artist",
}
_LIMITS = {
    "bpm": (0.0, 1000.0),
    "tempo_confidence": (0.0, 1.0),
    "key_confidence": (0.0, 1.0),
    "meter_confidence": (0.0, 1.0),
    "duration": (0.0, MAX_SECONDS),
    "loudness": (-100.0, 20.0),
    "year": (0.0, 9999.0),
}
"""The values that can exist."""
_MAX_DEPTH = 50
_QUERY = "query"
"""The value that stands for that of the recording that is searched with."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<op><=|>=|!=|=|<|>|~)|(?P<quoted>"[^"]*"|'[^']*')|(?P<bracket>[()])|(?P<word>[^\s<>=!~"'()]+))"""
)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_TIME = r"(?:\d+:)?\d{1,2}:\d\d(?:\.\d+)?"
_RANGE = re.compile(rf"({_TIME}|{_NUMBER})\.\.({_TIME}|{_NUMBER})")
_DECADE = re.compile(r"(\d{3}0)s")
_METER = re.compile(r"([1-9]|[12]\d|3[0-2])(/(?:1|2|4|8|16|32))?")


def parse_filter(text: str) -> Filter:
    """Parse conditions: `FIELD OPERATOR VALUE` or `FIELD LOW..HIGH`, joined by `and`, `or`, `not` and parentheses.

    `not` binds more tightly than `and`, and `and` more tightly than `or`. Operators are = != < <= > >= and ~, which
    means "contains" for text, half and double tempo included for bpm, and compatible keys for key. Text is compared
    without case; `*` in a value matches anything. The value `query` without quotes stands for that of the recording
    that is searched with. A track without a value never matches a condition.

    Raises:
        UsageError: The text cannot be parsed, or a value cannot exist; the message names the place, what was found and
            what was expected.

    Example:
        >>> parse_filter("bpm 90..110 and genre = jazz").conditions[1]
        TextCondition(field='genre', operator='=', value='jazz')
    """
    return _Parser(text).parse()


class _Token(NamedTuple):
    """`kind` is "op", "quoted", "bracket", "word" or "end"; `text` is without quotes; `place` counts from 1."""

    kind: str
    text: str
    place: int


class _Parser:
    """Reads the tokens of one text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    def parse(self) -> Filter:
        expression = self._any()
        token = self._peek()
        if token.kind != "end":
            expected = "'and' or 'or'" + ("; quote values of several words" if token.kind == "word" else "")
            self._fail(token, f"found {token.text!r}, expected {expected}")
        return Filter(expression.parts if isinstance(expression, AllOf) else (expression,))

    # Structure --------------------------------------------------------------------------------------------------

    def _any(self) -> Expression:
        parts = [self._all()]
        while self._take_word("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Expression:
        parts = [self._one()]
        while self._take_word("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self) -> Expression:
        token = self._peek()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._fail(token, f"more than {_MAX_DEPTH} levels of parentheses and 'not'")
        if self._take_word("not"):
            found: Expression = Not(self._one())
        elif token.text == "(" and token.kind == "bracket":
            self._at += 1
            found = self._any()
            closing = self._next()
            if closing.kind != "bracket" or closing.text != ")":
                found_text = "the end" if closing.kind == "end" else repr(closing.text)
                self._fail(closing, f"found {found_text}, expected 'and', 'or' or ')' for the '(' at {token.place}")
        else:
            found = self._condition()
        self._depth -= 1
        return found

    def _condition(self) -> Expression:
        token = self._next()
        field = _ALIASES.get(token.text.lower(), token.text.lower())
        if token.kind == "end" or token.text == ")":
            self._fail(token, "a condition is missing; expected one such as 'bpm 90..110'")
        if token.kind != "word" or field not in FIELDS:
            self._fail(token, f"unknown field {token.text!r}; known: {', '.join(FIELDS)}")
        operator = self._next()
        if operator.kind == "end":
            self._fail(operator, f"{field} has no comparison; expected '{field} = VALUE'")
        if operator.kind == "word" and field in NUMBERS and _RANGE.fullmatch(operator.text):
            return self._range(field, operator)
        if operator.kind != "op":
            self._fail(operator, f"found {operator.text!r} after {field}, expected = != < <= > >= ~ or a range a..b")
        value = self._next()
        if value.kind not in ("word", "quoted"):
            what = "no value" if value.kind == "end" else f"found {value.text!r}, no value,"
            self._fail(value, f"{what} after '{field} {operator.text}'; quote values with special characters")
        if value.kind == "word" and value.text.lower() == _QUERY:
            return self._query_condition(field, operator)
        if field in NUMBERS:
            return self._number_condition(field, operator, value)
        self._check_operator(field, operator)
        if field == "key":
            return self._key_condition(operator.text, value)
        if field == "meter":
            return self._meter_condition(operator, value)
        if field == "genre" and operator.text != "~" and len(parts := split_genres([value.text])) > 1:
            # Tags are split at the same characters, so "Hip-Hop/Rap" is two genres of a track.
            both = AllOf(tuple(TextCondition(field, "=", fold(part)) for part in parts))
            return both if operator.text == "=" else AllOf((TextCondition(field, "=", "*"), Not(both)))
        return TextCondition(field, operator.text, fold(value.text))

    # Values -----------------------------------------------------------------------------------------------------

    def _check_operator(self, field: str, operator: _Token) -> None:
        """Fail if the values of a field cannot be compared in this way."""
        if field in NUMBERS:
            if operator.text == "~" and field != "bpm":
                self._fail(operator, f"{field} is a number; compare it with = != < <= > >= or a range a..b")
        elif operator.text not in ("=", "!=", "~"):
            self._fail(operator, f"{field} is text; compare it with =, != or ~")
        elif field == "meter" and operator.text == "~":
            self._fail(operator, "compare meter with = or !=, such as 'meter = 3/4' or 'meter = 3'")

    def _query_condition(self, field: str, operator: _Token) -> Expression:
        self._check_operator(field, operator)
        return QueryCondition(field, operator.text)

    def _number_condition(self, field: str, operator: _Token, value: _Token) -> Expression:
        self._check_operator(field, operator)
        if field == "bpm" and operator.text == "~":
            if _RANGE.fullmatch(value.text):
                return half_and_double(*self._bounds(field, value))
            return near_tempo(self._number(field, value.text, value))
        decade = _DECADE.fullmatch(value.text)
        if field == "year" and decade and operator.text in ("=", "!="):
            first = float(decade[1])
            if operator.text == "=":
                return AllOf((NumberCondition(field, ">=", first), NumberCondition(field, "<=", first + 9)))
            return AnyOf((NumberCondition(field, "<", first), NumberCondition(field, ">", first + 9)))
        return NumberCondition(field, operator.text, self._number(field, value.text, value, operator.text))

    def _range(self, field: str, token: _Token) -> Expression:
        low, high = self._bounds(field, token)
        return AllOf((NumberCondition(field, ">=", low), NumberCondition(field, "<=", high)))

    def _bounds(self, field: str, token: _Token) -> tuple[float, float]:
        low_text, _, high_text = token.text.partition("..")
        low, high = (self._number(field, text, token) for text in (low_text, high_text))
        if low > high:
            self._fail(token, f"the range {token.text} is empty; put the smaller number first")
        return low, high

    def _number(self, field: str, text: str, token: _Token, operator: str = "") -> float:
        if field == "duration" and re.fullmatch(_TIME, text):
            number = 0.0
            for part in text.split(":"):
                number = 60 * number + float(part)
        elif re.fullmatch(_NUMBER, text):
            number = float(text)
        else:
            self._fail(token, f"{field} is a number; found '{operator + ' ' if operator else ''}{text}'")
        low, high = _LIMITS[field]
        if not low <= number <= high:
            self._fail(token, f"{field} cannot be {text}; expected {low:g} to {high:g}")
        return number

    def _key_condition(self, operator: str, value: _Token) -> Expression:
        if operator != "~" and "*" in value.text:
            return TextCondition("key", operator, fold(value.text))
        key = parse_key(value.text)
        if key is None:
            hint = "; for all minor keys write key = *minor" if value.text.lower() in ("minor", "major") else ""
            self._fail(value, f"{value.text!r} is not one key; write one such as Am, 'F# minor', Bb or 8A{hint}")
        if operator == "~":
            return mixes_with(key)
        return TextCondition("key", operator, fold(key))

    def _meter_condition(self, operator: _Token, value: _Token) -> Expression:
        meter = _METER.fullmatch(value.text)
        if value.text != "*" and not meter:
            self._fail(value, f"meter cannot be {value.text!r}; expected one such as 3/4, or 3 for 3/4 and 3/8")
        # The number of beats alone matches every unit.
        return TextCondition("meter", operator.text, value.text if not meter or meter[2] else f"{value.text}/*")

    # Tokens -----------------------------------------------------------------------------------------------------

    def _split(self) -> list[_Token]:
        tokens, at, text = [], 0, self._text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                start = at + len(text[at:]) - len(text[at:].lstrip())
                self._fail(_Token("word", "", start + 1), f"cannot read {text[start:]!r}; is a quote missing?")
            kind = str(found.lastgroup)
            value = found[kind][1:-1] if kind == "quoted" else found[kind]
            tokens.append(_Token(kind, value, found.start(kind) + 1))
            at = found.end()
        return [*tokens, _Token("end", "", len(text) + 1)]

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _take_word(self, word: str) -> bool:
        token = self._peek()
        taken = token.kind == "word" and token.text.lower() == word
        self._at += taken
        return taken

    def _fail(self, token: _Token, message: str) -> NoReturn:
        raise UsageError(f"in the condition {self._text!r} at character {token.place}: {message}")
