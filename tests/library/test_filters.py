"""Parsing of conditions, and its errors; test_filter_columns.py tests their evaluation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.library.catalog.filters import NUMBERS, Filter, NumberCondition, TextCondition, parse_filter


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("bpm 90..110", (NumberCondition("bpm", ">=", 90.0), NumberCondition("bpm", "<=", 110.0))),
        ("loudness<-9.5", (NumberCondition("loudness", "<", -9.5),)),
        ("GENRE = Jazz AND year != 1999", (TextCondition("genre", "=", "jazz"), NumberCondition("year", "!=", 1999.0))),
        ("artist ~ 'STRASSE und Straße'", (TextCondition("artist", "~", "strasse und strasse"),)),
        ("key = 8A", (TextCondition("key", "=", "a minor"),)),
        ("key ~ 8A", (TextCondition("key", "~", "8a"),)),
        ("key != *minor", (TextCondition("key", "!=", "*minor"),)),
    ],
)  # fmt: skip
def test_conditions(text: str, conditions: tuple[object, ...]) -> None:
    assert parse_filter(text) == Filter(conditions)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a condition is missing"),
        ("mood = sad", r"unknown field 'mood'; known: bpm, key, key_confidence, meter, duration, loudness"),
        ("bpm", "bpm has no comparison"),
        ("key = H", "'H' is not a key; write one such as Am"),
        ("bpm =", "no value after 'bpm ='"),
        ("bpm = fast", "bpm is a number; found '= fast'"),
        ("bpm ~ 9", "bpm is a number"),
        ("bpm 110..90", "put the smaller number first"),
        ("genre > jazz", "genre is text"),
        ("genre 1..2", "expected = != < <= > >= ~ or a range"),
        ("genre = drum and bass", "unknown field 'bass'"),
        ("genre = drum bass", r"found 'bass', expected 'and'; quote values"),
        ("genre = 'jazz", "is a quote missing"),
        ("bpm 90..110 and", "a condition is missing"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_filter(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        where = parse_filter(text)
    except UsageError as error:
        assert "\n" not in text or "\\n" in str(error) or "\n" not in str(error)
    else:
        assert where.conditions
        assert all(
            (condition.field in NUMBERS) == isinstance(condition, NumberCondition) for condition in where.conditions
        )


@given(st.sampled_from(("genre", "artist", "title", "album")), st.text(min_size=1, max_size=20))
def test_quoted_values_are_taken_as_they_are(field: str, value: str) -> None:
    value = value.replace('"', "").replace("*", "").strip()
    where = parse_filter(f'{field} = "{value}"')
    assert where.conditions == (TextCondition(field, "=", value.casefold()),)
