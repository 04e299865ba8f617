"""What a match needs to fit the query, and searches relative to the query."""

from __future__ import annotations

from pathlib import Path

import mutagen
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TUNES, tune, write
from soundalike.audio import camelot_code, parse_key, semitones_between
from soundalike.core.errors import UsageError
from soundalike.library.folder import LibraryFolder
from soundalike.search import Query, search_library
from soundalike.search.fit import semitones_to, stretch_to

NOTES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
KEYS = [f"{note} {mode}" for note in NOTES for mode in ("major", "minor")]


@pytest.mark.parametrize(
    ("bpm", "query", "expected"),
    [
        (120.0, 126.0, 1.05),
        (128.0, 126.0, 126 / 128),
        (63.0, 126.0, 1.0),
        (250.0, 126.0, 252 / 250),
        (100.0, 140.0, 1.4),  # half of 140 is further away: 0.7 is 1 / 1.43
        (100.0, 142.0, 0.71),
        (None, 126.0, None),
        (126.0, None, None),
    ],
)
def test_the_stretch_goes_to_the_nearest_octave_of_the_tempo(bpm, query, expected) -> None:
    assert stretch_to(bpm, query) == pytest.approx(expected)


@given(st.floats(40, 250), st.floats(40, 250))
def test_no_other_octave_is_nearer(bpm: float, query: float) -> None:
    found = stretch_to(bpm, query)
    away = max(found, 1 / found)
    assert any(bpm * found == pytest.approx(query * octave) for octave in (0.5, 1, 2))
    assert all(away <= max(ratio, 1 / ratio) * (1 + 1e-9) for ratio in (query / bpm, query / bpm / 2, 2 * query / bpm))


@pytest.mark.parametrize(
    ("key", "query", "expected"),
    [
        ("A minor", "A minor", 0),
        ("C major", "A minor", 0),
        ("A minor", "C major", 0),
        ("B minor", "A minor", -2),
        ("G# minor", "A minor", 1),
        ("A minor", "D major", 2),
        ("C major", "F# major", 6),
        ("F# major", "C major", 6),
        ("F major", "B major", 6),
        ("G major", "C major", 5),
        ("C major", "G major", -5),
        (None, "C major", None),
        ("C major", None, None),
        ("unknown", "C major", None),
    ],
)
def test_semitones(key, query, expected) -> None:
    assert semitones_to(key, query) == expected


@given(st.sampled_from(KEYS), st.sampled_from(KEYS))
def test_a_transposition_arrives_at_the_hour_of_the_other_key(key: str, other: str) -> None:
    note, mode = key.split(" ")
    up = semitones_between(key, other)
    moved = parse_key(f"{NOTES[(NOTES.index(note) + up) % 12]} {mode}")
    assert camelot_code(moved)[:-1] == camelot_code(other)[:-1]
    assert -5 <= up <= 6
    assert up in (6, -semitones_between(other, key))


def test_an_outside_recording_brings_its_own_values(library: LibraryFolder, tmp_path: Path) -> None:
    path = write(tmp_path / "song.flac", tune(TUNES["up"], seconds=9))

    def searched(where: str) -> int:
        return search_library(library, Query(path, where=where)).searched

    assert (searched("duration >= query"), searched("duration < query")) == (12, 0)  # those of the library have 12 s
    with pytest.raises(UsageError, match=r"song\.flac has no genre, so 'genre = query' says nothing"):
        searched("genre = query")
    tagged = mutagen.File(path)
    tagged["BPM"], tagged["INITIALKEY"], tagged["GENRE"] = "97", "Bbm", "Jazz"
    tagged.save()
    assert searched("not genre = query") == 12
    results = search_library(library, Query(path, k=12))
    assert len(results) == 12
    for match in results:
        assert match.stretch == stretch_to(match.bpm, 97.0)
        assert match.semitones == semitones_to(match.key, "A# minor")
    assert any(match.semitones is not None for match in results)
    assert [row["semitones"] for row in results.to_dicts()] == [match.semitones for match in results]
