"""Copies in lists: how they are grouped, which file is the best, and how a search shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from test_paths_and_playlists import library_of, random_rows, unit

from conftest import TUNES, tune, write
from soundalike.audio import FINGERPRINT_VERSION, Words
from soundalike.audio.fingerprint import FRAME_RATE, LEVEL_HOP, LEVEL_WIDTH, Fingerprint
from soundalike.cli.main import main
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.search import find_duplicates
from soundalike.search.alike import COPY_COSINE, JoinedRows
from soundalike.search.copies import CopyFinder, group_copies, quality, why_best
from soundalike.search.duplicates import recordings_in_sections
from soundalike.search.query import Query
from soundalike.search.recordings import different_recordings
from soundalike.search.search import search_library


def track(number: int = 1, **about: object) -> Track:
    plain = Track(
        Path(f"/music/{number}"), 4_000_000, 0, "", str(number), 200.0, 44_100, 2, "mp3", None, (), None, (), None,
        None, None, None, None, None, False, id=number,
    )  # fmt: skip
    return replace(plain, **about)


# The best file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        ({"codec": "flac"}, {"size": 90_000_000}, "lossless"),
        ({"codec": "pcm_s16le"}, {"codec": "pcm_mulaw"}, "lossless"),
        ({"codec": "FLAC", "rate": 96_000}, {"codec": "alac"}, "96 kHz, not 44.1"),
        ({"codec": "flac", "size": 30_000_000}, {"codec": "alac", "size": 20_000_000}, "1200 kbit/s, not 800"),
        ({"size": 8_000_000}, {"rate": 48_000}, "320 kbit/s, not 160"),
        ({"duration": 201.5, "size": 4_030_000}, {}, "1.5 s longer"),
        ({"bit_rate": 192_000}, {"bit_rate": 128_000, "size": 9_000_000}, "192 kbit/s, not 128"),
        ({"bit_rate": 192_000}, {}, "192 kbit/s, not 160"),
    ],
)
def test_the_best_file_and_why(better, worse, why: str) -> None:
    a, b = track(2, **better), track(1, **worse)
    assert quality(a) > quality(b)
    assert why_best(a, b) == why


def test_of_equal_files_the_first_added_is_the_best() -> None:
    assert quality(track(1)) == quality(track(2))
    assert why_best(track(1), track(2)) == "added first"
    assert group_copies([track(2), track(1)], lambda a, b: True) == [[1, 0]]


def test_an_empty_duration_has_no_bit_rate() -> None:
    assert quality(track(duration=0.0)) == (False, 0.0, 44_100.0, 0.0)


def write_mp3(path: Path, bit_rate: int, picture: int = 0) -> Path:
    """An MP3 file of 12 s with a cover of so many bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp3") as out:
        sound = out.add_stream("libmp3lame", rate=44_100, layout="mono")
        sound.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(tune(TUNES["up"], seconds=12, rate=44_100)[None], "fltp", "mono")
        frame.sample_rate = 44_100
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    if picture:
        body = b"\0image/jpeg\0\3\0" + np.random.default_rng(0).bytes(picture)
        head = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
        size = bytes(len(head) >> shift & 0x7F for shift in (21, 14, 7, 0))
        path.write_bytes(b"ID3\3\0\0" + size + head + path.read_bytes())
    return path


def test_a_cover_does_not_make_a_file_better(tmp_path: Path) -> None:
    small = write_mp3(tmp_path / "music" / "a.mp3", 128_000, picture=2_000_000)
    large = write_mp3(tmp_path / "music" / "b.mp3", 192_000)
    assert small.stat().st_size > large.stat().st_size
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path / "music"], model="dsp", jobs=1)
        first, second = library.catalog.tracks()
        (group,) = find_duplicates(library).groups
    assert (first.bit_rate, second.bit_rate) == (pytest.approx(128_000, rel=0.02), pytest.approx(192_000, rel=0.02))
    assert [one.path.name for one in group.tracks] == ["b.mp3", "a.mp3"]


# Groups ---------------------------------------------------------------------------------------------------------------


def test_every_copy_agrees_with_the_best_file_of_its_group() -> None:
    """A and B, and B and C, are copies, and A and C are not."""
    pairs = [{0, 1}, {1, 2}]
    a, b, c = track(1), track(2), track(3)

    def is_copy(one: int, other: int) -> bool:
        return {one, other} in pairs

    flac = {"codec": "flac"}
    assert group_copies([a, replace(b, **flac), c], is_copy) == [[1, 0, 2]]
    assert group_copies([replace(a, **flac), b, c], is_copy) == [[0, 1], [2]]
    assert group_copies([a, b, replace(c, **flac)], is_copy) == [[2, 1], [0]]
    assert group_copies([], is_copy) == []
    # Only tracks that are near are compared.
    assert group_copies([a, b, c], is_copy, lambda n: [n + 1] if n < 2 else []) == [[0, 1], [2]]
    assert group_copies([a, b, c], is_copy, lambda n: []) == [[0], [1], [2]]


def test_tracks_are_alike_by_their_mean_cosine_over_the_spaces_audible_in_both() -> None:
    def joined(*rows: list[float]) -> JoinedRows:
        return JoinedRows.of({name: np.array([row], np.float32) for name, row in zip("ab", rows, strict=True)})

    near = [COPY_COSINE + 0.01, (1 - (COPY_COSINE + 0.01) ** 2) ** 0.5]
    one = joined([1, 0], [1, 0])
    for other, alike in (
        (one, True),
        (joined(near, near), True),
        (joined([1, 0], [0, 1]), False),
        (joined([1, 0], [0, 0]), True),
        (joined([0, 0], [0, 0]), False),
        (joined([np.nan, 0], [1, 0]), False),
    ):
        assert one.alike(other).tolist() == [alike]
        assert one.alike_pairs(other).tolist() == [[alike]]


# In a search ----------------------------------------------------------------------------------------------------------


def recorded(seconds: float, seed: int = 0) -> Words:
    """The fingerprint of the first seconds of a long recording of noise."""
    random = np.random.default_rng(seed)
    signs = random.integers(1, 2**32, size=round(300 * FRAME_RATE), dtype=np.uint32)[: round(seconds * FRAME_RATE)]
    levels = random.integers(100, 160, size=(1000, 24)).astype(np.float32) / 2
    return Fingerprint(signs, levels[: (len(signs) - LEVEL_WIDTH) // LEVEL_HOP + 1]).words()


def near_rows(count: int, *copies: tuple[int, int]) -> dict[str, np.ndarray]:
    """Random rows, those of each first track near those of the second one."""
    rows = random_rows(count)
    for part in rows.values():
        for copy, original in copies:
            part[copy] = unit(part[original] + 0.02 * part[copy])
    return rows


def numbers(results) -> list[int]:
    return [int(Path(match.path).stem) for match in results]


def test_a_search_lists_the_best_file_of_each_recording_with_its_copies(tmp_path: Path) -> None:
    rows = near_rows(8, (3, 2), (4, 2), (5, 0), (6, 0))
    with library_of(tmp_path, rows, sounds="01222007", codecs={4: "flac"}) as (library, paths):
        for k in (1, 3, 100):
            found = search_library(library, Query(paths[2], include_self=True, k=k))
            assert len(found) == min(k, 4) and numbers(found)[0] == 4
            assert set(found[0].copies) == {str(paths[2]), str(paths[3])}
            assert found[0].relation == "copy of the query"
        found = search_library(library, Query(paths[0], k=100))
        assert set(found.copies) == {str(paths[5]), str(paths[6])}
        copies = {number: len(match.copies) for number, match in zip(numbers(found), found, strict=True)}
        assert copies == {1: 0, 4: 2, 7: 0}
        everything = search_library(library, Query(paths[0], k=100, all_copies=True))
        assert sorted(numbers(everything)) == [1, 2, 3, 4, 7] and all(match.copies == () for match in everything)
        assert [match.rank for match in everything] == [1, 2, 3, 4, 5]


def test_a_track_may_join_two_recordings(tmp_path: Path) -> None:
    """100 s and 106 s of a recording are no copies, but 103 s are a copy of both. The list is still k long."""
    rows = near_rows(8, (1, 0), (2, 0), (3, 0))
    for part in rows.values():  # in the order 1, 2, 3
        part[1], part[2], part[3] = (unit(part[0] + size * part[7]) for size in (0.1, 0.2, 0.3))
    fingerprints = {1: recorded(100), 2: recorded(106), 3: recorded(103)}
    for codecs, expected in (
        ({3: "flac"}, {3: {1, 2}}),
        ({1: "flac"}, {1: {3}, 2: set()}),
    ):
        folder = tmp_path / str(len(expected))
        folder.mkdir()
        with library_of(folder, rows, codecs=codecs, fingerprints=fingerprints) as (library, paths):
            for k in (2, 3, 4):
                found = search_library(library, Query(paths[0], k=k))
                copies = {number: match.copies for number, match in zip(numbers(found), found, strict=True)}
                assert len(found) == k
                for number in list(expected)[:k]:
                    assert set(copies[number]) == {str(paths[n]) for n in expected[number]}


def test_tracks_with_equal_fingerprints_that_do_not_sound_alike_are_not_compared(tmp_path: Path) -> None:
    same = dict.fromkeys(range(4), recorded(60))
    with library_of(tmp_path, near_rows(4, (2, 1)), fingerprints=same) as (library, _), library.snapshot():
        finder = CopyFinder(library, library.model())
        tracks = library.catalog.tracks()
        assert [*finder.add(tracks[:2]), *finder.add(tracks[2:])] == [0, 1, 2, 3]
        assert finder.group([0, 1, 2, 3]) == [[0], [1, 2], [3]]
        assert finder.group_of(2, {1}) == [1, 2] and finder.group_of(2, {0}) == [2]


def test_a_match_says_what_it_is_to_the_query(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fingerprints = {0: recorded(100), 1: recorded(250), 2: recorded(30), 3: recorded(100), 4: recorded(100, seed=1)}
    with library_of(tmp_path, random_rows(6), fingerprints=fingerprints) as (library, paths):
        found = search_library(library, Query(paths[0], k=10))
        relations = {number: match.relation for number, match in zip(numbers(found), found, strict=True)}
        assert relations == {1: "contains the query", 2: "part of the query", 4: None, 5: None}
        assert found.copies == (str(paths[3]),)
        assert {one["relation"] for one in found.to_dicts()} == set(relations.values())
        library_path = library.path
    arguments = ["search", str(paths[0]), "--library", str(library_path)]
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["matches"]
    assert {int(Path(one["path"]).stem): one["relation"] for one in printed} == relations
    assert main([*arguments, "--include-self", "--all-copies"]) == 0
    out = capsys.readouterr().out
    assert out.count("copy of the query") == 2 and "contains the query" in out


# Albums ---------------------------------------------------------------------------------------------------------------


def album(songs: int, others: int) -> tuple[dict[str, np.ndarray], dict[int, dict[str, np.ndarray]]]:
    """Rows of an album image (0), of its songs (1, 2, ...), and of others; and passages of the image, six per song."""
    rows = random_rows(1 + songs + others)
    for part in rows.values():
        part[0] = unit(part[1 : 1 + songs].sum(axis=0))
    held = {name: np.repeat(part[1 : 1 + songs], 6, axis=0) for name, part in rows.items()}
    noise = random_rows(6 * songs, seed=5)
    return rows, {0: {name: unit(part + 0.5 * noise[name]) for name, part in held.items()}}


def test_an_album_image_contains_its_songs_though_as_a_whole_it_sounds_like_none(tmp_path: Path) -> None:
    """Song n is from 30 n s to 30 n + 28 s of the image; another song only sounds like one of them."""
    songs = 5
    rows, passages = album(songs, 20)
    for part in rows.values():
        part[9] = unit(part[2] + 0.3 * part[9])
    whole = recorded(150)
    fingerprints = {0: whole, 9: recorded(60, seed=3)}
    one = Fingerprint.of(whole)
    for number in range(1, 1 + songs):
        first = round(30 * (number - 1) * FRAME_RATE) // LEVEL_HOP
        count = round(28 * FRAME_RATE) // LEVEL_HOP
        signs = one.signs[LEVEL_HOP * first : LEVEL_HOP * (first + count)]
        levels = one.levels[first : first + (len(signs) - LEVEL_WIDTH) // LEVEL_HOP + 1]
        fingerprints[number] = Fingerprint(signs, levels).words()
    with library_of(tmp_path, rows, fingerprints=fingerprints, passages=passages) as (library, _):
        found = find_duplicates(library)
        related = [(int(pair.a.path.stem), pair.relation, int(pair.b.path.stem)) for pair in found.related]
        assert related == [(0, "part of", number) for number in range(1, 1 + songs)]
        assert found.groups == ()
        with library.snapshot():
            recordings = different_recordings(library, library.model())
            weights = dict.fromkeys(rows, 1.0)
            pairs = recordings_in_sections(library, library.model(), weights, recordings)
            assert pairs == [*((0, number) for number in range(1, 1 + songs)), (0, 9)]


def test_the_longest_tracks_are_searched_by_section_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image has 30 passages, thus 14 sections. A second image of the first four songs is shorter."""
    rows, passages = album(5, 5)
    passages[6] = {name: part[:24] for name, part in passages[0].items()}
    first, second = [(0, n) for n in range(1, 6)], [(n, 6) for n in range(1, 5)]
    with library_of(tmp_path, rows, passages=passages) as (library, _), library.snapshot():
        recordings = different_recordings(library, library.model())
        for most, expected in ((15, first + second), (14, first)):
            monkeypatch.setattr("soundalike.search.duplicates._SECTIONS", most)
            found = recordings_in_sections(library, library.model(), dict.fromkeys(rows, 1.0), recordings)
            assert found == expected


# Silence, and fingerprints of another version -------------------------------------------------------------------------


def test_silent_tracks_are_no_duplicates(tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    for name, seconds in (("a", 4), ("b", 4), ("c", 9)):
        write(music / f"{name}.wav", np.zeros(22_050 * seconds))
    write(music / "d.wav", tune(TUNES["up"], seconds=8))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [music])
        assert [one.silent for one in library.catalog.tracks()] == [True, True, True, False]
        found = find_duplicates(library)
        assert (found.groups, found.related) == ((), ())
        with library.snapshot():
            finder = CopyFinder(library, library.model())
            finder.add(library.catalog.tracks())
            assert sorted(finder.group([0, 1, 2, 3])) == [[0], [1], [2], [3]]


def test_indexing_again_refreshes_fingerprints_of_an_older_version(tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    write(music / "a.wav", tune(TUNES["up"], seconds=8))
    write(music / "b.wav", 0.5 * tune(TUNES["up"], seconds=8))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [music])
        first, second = (one.id for one in library.catalog.tracks())
        words = library.catalog.fingerprints.get(first)
        with library.catalog.transaction():
            library.catalog.fingerprints.put(first, Fingerprint.of(words).signs, version=1)
        assert find_duplicates(library).groups == ()
        index_files(library, [music])
        versions = [library.catalog.fingerprints.version(one) for one in (first, second)]
        assert versions == [FINGERPRINT_VERSION, FINGERPRINT_VERSION]
        assert library.catalog.fingerprints.get(first).tolist() == words.tolist()
        assert [len(group.tracks) for group in find_duplicates(library).groups] == [2]
