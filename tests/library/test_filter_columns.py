"""Filters against plain Python; columns are saved, mapped and computed again."""

from __future__ import annotations

import operator
import random
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core import mapped_arrays
from soundalike.core.errors import one_line
from soundalike.core.text import fold
from soundalike.library.catalog import text_columns
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filter_columns import Columns
from soundalike.library.catalog.filter_parser import parse_filter
from soundalike.library.catalog.filters import (
    LISTS,
    AllOf,
    AnyOf,
    Expression,
    Filter,
    Not,
    NumberCondition,
    TextCondition,
)
from soundalike.library.catalog.track import Track

PLAIN = Track(
    path=Path("/m/a.wav"), size=1, mtime_ns=1, content_hash="", audio_hash="", duration=1.0, rate=44100, channels=2,
    codec="wav", title=None, artists=(), album=None, genres=(), year=None, bpm_tag=None, key_tag=None, tempo=None,
    key=None, loudness=None, silent=False,
)  # fmt: skip
TRACKS = [
    replace(PLAIN, tempo=92.0, key="A minor", duration=200.0, loudness=-9.0, year=1965, genres=("Jazz",),
            artists=("Ornette",), album="One", title="Lonely", path=Path("/m/jazz/a.mp3")),
    replace(PLAIN, bpm_tag=120.0, tempo=60.0, key_tag="C major", key="A minor", duration=31.5, loudness=-14.0,
            genres=("Drum and Bass", "Funk"), title="Été", path=Path("/m/dnb/b [1].mp3"), meter="3/4",
            key_confidence=0.5),
    replace(PLAIN, duration=0.4, year=2001, artists=("ÉTÉ", "Ornette"), album="Two", path=Path("/m/c?.wav"),
            album_artist="Various Artists", tempo_confidence=0.9, meter_confidence=0.25),
]  # fmt: skip


@contextmanager
def columns_of(tracks: list[Track]) -> Iterator[Columns]:
    """The columns of a catalogue of these tracks."""
    with tempfile.TemporaryDirectory() as place:
        catalog = Catalog(Path(place) / "catalog.sqlite", writable=True, create=True)
        try:
            with catalog.transaction():
                for track in tracks:
                    catalog.put_track(Path("/m"), track)
            yield Columns(catalog, Path(place))
        finally:
            catalog.close()


@pytest.fixture(scope="module")
def three() -> Iterator[Columns]:
    with columns_of(TRACKS) as columns:
        yield columns


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
        ("meter = 3/4 and key_confidence >= .5", [1]),
        ("duration != 200", [1, 2]),
        ("year != 1965", [2]),  # nor is no year another year
        ("genre != jaz*", [1]),
        ("genre ~ ''", [0, 1]),
        ("genre = *", [0, 1]),
        ("genre != *", []),
        ("genre = ''", []),
        ("title = l*n*y", [0]),
        ("title = lonely*y", []),  # what stands for something stands for it once
        ("path = '*/*/*.mp3'", [0, 1]),
        ("path ~ *", []),
        ("artist ~ '\udcff'", []),  # a byte that a terminal could not decode
        ("artist != '\udcff'", [0, 2]),
        # any of several values; != means none of them
        ("genre = funk", [1]),
        ("genre != funk", [0]),
        ("genre ~ un", [1]),
        ("genre = f*k", [1]),
        ("genre != d*", [0]),
        ("genre = drum*funk", []),  # not across two values
        ("artist = ornette", [0, 2]),
        ("artist = E\u0301te\u0301", [2]),  # NFC and NFD are equal
        ("title = E\u0301TE\u0301", [1]),
        ("album_artist = 'various artists'", [2]),
        ("genre = 'drum and bass/funk'", [1]),
        ("genre != jazz/funk", [0, 1]),
        # structure
        ("genre = jazz or genre = funk", [0, 1]),
        ("not genre = jazz", [1, 2]),  # unknown included
        ("not genre = *", [2]),
        ("not (genre = jazz or year > 2000)", [1]),
        ("genre = jazz or genre = funk and year > 1900", [0]),
        ("(genre = jazz or genre = funk) and bpm > 100", [1]),
        # half and double tempo, compatible keys, meters
        ("bpm ~ 180", [0]),
        ("bpm ~ 240", [1]),
        ("bpm ~ 46", [0]),
        ("bpm ~ 45..47", [0]),
        ("bpm ~ 99", []),
        ("bpm 92..92", [0]),
        ("key ~ 8A", [0, 1]),
        ("key ~ 9B", [1]),
        ("key ~ 10A", []),
        ("key = 1d", [1]),
        ("meter = 3", [1]),
        ("meter != 4", [1]),
        ("meter = 4", []),
        ("tempo_confidence > .8", [2]),
        ("meter_confidence < .5", [2]),
        ("duration 0:30..1:00", [1]),
        ("year = 1960s", [0]),
        ("year != 1960s", [2]),
    ],
)
def test_meaning(three: Columns, text: str, expected: list[int]) -> None:
    assert np.flatnonzero(three.matches(parse_filter(text))).tolist() == expected


def test_no_condition_means_everything(three: Columns) -> None:
    assert three.matches(Filter()).tolist() == [True, True, True]


def test_an_artist_is_left_out_without_regard_to_case(three: Columns) -> None:
    assert three.matches(Filter(), exclude_artists=["été"]).tolist() == [True, True, False]
    assert three.matches(Filter(), exclude_artists=["été", "ornette"]).tolist() == [False, True, False]
    assert three.matches(Filter(), exclude_artists=["ornette"]).tolist() == [False, True, False]
    assert three.matches(Filter(), exclude_artists=["e\u0301te\u0301"]).tolist() == [True, True, False]
    assert three.matches(Filter(), exclude_artists=["unknown"]).tolist() == [True, True, True]
    assert three.matches(parse_filter("duration > 1"), exclude_artists=["ÉTÉ"]).tolist() == [True, True, False]


# Few letters, so that values and needles meet: two that casefold to more than one, wildcards of others, controls.
texts = st.text(st.sampled_from(list("aAbßİée\u0301[]?%_\\ \n\x01\x7f٣ÿ𝄞")), max_size=5)
unknown_or_text = st.none() | texts
numbers = st.none() | st.integers(-3, 3).map(float) | st.floats(-3, 3)
tracks_ = st.builds(
    replace,
    st.just(PLAIN),
    title=unknown_or_text,
    artists=st.lists(texts, max_size=3).map(tuple),
    album=unknown_or_text,
    genres=st.lists(texts, max_size=3).map(tuple),
    key=unknown_or_text,
    key_tag=unknown_or_text,
    meter=unknown_or_text,
    year=st.none() | st.integers(-3, 3),
    bpm_tag=numbers,
    tempo=numbers,
    loudness=numbers,
    key_confidence=numbers,
    tempo_confidence=numbers,
    album_artist=unknown_or_text,
    duration=st.floats(0, 3),
)
conditions_ = st.builds(
    NumberCondition,
    st.sampled_from(("bpm", "key_confidence", "tempo_confidence", "duration", "loudness", "year")),
    st.sampled_from(("=", "!=", "<", "<=", ">", ">=")),
    st.integers(-3, 3).map(float),
) | st.builds(
    TextCondition,
    st.sampled_from(("key", "meter", "genre", "artist", "album_artist", "album", "title", "path")),
    st.sampled_from(("=", "!=", "~")),
    st.lists(texts, min_size=1, max_size=4).map(lambda parts: fold("*".join(parts))),
)
expressions_ = st.recursive(
    conditions_,
    lambda inner: (
        st.builds(Not, inner) | st.builds(AllOf, st.tuples(inner, inner)) | st.builds(AnyOf, st.tuples(inner, inner))
    ),
    max_leaves=4,
)


def values_of(track: Track, field: str) -> list[str | float]:
    """The values of a field, computed the slow way."""
    if field in LISTS:
        return [fold(value) for value in getattr(track, f"{field}s")]
    if field == "bpm":
        value = track.tempo if track.bpm_tag is None else track.bpm_tag
    elif field == "key":
        value = track.key if track.key_tag is None else track.key_tag
    else:
        value = one_line(track.path) if field == "path" else getattr(track, field)
    return [] if value is None else [fold(value) if isinstance(value, str) else value]


def meets(track: Track, expression: Expression) -> bool:
    """Whether a track meets an expression, computed the slow way."""
    if isinstance(expression, Not):
        return not meets(track, expression.part)
    if isinstance(expression, AllOf | AnyOf):
        met = [meets(track, part) for part in expression.parts]
        return all(met) if isinstance(expression, AllOf) else any(met)
    values = values_of(track, expression.field)
    if isinstance(expression, NumberCondition):
        compare = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}[expression.operator]
        return any(getattr(operator, compare)(value, expression.value) for value in values)
    if expression.operator == "~":
        return any(expression.value in str(value) for value in values)
    pattern = re.compile(".*".join(re.escape(part) for part in expression.value.split("*")), re.DOTALL)
    equal = any(pattern.fullmatch(str(value)) for value in values)
    return equal if expression.operator == "=" else bool(values) and not equal


@given(st.lists(tracks_, max_size=12), st.lists(st.lists(expressions_, max_size=3), min_size=10, max_size=10), texts)
@settings(max_examples=40, deadline=None)
def test_filters_agree_with_plain_python(tracks: list[Track], filters: list[list[Expression]], artist: str) -> None:
    # Every path is different, and whatever bytes it has is shown as one line.
    tracks = [replace(track, path=Path(f"/m/{n}{track.title or ''}")) for n, track in enumerate(tracks)]
    with columns_of(tracks) as columns:
        for expressions in filters:
            expected = [all(meets(track, one) for one in expressions) for track in tracks]
            assert columns.matches(Filter(tuple(expressions))).tolist() == expected
        others = [fold(artist) not in map(fold, track.artists) for track in tracks]
        assert columns.matches(Filter(), exclude_artists=[artist]).tolist() == others
        asked = columns.ids[::-2]
        expected = [others[track_id - 1] for track_id in asked]
        assert columns.select(asked, Filter(), exclude_artists=[artist]).tolist() == expected


# Python has the same words with the same precedence, so it can judge whole texts.
CONDITIONS = {
    "genre = jazz": [0], "genre = funk": [1], "year > 2000": [2], "year != 1900": [0, 2], "bpm ~ 60": [1],
    "key ~ Am": [0, 1], "artist = ornette": [0, 2], "title ~ nothing": [], "path ~ /m/": [0, 1, 2],
}  # fmt: skip
structures = st.recursive(
    st.sampled_from(list(CONDITIONS)),
    lambda inner: (
        st.tuples(inner, st.sampled_from(("and", "or")), inner).map(" ".join)
        | inner.map("not {}".format)
        | inner.map("({})".format)
    ),
    max_leaves=6,
)


@given(structures)
@settings(max_examples=150, deadline=None)
def test_texts_mean_what_they_mean_in_python(three: Columns, text: str) -> None:
    names = {condition: f"c{place}" for place, condition in enumerate(CONDITIONS)}
    formula = text
    for condition, name in names.items():
        formula = formula.replace(condition, name)
    met = [
        eval(formula, {names[condition]: track in found for condition, found in CONDITIONS.items()})
        for track in range(3)
    ]
    assert three.matches(parse_filter(text)).tolist() == met


def test_nothing_is_found_across_two_values() -> None:
    tracks = [replace(PLAIN, path=Path(f"/m/{n}"), title=title) for n, title in enumerate(("ab", "cd", "abcd"))]
    with columns_of(tracks) as columns:
        assert columns.matches(parse_filter("title ~ bc")).tolist() == [False, False, True]
        assert columns.matches(parse_filter("title = a*d")).tolist() == [False, False, True]
        assert columns.matches(parse_filter("title = *b*c*")).tolist() == [False, False, True]


def test_long_text_is_searched_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough that it is searched in several pieces; what lies across the end of one is found too.
    monkeypatch.setattr(text_columns, "_BLOCK", 1 << 12)
    letters = random.Random(0)
    title = "".join(letters.choices("ab", k=9_000))
    tracks = [replace(PLAIN, path=Path("/m/1"), title=title), replace(PLAIN, path=Path("/m/2"), title="b" * 9_000)]
    with columns_of(tracks) as columns:
        for end in (1 << 12, 1 << 13):
            for place in (*range(end - 41, end + 2), 0, 9_000 - 40):
                part = title[place : place + 40]
                found = columns.matches(Filter((TextCondition("title", "~", part),)))
                assert found.tolist() == [True, False]
        assert not columns.matches(Filter((TextCondition("title", "~", "a" * 40),))).any()
        assert columns.matches(Filter((TextCondition("title", "~", "b" * 9_000),))).tolist() == [False, True]
        assert not columns.matches(Filter((TextCondition("title", "~", "b" * 9_001),))).any()


def test_an_empty_catalogue_has_columns_too() -> None:
    with columns_of([]) as columns:
        for text in ("genre = jazz", "genre ~ jazz", "genre = j*z", "genre != jazz", "bpm > 1"):
            assert columns.matches(parse_filter(text)).shape == (0,)
        assert columns.select(np.zeros(0, np.int64), Filter()).shape == (0,)


def test_ids_may_have_gaps(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite", writable=True, create=True)
    with catalog.transaction():
        for n in range(6):
            catalog.put_track(Path("/m"), replace(PLAIN, path=Path(f"/m/{n}"), year=n))
        catalog.remove([1, 3])
    columns = Columns(catalog, tmp_path)
    catalog.close()
    assert columns.ids.tolist() == [2, 4, 5, 6]
    assert columns.select(np.array([6, 2, 4, 4]), parse_filter("year > 2")).tolist() == [True, False, True, True]


def test_columns_are_saved_and_computed_again_after_a_change(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite", writable=True, create=True)
    with catalog.transaction():
        catalog.put_track(Path("/m"), replace(PLAIN, year=1999))
    Columns(catalog, tmp_path)
    kept = tmp_path / "columns.derived"
    assert mapped_arrays.verify(kept)
    made = kept.stat().st_mtime_ns, kept.stat().st_ino
    again = Columns(catalog, tmp_path)
    assert (kept.stat().st_mtime_ns, kept.stat().st_ino) == made  # it was mapped, not made
    assert again.matches(parse_filter("year = 1999")).tolist() == [True]
    with catalog.transaction():
        catalog.put_track(Path("/m"), replace(PLAIN, path=Path("/m/b.wav"), year=2001))
    assert Columns(catalog, tmp_path).matches(parse_filter("year > 1999")).tolist() == [False, True]
    kept.write_bytes(kept.read_bytes()[:-1])
    assert Columns(catalog, tmp_path).matches(parse_filter("year > 1999")).tolist() == [False, True]
    assert mapped_arrays.verify(kept)
    # A file of a version that knew other fields is of no use.
    mapped_arrays.save(tmp_path, "columns", catalog.generation, {"ids": np.array([1, 2])})
    assert Columns(catalog, tmp_path).matches(parse_filter("year > 1999")).tolist() == [False, True]
    catalog.close()


def test_columns_that_cannot_be_saved_are_computed_anyway(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.sqlite", writable=True, create=True)
    with catalog.transaction():
        catalog.put_track(Path("/m"), replace(PLAIN, year=1999))
    assert Columns(catalog, tmp_path / "nowhere").matches(parse_filter("year = 1999")).tolist() == [True]
    catalog.close()
