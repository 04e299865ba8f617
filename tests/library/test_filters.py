"""Parsing of conditions, and its errors; test_filter_columns.py tests their evaluation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.core.text import fold
from soundalike.library.catalog.filter_parser import parse_filter
from soundalike.library.catalog.filters import (
    NUMBERS,
    AllOf,
    AnyOf,
    Expression,
    Filter,
    Not,
    NumberCondition,
    TextCondition,
)


def number(field: str, operator: str, value: float) -> NumberCondition:
    return NumberCondition(field, operator, value)


def between(field: str, low: float, high: float) -> tuple[NumberCondition, NumberCondition]:
    return number(field, ">=", low), number(field, "<=", high)


JAZZ, POP, NEW = TextCondition("genre", "=", "jazz"), TextCondition("genre", "=", "pop"), number("year", ">", 2000)


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("bpm 90..110", between("bpm", 90, 110)),
        ("bpm 90..90", between("bpm", 90, 90)),
        ("loudness -12..-9.5", between("loudness", -12, -9.5)),
        ("loudness<-9.5", (number("loudness", "<", -9.5),)),
        ("tempo > 100", (number("bpm", ">", 100),)),
        ("GENRE = Jazz AND year != 1999", (JAZZ, number("year", "!=", 1999))),
        ("artist ~ 'STRASSE und Straße'", (TextCondition("artist", "~", "strasse und strasse"),)),
        ("artist = Be\u0301a", (TextCondition("artist", "=", "b\u00e9a"),)),
        ("album_artist = x", (TextCondition("album_artist", "=", "x"),)),
        ("title = 'a (b) or c'", (TextCondition("title", "=", "a (b) or c"),)),
        ("title = not", (TextCondition("title", "=", "not"),)),
        # keys
        ("key = 8A", (TextCondition("key", "=", "a minor"),)),
        ("key = 1m", (TextCondition("key", "=", "a minor"),)),
        ("key = 'B flat minor'", (TextCondition("key", "=", "a# minor"),)),
        ("key != *minor", (TextCondition("key", "!=", "*minor"),)),
        # meters
        ("meter = 3/4", (TextCondition("meter", "=", "3/4"),)),
        ("meter != 3", (TextCondition("meter", "!=", "3/*"),)),
        ("meter = *", (TextCondition("meter", "=", "*"),)),
        # durations and years
        ("duration > 3:30", (number("duration", ">", 210),)),
        ("length 1:00..1:02:03.5", between("duration", 60, 3723.5)),
        ("year = 1990s", between("year", 1990, 1999)),
        ("year != 1990s", (AnyOf((number("year", "<", 1990), number("year", ">", 1999))),)),
        # a genre is split as tags are
        ("genre = Pop/Jazz", (POP, JAZZ)),
        ("genre != Pop/Jazz", (TextCondition("genre", "=", "*"), Not(AllOf((POP, JAZZ))))),
        ("genre ~ Pop/Jazz", (TextCondition("genre", "~", "pop/jazz"),)),
        # precedence: not, and, or
        ("genre = jazz or genre = pop and year > 2000", (AnyOf((JAZZ, AllOf((POP, NEW)))),)),
        ("(genre = jazz or genre = pop) and year > 2000", (AnyOf((JAZZ, POP)), NEW)),
        ("not genre = jazz and year > 2000", (Not(JAZZ), NEW)),
        ("not (genre = jazz and year > 2000)", (Not(AllOf((JAZZ, NEW))),)),
        ("NOT not genre=jazz OR((genre=pop))", (AnyOf((Not(Not(JAZZ)), POP)),)),
    ],
)  # fmt: skip
def test_conditions(text: str, conditions: tuple[object, ...]) -> None:
    assert parse_filter(text) == Filter(conditions)


def test_a_tempo_includes_its_half_and_its_double() -> None:
    def bounds(text: str) -> list[float]:
        [found] = parse_filter(text).conditions
        assert isinstance(found, AnyOf)
        return [bound.value for part in found.parts for bound in part.parts]

    assert bounds("bpm ~ 140") == pytest.approx([67.2, 72.8, 134.4, 145.6, 268.8, 291.2])
    assert bounds("bpm ~ 130..150") == [65, 75, 130, 150, 260, 300]


@pytest.mark.parametrize("text", ["key ~ 8A", "key ~ Am", "key ~ 1m"])
def test_compatible_keys(text: str) -> None:
    [found] = parse_filter(text).conditions
    assert isinstance(found, AnyOf)
    keys = {part.value for part in found.parts if isinstance(part, TextCondition) and part.operator == "="}
    assert keys == {"a minor", "d minor", "e minor", "c major"} and len(found.parts) == 4


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", 1, "a condition is missing"),
        ("mood = sad", 1, r"unknown field 'mood'; known: bpm, tempo_confidence, key, key_confidence, meter"),
        ("bpm", 4, "bpm has no comparison"),
        ("key = H9", 7, "'H9' is not one key; write one such as Am"),
        ("key = a", 7, "'a' is not one key"),
        ("key ~ minor", 7, r"for all minor keys write key = \*minor"),
        ("bpm =", 6, "no value after 'bpm ='"),
        ("bpm = )", 7, r"found '\)', no value, after 'bpm ='"),
        ("bpm = fast", 7, "bpm is a number; found '= fast'"),
        ("year ~ 9", 6, "year is a number; compare it with = != < <= > >= or a range"),
        ("bpm 110..90", 5, "put the smaller number first"),
        ("genre > jazz", 7, "genre is text; compare it with =, != or ~"),
        ("genre 1..2", 7, "expected = != < <= > >= ~ or a range"),
        ("genre = drum and bass", 18, "bass has no comparison|unknown field 'bass'"),
        ("genre = drum bass", 14, "found 'bass', expected 'and' or 'or'; quote values"),
        ("genre = 'jazz", 9, r"cannot read \"'jazz\"; is a quote missing"),
        ("bpm 90..110 and", 16, "a condition is missing"),
        ("bpm 90..110 or", 15, "a condition is missing"),
        ("not", 4, "a condition is missing"),
        ("()", 2, "a condition is missing"),
        ("(bpm > 1", 9, r"found the end, expected 'and', 'or' or '\)' for the '\(' at 1"),
        ("(bpm > 1 x", 10, r"found 'x', expected 'and', 'or' or '\)'"),
        ("bpm > 1)", 8, r"found '\)', expected 'and' or 'or'$"),
        ("bpm > 1 not bpm > 2", 9, "found 'not', expected 'and' or 'or'"),
        ("title = (live)", 9, "quote values with special characters"),
        # values that cannot exist
        ("bpm > 1001", 7, "bpm cannot be 1001; expected 0 to 1000"),
        ("bpm ~ 2000", 7, "bpm cannot be 2000"),
        ("bpm 90..9000", 5, "bpm cannot be 9000"),
        ("bpm > -1", 7, "bpm cannot be -1"),
        ("meter = 0", 9, "meter cannot be '0'; expected one such as 3/4"),
        ("meter = 3/5", 9, "meter cannot be '3/5'"),
        ("meter = waltz", 9, "meter cannot be 'waltz'"),
        ("meter ~ 3", 7, "compare meter with = or !="),
        ("year = 99999", 8, "year cannot be 99999; expected 0 to 9999"),
        ("key_confidence > 2", 18, "key_confidence cannot be 2; expected 0 to 1"),
        ("tempo_confidence >= -.1", 21, "tempo_confidence cannot be -.1"),
        ("meter_confidence = 1.1", 20, "meter_confidence cannot be 1.1"),
        ("duration < -5", 12, "duration cannot be -5; expected 0 to 43200"),
        ("loudness < -200", 12, "loudness cannot be -200; expected -100 to 20"),
        (f"year = {'9' * 400}", 8, "year cannot be 9999"),
    ],
)  # fmt: skip
def test_errors_say_where_and_what_is_wrong(text: str, place: int, message: str) -> None:
    with pytest.raises(UsageError, match=rf"at character {place}: .*({message})"):
        parse_filter(text)


def test_deep_nesting_is_refused_not_followed() -> None:
    assert parse_filter("(" * 49 + "bpm > 1" + ")" * 49) == Filter((number("bpm", ">", 1),))
    for text in ("(" * 5000, "not " * 5000, "not(" * 100 + "bpm > 1" + ")" * 100):
        with pytest.raises(UsageError, match="more than 50 levels"):
            parse_filter(text)


def leaves(expressions: tuple[Expression, ...]) -> list[Expression]:
    found: list[Expression] = []
    for one in expressions:
        if isinstance(one, AllOf | AnyOf):
            found += leaves(one.parts)
        else:
            found += leaves((one.part,)) if isinstance(one, Not) else [one]
    return found


words = st.sampled_from(("bpm", "key", "genre", "and", "or", "not", "(", ")", "=", "~", "90..110", "8A", "'x y'", "*"))


@given(st.text(max_size=40) | st.lists(words, max_size=12).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        where = parse_filter(text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        conditions = leaves(where.conditions)
        assert conditions
        for one in conditions:
            assert isinstance(one, NumberCondition | TextCondition)
            assert (one.field in NUMBERS) == isinstance(one, NumberCondition)


@given(st.sampled_from(("artist", "title", "album")), st.text(min_size=1, max_size=20))
def test_quoted_values_are_taken_as_they_are(field: str, value: str) -> None:
    value = value.replace('"', "").replace("*", "")
    where = parse_filter(f'{field} = "{value}"')
    assert where.conditions == (TextCondition(field, "=", fold(value)),)
