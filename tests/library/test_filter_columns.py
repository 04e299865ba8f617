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
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filter_columns import Columns
from soundalike.library.catalog.filters import Condition, Filter, NumberCondition, TextCondition, parse_filter
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
            genres=("Drum and Bass",), title="Été", path=Path("/m/dnb/b [1].mp3"), meter="3/4", key_confidence=0.5),
    replace(PLAIN, duration=0.4, year=2001, artists=("ÉTÉ",), album="Two", path=Path("/m/c?.wav")),
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
    ],
)
def test_meaning(three: Columns, text: str, expected: list[int]) -> None:
    assert np.flatnonzero(three.matches(parse_filter(text))).tolist() == expected


def test_no_condition_means_everything(three: Columns) -> None:
    assert three.matches(Filter()).tolist() == [True, True, True]


def test_an_artist_is_left_out_without_regard_to_case(three: Columns) -> None:
    assert three.matches(Filter(), exclude_artists=["été"]).tolist() == [True, True, False]
    assert three.matches(Filter(), exclude_artists=["été", "ornette"]).tolist() == [False, True, False]
    assert three.matches(Filter(), exclude_artists=["unknown"]).tolist() == [True, True, True]
    assert three.matches(parse_filter("duration > 1"), exclude_artists=["ORNETTE"]).tolist() == [False, True, False]


# Few letters, so that values and needles meet: two that casefold to more than one, wildcards of others, controls.
texts = st.text(st.sampled_from(list("aAbßİé[]?%_\\ \n\x01\x7f٣ÿ𝄞")), max_size=5)
unknown_or_text = st.none() | texts
numbers = st.none() | st.integers(-3, 3).map(float) | st.floats(-3, 3)
tracks_ = st.builds(
    replace,
    st.just(PLAIN),
    title=unknown_or_text,
    artists=st.lists(st.text(min_size=1), max_size=1).map(tuple),
    album=unknown_or_text,
    genres=st.lists(st.text(min_size=1), max_size=1).map(tuple),
    key=unknown_or_text,
    key_tag=unknown_or_text,
    meter=unknown_or_text,
    year=st.none() | st.integers(-3, 3),
    bpm_tag=numbers,
    tempo=numbers,
    loudness=numbers,
    key_confidence=numbers,
    duration=st.floats(0, 3),
)
conditions_ = st.builds(
    NumberCondition,
    st.sampled_from(("bpm", "key_confidence", "duration", "loudness", "year")),
    st.sampled_from(("=", "!=", "<", "<=", ">", ">=")),
    st.integers(-3, 3).map(float),
) | st.builds(
    TextCondition,
    st.sampled_from(("key", "meter", "genre", "artist", "album", "title", "path")),
    st.sampled_from(("=", "!=", "~")),
    st.lists(texts, min_size=1, max_size=4).map(lambda parts: "*".join(parts).casefold()),
)


def value_of(track: Track, field: str) -> str | float | None:
    """The value of a field, computed the slow way."""
    if field == "bpm":
        return track.tempo if track.bpm_tag is None else track.bpm_tag
    if field == "key":
        return track.key if track.key_tag is None else track.key_tag
    return one_line(track.path) if field == "path" else getattr(track, field)


def meets(track: Track, condition: Condition) -> bool:
    """Whether a track meets a condition, computed the slow way."""
    value = value_of(track, condition.field)
    if value is None:
        return False
    if isinstance(value, str) and isinstance(condition, TextCondition):
        value = value.casefold()
        if condition.operator == "~":
            return condition.value in value
        pattern = ".*".join(re.escape(part) for part in condition.value.split("*"))
        return (re.fullmatch(pattern, value, re.DOTALL) is not None) == (condition.operator == "=")
    compare = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}[condition.operator]
    return getattr(operator, compare)(value, condition.value)


@given(st.lists(tracks_, max_size=12), st.lists(st.lists(conditions_, max_size=3), min_size=10, max_size=10), texts)
@settings(max_examples=60, deadline=None)
def test_filters_agree_with_plain_python(tracks: list[Track], filters: list[list[Condition]], artist: str) -> None:
    # Every path is different, and whatever bytes it has is shown as one line.
    tracks = [replace(track, path=Path(f"/m/{n}{track.title or ''}")) for n, track in enumerate(tracks)]
    with columns_of(tracks) as columns:
        for conditions in filters:
            expected = [all(meets(track, condition) for condition in conditions) for track in tracks]
            assert columns.matches(Filter(tuple(conditions))).tolist() == expected
        others = [track.artist is None or track.artist.casefold() != artist.casefold() for track in tracks]
        assert columns.matches(Filter(), exclude_artists=[artist]).tolist() == others
        asked = columns.ids[::-2]
        expected = [others[track_id - 1] for track_id in asked]
        assert columns.select(asked, Filter(), exclude_artists=[artist]).tolist() == expected


def test_nothing_is_found_across_two_values() -> None:
    tracks = [replace(PLAIN, path=Path(f"/m/{n}"), title=title) for n, title in enumerate(("ab", "cd", "abcd"))]
    with columns_of(tracks) as columns:
        assert columns.matches(parse_filter("title ~ bc")).tolist() == [False, False, True]
        assert columns.matches(parse_filter("title = a*d")).tolist() == [False, False, True]
        assert columns.matches(parse_filter("title = *b*c*")).tolist() == [False, False, True]


def test_long_text_is_searched_everywhere() -> None:
    # Long enough that it is searched in several pieces; what lies across the end of one is found too.
    letters = random.Random(0)
    title = "".join(letters.choices("ab", k=600_000))
    tracks = [replace(PLAIN, path=Path("/m/1"), title=title), replace(PLAIN, path=Path("/m/2"), title="b" * 600_000)]
    with columns_of(tracks) as columns:
        for end in (1 << 18, 1 << 19):
            for place in (*range(end - 41, end + 2, 3), 0, 600_000 - 40):
                part = title[place : place + 40]
                found = columns.matches(Filter((TextCondition("title", "~", part),)))
                assert found.tolist() == [True, False]
        assert not columns.matches(Filter((TextCondition("title", "~", "a" * 40),))).any()
        assert columns.matches(Filter((TextCondition("title", "~", "b" * 600_000),))).tolist() == [False, True]
        assert not columns.matches(Filter((TextCondition("title", "~", "b" * 600_001),))).any()


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
