"""Conditions relative to a query: how they are read, and what they become."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from soundalike.core.errors import UsageError
from soundalike.library.catalog import Filter, QueryCondition, Track, parse_filter, resolve_filter

BARE = Track(
    path=Path("/q/song.mp3"), size=1, mtime_ns=1, content_hash="", audio_hash="", duration=200.0, rate=44100,
    channels=2, codec="mp3", title=None, artists=(), album=None, genres=(), year=None, bpm_tag=None, key_tag=None,
    tempo=None, key=None, loudness=None, silent=False,
)  # fmt: skip
QUERY = replace(
    BARE, title="Été", artists=("Ann", "Bob & Cee"), album="One", album_artist="Ann", genres=("Jazz", "Funk"),
    year=1999, bpm_tag=140.0, tempo=70.0, key_tag="A minor", key="C major", meter="3/4", loudness=-9.5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("relative", "written"),
    [
        ("bpm ~ query", "bpm ~ 140"),
        ("BPM = QUERY", "bpm = 140"),
        ("bpm < query", "bpm < 140"),
        ("key ~ query", "key ~ Am"),
        ("key != query", "key != Am"),
        ("meter = query", "meter = 3/4"),
        ("year >= query", "year >= 1999"),
        ("duration<=query", "duration <= 200"),
        ("loudness > query", "loudness > -9.5"),
        ("title = query", "title = E\u0301te\u0301"),
        ("album ~ query", "album ~ one"),
        ("album_artist = query", "album_artist = ann"),
        ("path != query", "path != /q/song.mp3"),
        ("artist = query", "artist = Ann or artist = 'bob & cee'"),
        ("genre ~ query", "genre ~ jazz or genre ~ funk"),
        ("genre = query", "genre = jazz or genre = funk"),
        ("not (bpm ~ query or key ~ query) and year = 2000", "not (bpm ~ 140 or key ~ Am) and year = 2000"),
    ],
)
def test_the_value_of_the_query_takes_its_place(relative: str, written: str) -> None:
    assert resolve_filter(parse_filter(relative), QUERY) == parse_filter(written)


def test_several_values_must_all_differ() -> None:
    [both] = resolve_filter(parse_filter("artist != query"), QUERY).conditions
    assert both.parts == parse_filter("artist != Ann and artist != 'bob & cee'").conditions


def test_measurements_stand_in_for_tags() -> None:
    measured = replace(QUERY, bpm_tag=None, key_tag=None)
    assert resolve_filter(parse_filter("bpm ~ query and key ~ query"), measured) == parse_filter("bpm ~ 70 and key ~ C")


def test_in_quotes_it_is_a_word() -> None:
    assert parse_filter("title = 'query'") == resolve_filter(parse_filter('title = "Query"'), BARE)
    assert parse_filter("title = query") == Filter((QueryCondition("title", "="),))


@pytest.mark.parametrize("field", ["bpm", "key", "year", "genre", "artist", "title", "meter", "tempo_confidence"])
def test_a_query_without_a_value_is_an_error(field: str) -> None:
    with pytest.raises(UsageError, match=f"/q/song.mp3 has no {field}, so '{field} = query' says nothing"):
        resolve_filter(parse_filter(f"duration > 1 and not {field} = query"), BARE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("year ~ query", "character 6: year is a number; compare it with"),
        ("genre < query", "character 7: genre is text; compare it with =, != or ~"),
        ("meter ~ query", "character 7: compare meter with = or !="),
        ("bpm 100..query", "found '100..query' after bpm"),
        ("bpm query", "found 'query' after bpm"),
    ],
)
def test_wrong_comparisons(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_filter(text)
