"""`--where`: what it means, checked against plain Python, and what it says when it cannot be read."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.errors import UsageError
from soundalike.filters import FIELDS, parse_filter

TRACKS = [
    {"bpm_tag": None, "tempo": 92.0, "key_tag": None, "key": "A minor", "duration": 200.0, "loudness": -9.0,
     "year": 1965, "genre": "Jazz", "artist": "Ornette", "album": "One", "title": "Lonely",
     "shown_path": "/m/jazz/a.mp3"},
    {"bpm_tag": 120.0, "tempo": 60.0, "key_tag": "C major", "key": "A minor", "duration": 31.5, "loudness": -14.0,
     "year": None, "genre": "Drum and Bass", "artist": None, "album": None, "title": "Été",
     "shown_path": "/m/dnb/b [1].mp3"},
    {"bpm_tag": None, "tempo": None, "key_tag": None, "key": None, "duration": 0.4, "loudness": None,
     "year": 2001, "genre": None, "artist": "ÉTÉ", "album": "Two", "title": None, "shown_path": "/m/c?.wav"},
]  # fmt: skip


def found(text: str) -> list[int]:
    database = sqlite3.connect(":memory:")
    database.create_function("casefold", 1, lambda value: value.casefold() if value else value)
    database.execute(f"CREATE TABLE tracks ({', '.join(TRACKS[0])})")
    for track in TRACKS:
        database.execute(f"INSERT INTO tracks VALUES ({', '.join('?' * len(track))})", tuple(track.values()))
    where = parse_filter(text)
    rows = database.execute(f"SELECT rowid FROM tracks WHERE {where.sql}", where.parameters).fetchall()
    database.close()
    return [row[0] - 1 for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bpm 90..110", [0]),
        ("bpm 90..130", [0, 1]),  # a tag goes before what was measured
        ("bpm > 100", [1]),
        ("bpm>=92 and bpm<=92", [0]),
        ("genre = jazz", [0]),
        ("genre = 'drum and bass'", [1]),
        ('genre ~ "AND"', [1]),
        ("genre != jazz", [1]),  # no genre is not another genre
        ("artist = été", [2]),
        ("title ~ ÉT", [1]),
        ("key = 'c major'", [1]),
        ("key = Am", [0]),
        ("key != 8A", [1]),
        ("key = *minor", [0]),
        ("path = /m/jazz/*", [0]),
        ("path ~ [1]", [1]),
        ("path = '*b [1].mp3'", [1]),
        ("path = *c?.wav", [2]),
        ("duration < 60 and year > 2000", [2]),
        ("loudness -10..-5", [0]),
        ("BPM 90..110 AND GENRE = JAZZ", [0]),
        ("year = 1965.0", [0]),
        ("album ~ nothing", []),
    ],
)
def test_meaning(text: str, expected: list[int]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a condition is missing"),
        ("mood = sad", r"unknown field 'mood'; known: bpm, key, key_confidence, meter, duration, loudness"),
        ("bpm", "bpm is compared with nothing"),
        ("key = H", "'H' is no key; write one such as Am"),
        ("bpm =", "no value after 'bpm ='"),
        ("bpm = fast", "bpm is a number; found '= fast'"),
        ("bpm ~ 9", "bpm is a number"),
        ("bpm 110..90", "put the smaller number first"),
        ("genre > jazz", "genre is text"),
        ("genre 1..2", "expected = != < <= > >= ~ or a range"),
        ("genre = drum and bass", "unknown field 'bass'"),
        ("genre = drum bass", r"found 'bass', expected 'and'; put quotes"),
        ("genre = 'jazz", "is a quote missing"),
        ("bpm 90..110 and", "a condition is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_filter(text)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        where = parse_filter(text)
    except UsageError as error:
        assert "\n" not in text or "\\n" in str(error) or "\n" not in str(error)
    else:
        assert where.sql.count("?") - 0 >= len(where.parameters) > 0


@given(
    st.sampled_from([f for f in FIELDS if f in ("genre", "artist", "title", "album")]), st.text(min_size=1, max_size=20)
)
def test_quoted_values_are_taken_as_they_are(field: str, value: str) -> None:
    value = value.replace('"', "").replace("*", "").strip()
    where = parse_filter(f'{field} = "{value}"')
    assert where.parameters == (value.casefold(),)
