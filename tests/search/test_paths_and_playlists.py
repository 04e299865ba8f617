"""Paths and playlists, in libraries of chosen rows and in one of music, and their commands."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import write
from soundalike.audio import Words
from soundalike.cli.main import main
from soundalike.core.errors import AudioError, LibraryError, UsageError
from soundalike.core.types import LEVELS
from soundalike.library.catalog.filter_parser import parse_filter
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.models.model import Model
from soundalike.models.score import explain
from soundalike.search import build_playlist, find_path, find_versions
from soundalike.search.query import Query, as_region
from soundalike.search.search import search_library
from soundalike.search.widest_path import slerp

NAMES = ("melody", "rhythm", "timbre", "harmony")
DIM = 128


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def random_rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: unit(random.standard_normal((count, DIM))) for name in NAMES}


@contextmanager
def library_of(
    folder: Path,
    rows: Mapping[str, np.ndarray],
    *,
    artists: Sequence[str | None] | None = None,
    tempos: Sequence[float | None] | None = None,
    keys: Sequence[str | None] | None = None,
    sounds: Sequence[str] | None = None,
    codecs: Mapping[int, str] | None = None,
    fingerprints: Mapping[int, Words] | None = None,
    passages: Mapping[int, Mapping[str, np.ndarray]] | None = None,
) -> Iterator[tuple[LibraryFolder, list[Path]]]:
    """A library of `dsp` with these track rows, and the paths; empty files stand for the recordings."""
    model, count = Model.load("dsp"), len(rows["melody"])
    paths = [folder / "music" / f"{number}.mp3" for number in range(count)]
    paths[0].parent.mkdir()
    with LibraryFolder.create(folder / "library") as library:
        with library.catalog.transaction():
            dims = [(space.name, level, space.dim) for space in model.spaces for level in LEVELS]
            library.catalog.put_model(model.name, HeldModel(model.recipe.digest, model.source), dims)
        library.refresh()
        for s in model.spaces:
            library.store.write("track", s.full_name, 0, rows[s.name])
        first, places = 0, {}
        for number, held in (passages or {}).items():
            places[number] = (first, len(held["melody"]))
            for s in model.spaces:
                library.store.write("passage", s.full_name, first, held[s.name])
            first += len(held["melody"])
        library.store.flush()
        with library.catalog.transaction():
            library.catalog.commit_rows(model.name, "track", 0, count)
            library.catalog.commit_rows(model.name, "passage", 0, first)
            for number, path in enumerate(paths):
                path.touch()
                named = tuple((artists[number] or "").split(";")) if artists and artists[number] else ()
                track = Track(
                    path, 0, path.stat().st_mtime_ns, str(number), sounds[number] if sounds else str(number), 200.0,
                    44100, 2, (codecs or {}).get(number, "mp3"), f"title {number}", named, None, (), None, None, None,
                    tempos[number] if tempos else None, keys[number] if keys else "A minor", -10.0, False,
                )  # fmt: skip
                track_id = library.catalog.put_track(path.parent, track)
                library.catalog.assign_rows(track_id, "track", number, 1)
                library.catalog.mark_encoded(track_id, model.name)
                if number in places:
                    library.catalog.assign_rows(track_id, "passage", *places[number])
                if fingerprints and number in fingerprints:
                    library.catalog.fingerprints.put(track_id, fingerprints[number])
    with LibraryFolder(folder / "library") as library:
        yield library, paths


def numbers(journey) -> list[int]:
    return [int(Path(match.span.track).stem) for match in journey.matches]


# Paths ------------------------------------------------------------------------------------------------------------


def chained(count: int = 200, links: int = 4) -> dict[str, np.ndarray]:
    """Rows of tracks A (0) and B (1), of a chain between them (2, 3, ...), and of others that are like none of them."""
    rows = random_rows(count)
    for part in rows.values():
        for link in range(links):
            part[2 + link] = slerp(part[0], part[1], (link + 1) / (links + 1))
    return rows


def test_a_planted_chain_is_found(tmp_path: Path) -> None:
    with library_of(tmp_path, chained()) as (library, paths):
        journey = find_path(library, paths[0], paths[1], 4)
        assert numbers(journey) == [2, 3, 4, 5, 1]
        assert journey.smallest > journey.direct.score + 1
        assert journey.note is None
        assert [match.query_span for match in journey.matches] == [
            journey.start, *(match.span for match in journey.matches[:-1])
        ]  # fmt: skip
        for match in [*journey.matches, journey.direct]:
            assert match.score == pytest.approx(sum(part.share for part in match.spaces.values()))
        # With one weighted space: the same chain, and no other shares.
        journey = find_path(library, paths[0], paths[1], 4, {"rhythm": 2})
        assert numbers(journey) == [2, 3, 4, 5, 1]
        assert all(match.spaces["melody"].share == 0 for match in journey.matches)


def test_exactly_as_many_steps_all_different(tmp_path: Path) -> None:
    with library_of(tmp_path, chained()) as (library, paths):
        for steps in (1, 2, 7, 20):
            found = numbers(find_path(library, paths[0], paths[1], steps))
            assert len(found) == steps + 1 and len({0, *found}) == steps + 2


def test_copies_do_not_share_a_path(tmp_path: Path) -> None:
    rows = chained()
    sounds = [str(number) for number in range(200)]
    for part in rows.values():
        for copy, original in ((10, 3), (11, 3), (12, 0), (13, 1)):
            part[copy] = unit(part[original] + 0.001 * part[copy])
            sounds[copy] = sounds[original]
    with library_of(tmp_path, rows, sounds=sounds) as (library, paths):
        for steps in (4, 6, 9):
            found = [sounds[number] for number in [0, *numbers(find_path(library, paths[0], paths[1], steps))]]
            assert len(set(found)) == len(found) == steps + 2
        with pytest.raises(UsageError, match=r"0\.mp3 and .*12\.mp3 are the same recording; give two that differ"):
            find_path(library, paths[0], paths[12])


def test_a_path_lists_the_best_file_with_its_copies(tmp_path: Path) -> None:
    rows = chained()
    sounds = [str(number) for number in range(200)]
    for part in rows.values():
        for copy, original in ((10, 3), (11, 3), (12, 0), (13, 1)):
            part[copy] = unit(part[original] + 0.001 * part[copy])
            sounds[copy] = sounds[original]
    with library_of(tmp_path, rows, sounds=sounds, codecs={10: "flac"}) as (library, paths):
        journey = find_path(library, paths[0], paths[1], 4)
        assert numbers(journey) == [2, 10, 4, 5, 1]
        assert [match.copies for match in journey] == [(), (str(paths[3]), str(paths[11])), (), (), ()]
        assert journey.copies == (str(paths[12]), str(paths[13]))
        assert str(paths[10]) in journey.to_m3u() and str(paths[3]) not in journey.to_m3u()


def test_too_few_tracks_make_a_shorter_path_and_a_word(tmp_path: Path) -> None:
    with library_of(tmp_path, chained(count=5, links=3)) as (library, paths):
        journey = find_path(library, paths[0], paths[1])
        assert numbers(journey) == [2, 3, 4, 1]
        assert journey.note == "3 of 8 tracks: the library holds no more between the two"
        journey = find_path(library, paths[0], paths[1], where=parse_filter("title = 'title 3'"))
        assert numbers(journey) == [3, 1]
        assert journey.note == "1 of 8 tracks: the library holds no more between the two that meet the conditions"
        journey = find_path(library, paths[0], paths[1], where=parse_filter("title = nothing"))
        assert numbers(journey) == [1]
        assert journey.smallest == journey.direct.score


def test_a_space_that_is_audible_at_one_end_is_taken_from_there(tmp_path: Path) -> None:
    rows = chained()
    rows["timbre"][0] = 0
    rows["harmony"][1] = 0
    rows["melody"][:2] = 0
    with library_of(tmp_path, rows) as (library, paths):
        journey = find_path(library, paths[0], paths[1], 4)
        assert set(numbers(journey)) >= {2, 3, 4, 5}
        for match in [*journey.matches, journey.direct]:
            assert match.score == pytest.approx(sum(part.share for part in match.spaces.values()))
        with pytest.raises(UsageError, match=r"0\.mp3: the query has no audible content for timbre"):
            find_path(library, paths[0], paths[1], weights={"timbre": 1})


def test_there_and_back_are_as_wide(library: LibraryFolder, music: Path) -> None:
    ends = music / "up" / "0.wav", music / "leaps" / "2.wav"
    there, back = find_path(library, *ends, 3), find_path(library, *reversed(ends), 3)
    assert there.smallest == pytest.approx(back.smallest)
    assert there.direct.score == pytest.approx(back.direct.score)


def test_wrong_paths(library: LibraryFolder, music: Path) -> None:
    ends = music / "up" / "0.wav", music / "leaps" / "2.wav"
    with pytest.raises(UsageError, match="timbre weighs -0.5; a path needs weights of 0 or more"):
        find_path(library, *ends, weights={"melody": 1, "timbre": -0.5})
    with pytest.raises(UsageError, match="steps is 0; expected a whole number of at least 1"):
        find_path(library, *ends, 0)
    with pytest.raises(AudioError, match=r"nowhere\.wav: "):
        find_path(library, ends[0], music / "nowhere.wav")


# Playlists --------------------------------------------------------------------------------------------------------


def test_without_spread_it_is_the_search(library: LibraryFolder, music: Path) -> None:
    seed = music / "up" / "0.wav"
    found = search_library(library, Query(seed, by="track", k=11))
    journey = build_playlist(library, seed, 11, spread=0)
    assert [match.span for match in journey.matches] == [match.span for match in found.matches]
    assert [match.score for match in journey.matches] == pytest.approx([match.score for match in found.matches])


@pytest.mark.parametrize("weights", [None, {"melody": 2, "timbre": -1}])
@pytest.mark.parametrize("spread", [0.3, 0.9])
def test_maximal_marginal_relevance_against_a_naive_loop(tmp_path: Path, spread: float, weights) -> None:
    rows = random_rows(40)
    rows["harmony"][::7] = 0
    full = weights or dict.fromkeys(NAMES, 1)
    sizes = {name: abs(weight) for name, weight in full.items()}
    spaces = Model.load("dsp").spaces

    def score(a: int, b: int, weights: Mapping[str, float]) -> float:
        one, other = ({name: part[number] for name, part in rows.items()} for number in (a, b))
        return explain(spaces, one, other, weights, "track")[0]

    chosen: list[int] = []
    while len(chosen) < 15:
        values = {
            x: (1 - spread) * score(0, x, full) - spread * max((score(y, x, sizes) for y in chosen), default=0)
            for x in range(1, 40)
            if x not in chosen
        }
        chosen.append(max(values, key=lambda x: values[x]))
    with library_of(tmp_path, rows) as (library, paths):
        assert numbers(build_playlist(library, paths[0], 15, weights, spread=spread)) == chosen


def test_of_copies_the_best_file_that_keeps_to_the_rules_is_played(tmp_path: Path) -> None:
    rows = random_rows(4)
    for part in rows.values():
        part[1] = unit(part[0] + 0.1 * part[1])  # the best match of the seed
        part[3] = part[2]
    about = {"artists": ["Cee", "Ann", "Ann", "Bob"], "sounds": ["a", "b", "c", "c"], "codecs": {2: "flac"}}
    with library_of(tmp_path, rows, **about) as (library, paths):
        journey = build_playlist(library, paths[0], 2, spread=0.0)
        assert numbers(journey) == [1, 3], "2 is lossless, but by the artist of 1"


MIXES = {
    "A minor": {"A minor", "E minor", "D minor", "C major"},
    "E minor": {"E minor", "B minor", "A minor", "G major"},
    "C major": {"C major", "G major", "F major", "A minor"},
    "F# major": {"F# major", "C# major", "B major", "D# minor"},
}


@given(
    about=st.lists(
        st.tuples(
            st.sampled_from([None, "Ann", "ann", "ANN;Bob", "Bob", "Various Artists", "bob;Cee"]),
            st.sampled_from([None, 60.0, 118.0, 120.0, 123.0, 126.5]),
            st.sampled_from("abcdefghijk"),
            st.sampled_from([None, *MIXES]),
        ),
        min_size=2,
        max_size=16,
    ),
    length=st.integers(1, 10),
    spread=st.floats(0, 1),
    tempo=st.sampled_from([None, (118.0, 126.0)]),
    step=st.sampled_from([None, 0.0, 2.0, 5.0]),
    half_double=st.booleans(),
    harmonic=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_playlist_keeps_to_its_rules(
    about, length: int, spread: float, tempo, step, half_double: bool, harmonic: bool
) -> None:
    artists, tempos, sounds, keys = zip(*about, strict=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        library_of(Path(folder), random_rows(len(about)), artists=artists, tempos=tempos, sounds=sounds, keys=keys) as (
            library,
            paths,
        ),
    ):
        journey = build_playlist(
            library, paths[0], length, spread=spread, tempo=tempo, tempo_step=step, half_double=half_double,
            harmonic=harmonic,
        )  # fmt: skip
    factors = (0.5, 1, 2) if half_double else (1,)
    found = numbers(journey)

    def follows(a: int | None, b: int) -> bool:
        if (tempo or step is not None) and tempos[b] is None:
            return False
        if tempo and not any(tempo[0] <= factor * tempos[b] <= tempo[1] for factor in factors):
            return False
        if harmonic and keys[b] is None:
            return False
        if a is None:
            return True
        if harmonic and keys[b] not in MIXES[keys[a]]:
            return False
        named_a, named_b = ({*(artists[n] or "").casefold().split(";")} - {""} for n in (a, b))
        if (named_a & named_b) - {"various artists"}:
            return False
        return step is None or any(abs(f * tempos[b] - tempos[a]) <= step / 100 * tempos[a] for f in factors)

    tracks = [sounds[0], *(sounds[number] for number in found)]
    assert len(set(tracks)) == len(tracks)
    assert all(follows(a, b) for a, b in pairwise([None, *found]))
    assert len(found) <= length
    assert (journey.note is None) == (len(found) == length)
    if journey.note:
        assert journey.note.startswith(f"{len(found)} of {length} tracks: ")
        last = found[-1] if found else None
        assert not [x for x in range(len(about)) if sounds[x] not in tracks and follows(last, x)]


def test_a_playlist_lists_the_best_file_that_fits_with_its_copies(tmp_path: Path) -> None:
    rows = random_rows(8)
    for part in rows.values():
        for copy, original in ((3, 2), (4, 2), (5, 0)):
            part[copy] = unit(part[original] + 0.001 * part[copy])
    sounds, tempos = list("01222067"), [120.0, 120.0, 120.0, 120.0, None, 120.0, 120.0, 120.0]
    with library_of(tmp_path, rows, sounds=sounds, tempos=tempos, codecs={3: "alac", 4: "flac"}) as (library, paths):
        files = {match.path: match.copies for match in build_playlist(library, paths[0], 10)}
        assert files == {str(paths[n]): () for n in (1, 6, 7)} | {str(paths[3]): (str(paths[2]), str(paths[4]))}
        journey = build_playlist(library, paths[0], 10, tempo_step=1)
        assert {match.path: match.copies for match in journey}[str(paths[3])] == (str(paths[2]),), "4 has no tempo"
        assert journey.copies == (str(paths[5]),)


def test_tracks_without_a_key_are_left_out_of_a_harmonic_playlist(tmp_path: Path) -> None:
    keys = ["C major", "A minor", None, "E minor", "F# major", "D minor"]
    with library_of(tmp_path, random_rows(6), keys=keys) as (library, paths):
        journey = build_playlist(library, paths[0], 5, harmonic=True)
    last = keys[numbers(journey)[-1]]
    if last == "F# major":
        assert journey.note == "1 of 5 tracks: none is left in a key that mixes with F# major (2B)"
    else:
        assert (
            journey.note
            == f"{len(journey)} of 5 tracks: none is left in a key that mixes with {last} ("
            + ({"A minor": "8A)", "E minor": "9A)", "D minor": "7A)"}[last])
        )
    assert set(numbers(journey)) <= {1, 3, 5} or numbers(journey) == [4]


def test_a_harmonic_playlist_of_unknown_keys_is_empty(tmp_path: Path) -> None:
    with library_of(tmp_path, random_rows(3), keys=["C major", None, None], tempos=[120.0] * 3) as (library, paths):
        journey = build_playlist(library, paths[0], 2, harmonic=True, tempo_step=4)
    assert (len(journey), journey.note) == (0, "0 of 2 tracks: no other recording of a known tempo and key is left")


def test_a_playlist_relative_to_its_seed(tmp_path: Path) -> None:
    tempos, keys = [140.0, 71.0, 136.0, 120.0, None], ["A minor", "D major", "C major", None, "G# minor"]
    with library_of(tmp_path, random_rows(5), tempos=tempos, keys=keys) as (library, paths):

        def found(where: str) -> set[int]:
            return set(numbers(build_playlist(library, paths[0], 5, where=parse_filter(where))))

        assert found("bpm ~ query") == {1, 2}
        assert found("bpm < query") == {1, 2, 3}
        assert found("key ~ query") == {2}
        assert found("not (bpm ~ query or key != query)") == {3}
        fit = {number: (match.stretch, match.semitones) for match in build_playlist(library, paths[0], 5)
               for number in [int(Path(match.path).stem)]}  # fmt: skip
        assert fit == {1: (pytest.approx(70 / 71), -2), 2: (pytest.approx(140 / 136), 0), 4: (None, 1),
                       3: (pytest.approx(7 / 6), None)}  # fmt: skip
        with pytest.raises(UsageError, match=r"3.mp3 has no key, so 'key ~ query' says nothing; write a value"):
            build_playlist(library, paths[3], 5, where=parse_filter("key ~ query"))


def test_a_path_has_no_query(tmp_path: Path) -> None:
    tempos = [140.0, 70.0, 100.0]
    with library_of(tmp_path, random_rows(3), tempos=tempos, keys=["A minor", "B minor", None]) as (library, paths):
        with pytest.raises(UsageError, match="'bpm ~ query' needs one query, and a path has two ends"):
            find_path(library, paths[0], paths[1], 1, where=parse_filter("year = 1999 or not bpm ~ query"))
        over, arrival = find_path(library, paths[0], paths[1], 1)
        assert [(one.stretch, one.semitones) for one in (over, arrival)] == [
            (pytest.approx(1.4), None),  # 140 / 100; from the half, 70, it is further
            (pytest.approx(100 / 140), None),  # to the double, 140
        ]


def test_why_a_playlist_ended(tmp_path: Path) -> None:
    rows = random_rows(6)
    artists, tempos = [None, "Ann", "Dee;ann", "Ann", "Ann", "Bob"], [120.0, 100.0, 101.0, 102.0, 130.0, 160.0]

    def note(library: LibraryFolder, paths: list[Path], **options) -> str:
        return build_playlist(library, paths[0], 5, **options).note

    with library_of(tmp_path, rows, artists=artists, tempos=tempos) as (library, paths):
        assert re.fullmatch(
            r"[23] of 5 tracks: none is left by another artist than (Ann|Dee, ann)", note(library, paths)
        )
        assert (
            note(library, paths, where=parse_filter("artist = bob"))
            == "1 of 5 tracks: no other recording that meets the conditions is left"
        )
        assert note(library, paths, tempo=(155, 165), tempo_step=1) == (
            "1 of 5 tracks: no other recording of a known tempo that meets the conditions is left"
        )
        assert (note(library, paths, where=parse_filter("bpm 125..165"), tempo_step=3, weights={"melody": 1})) in [
            f"1 of 5 tracks: none is left within 3 % of {bpm} BPM" for bpm in ("130.0", "160.0")
        ]


def test_wrong_playlists(library: LibraryFolder, music: Path) -> None:
    seed = music / "up" / "0.wav"
    for options, message in (
        ({"length": 0}, "length is 0; expected a whole number of at least 1"),
        ({"spread": 1.5}, "the spread is 1.5; expected 0 (the best matches) to 1"),
        ({"spread": float("nan")}, "the spread is nan; expected 0 (the best matches) to 1"),
        (
            {"tempo": (126.0, 118.0)},
            "the tempo is 126 to 118 BPM; expected two positive numbers, the smaller one first",
        ),
        ({"tempo_step": -1.0}, "the tempo step is -1 %; expected 0 to 100"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            build_playlist(library, seed, **options)


@pytest.mark.parametrize(
    ("ask", "arguments", "message"),
    [
        (build_playlist, {"length": "x"}, "length is 'x'; expected a whole number of at least 1"),
        (build_playlist, {"length": 2.5}, "length is 2.5; expected a whole number of at least 1"),
        (build_playlist, {"length": True}, "length is True; expected a whole number of at least 1"),
        (build_playlist, {"spread": "x"}, "spread is 'x'; expected a number"),
        (build_playlist, {"tempo": 5}, "tempo is 5; expected two positive numbers"),
        (build_playlist, {"tempo": (5,)}, "tempo is (5,); expected two positive numbers"),
        (build_playlist, {"tempo": ("a", "b")}, "the lowest tempo is 'a'; expected a number"),
        (build_playlist, {"tempo": (None, 120)}, "the lowest tempo is None; expected a number"),
        (build_playlist, {"tempo": (90, 10**400)}, "the highest tempo is too large; expected a number"),
        (build_playlist, {"tempo_step": "x"}, "tempo_step is 'x'; expected a number"),
        (find_path, {"b": Path("b.wav"), "steps": "x"}, "steps is 'x'; expected a whole number of at least 1"),
        (find_path, {"b": Path("b.wav"), "steps": 2.5}, "steps is 2.5; expected a whole number of at least 1"),
        (lambda library, _, **options: find_versions(library, **options), {"rate": "x"}, "false_discovery_rate is 'x'"),
        (lambda *_, **options: as_region(**options), {"region": (-1, None)}, "runs from -1 s to the end; expected 0"),
        (lambda *_, **options: as_region(**options), {"region": (float("nan"), None)}, "runs from nan s to the end"),
        (
            lambda *_, **options: as_region(**options),
            {"region": (2, 2)},
            "runs from 2 s to 2 s; expected 0 <= start < end",
        ),
        (lambda *_, **options: as_region(**options), {"region": (2, float("nan"))}, "runs from 2 s to nan s"),
        (lambda *_, **options: as_region(**options), {"region": (10**400, None)}, "start of the region is too large"),
        (lambda *_, **options: Query(**options), {"path": 3}, "path is 3; expected a path"),
        (lambda *_, **options: Query(**options), {"path": "a", "start": "x"}, "start is 'x'; expected a number"),
        (lambda *_, **options: Query(**options), {"path": "a", "examples": 3}, "examples is 3; expected a tuple of"),
        (lambda *_, **options: Query(**options), {"path": "a", "examples": ("b",)}, "examples is ('b',); expected a"),
    ],
)
def test_arguments_of_a_wrong_type(library: LibraryFolder, ask, arguments, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        ask(library, Path("a.wav"), **arguments)
    assert "\n" not in str(caught.value)


def test_an_empty_library(tmp_path: Path, music: Path) -> None:
    LibraryFolder.create(tmp_path / "library").close()
    with LibraryFolder(tmp_path / "library") as library:
        with pytest.raises(LibraryError, match="is empty; fill it with: soundalike index DIR"):
            find_path(library, music / "up" / "0.wav", music / "up" / "1.wav")
        with pytest.raises(LibraryError, match="is empty; fill it with: soundalike index DIR"):
            build_playlist(library, music / "up" / "0.wav")


# Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stocked: Path):
    """Run a command against the library of `music`: its exit code, and what it printed on both streams."""
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(stocked))

    def go(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


def test_the_path_command(run, music: Path, tmp_path: Path) -> None:
    a, b = music / "up" / "0.wav", music / "leaps" / "1.wav"
    code, out, _ = run("path", a, b, "-n", 3, "-w", "melody,timbre", "--m3u", tmp_path / "way.m3u8")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == f"{a} to {b}; weights: melody 1, timbre 1; model compact"
    assert lines[1].startswith("reference: model compact (12 recordings in the library")
    assert lines[2].split() == ["#", "track", "score", "melody", "timbre", "bpm", "key"]
    assert [line.split()[0] for line in lines[3:8]] == ["A", "1", "2", "3", "B"]
    assert re.fullmatch(r"smallest step [+-]\d\.\d\d; directly from A to B [+-]\d\.\d\d", lines[9])
    names = (tmp_path / "way.m3u8").read_text().splitlines()[2::2]
    assert [names[0], names[-1], len(names)] == [str(a), str(b), 5]
    assert lines[10] == f"playlist written: {tmp_path / 'way.m3u8'}"


def test_the_path_command_in_json(run, music: Path, made) -> None:
    outside = made("song.wav", seconds=12, beat=0.45)
    code, out, _ = run("path", outside, music / "leaps" / "1.wav", "-n", 2, "--json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == [
        "schema", "query", "models", "reference", "weights", "matches", "note", "copies", "corrupt",
        "missing", "absent_folders", "not_encoded", "arrival", "direct", "smallest",
    ]  # fmt: skip
    assert found["query"] == {"a": str(outside), "b": str(music / "leaps" / "1.wav"), "steps": 2, "where": None}
    assert len(found["matches"]) == 2
    assert found["arrival"]["path"] == str(music / "leaps" / "1.wav")
    steps = [*found["matches"], found["arrival"]]
    assert found["smallest"] == min(step["score"] for step in steps)
    for step in steps:
        assert sum(part["share"] for part in step["spaces"].values()) == pytest.approx(step["score"])


def test_the_playlist_command(run, music: Path, tmp_path: Path) -> None:
    seed = music / "up" / "0.wav"
    code, out, _ = run("playlist", seed, "-n", 4, "--m3u", tmp_path / "list.m3u", "--where", "path ~ up")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) == 8
    assert lines[6] == "2 of 4 tracks: no other recording that meets the conditions is left"
    names = (tmp_path / "list.m3u").read_text().splitlines()[2::2]
    assert sorted(names) == [str(music / "up" / "1.wav"), str(music / "up" / "2.wav")]
    code, out, _ = run("playlist", seed, "-n", 4, "--tempo", "110..130", "--tempo-step", 2, "--spread", 0.5, "--json")
    found = json.loads(out)
    assert list(found) == [
        "schema", "query", "models", "reference", "weights", "matches", "note", "copies", "corrupt", "missing",
        "absent_folders", "not_encoded",
    ]  # fmt: skip
    assert found["query"] == {"path": str(seed), "length": 4, "where": None, "spread": 0.5, "tempo": [110.0, 130.0],
                              "tempo_step": 2.0, "half_double": False, "harmonic": False}  # fmt: skip
    assert len(found["matches"]) == 4


def test_a_harmonic_playlist_that_fits_its_seed(run, music: Path) -> None:
    seed = music / "up" / "0.wav"
    options = [
        "--harmonic",
        "--where",
        "duration = query",
        "--columns",
        "track,camelot,stretch,semitones",
    ]
    code, out, _ = run("playlist", seed, "-n", 3, *options)
    assert code == 0 and out.splitlines()[2].split() == ["track", "camelot", "stretch", "semitones"]
    found = json.loads(run("playlist", seed, "-n", 3, *options[:3], "--json")[1])
    assert found["query"]["harmonic"] is True
    hours = [(int(match["camelot"][:-1]), match["camelot"][-1]) for match in found["matches"]]
    for (a, ring), (b, other) in pairwise(hours):
        assert (ring == other and (a - b) % 12 in (0, 1, 11)) or (ring != other and a == b)
    shown = [line.split()[-1] for line in out.splitlines()[3 : 3 + len(hours)]]
    assert shown == [f"{match['semitones']:+d}" for match in found["matches"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["path", "UP", "nowhere.wav"], "nowhere.wav: "),
        (["path", "UP", "LEAPS", "-w", "melody=1,timbre=-1"], "timbre weighs -1; a path needs weights of 0 or more"),
        (["path", "UP", "LEAPS", "-n", "0"], "expected a whole number from 1"),
        (["path", "UP", "LEAPS", "--m3u", "way.txt"], "is not a playlist name"),
        (["path", "UP", "LEAPS", "--where", "key ~ query"], "a path has two ends; write a value instead of query"),
        (["playlist", "UP", "--where", "genre = query"], "0.wav has no genre, so 'genre = query' says nothing"),
        (["library", "ls", "--where", "bpm ~ query"], "'bpm ~ query' needs a query, as search and playlist have"),
        (["path", "UP", "UP"], "are the same recording"),
        (["path", "-", "-"], "only one of the recordings can come from standard input"),
        (["path", "UP", "LEAPS", "--library", "/nonexistent/library"], "no library at /nonexistent/library"),
        (["playlist", "nowhere.wav"], "nowhere.wav: "),
        (["playlist", "UP", "--tempo", "fast"], "--tempo: cannot read the range 'fast'; expected LOW..HIGH"),
        (["playlist", "UP", "--tempo", "126..118"], "the smaller one first"),
        (["playlist", "UP", "--spread", "x"], "--spread: expected a number, found 'x'"),
        (["playlist", "UP", "--spread", "2"], "the spread is 2; expected 0 (the best matches) to 1"),
        (["playlist", "UP", "--m3u", "/nonexistent/x.m3u8"], "its folder does not exist"),
    ],
)
def test_wrong_commands_are_one_line(run, music: Path, arguments: list[str], message: str) -> None:
    clips = {"UP": str(music / "up" / "0.wav"), "LEAPS": str(music / "leaps" / "0.wav")}
    code, out, err = run(*(clips.get(argument, argument) for argument in arguments))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_silent_seed(run, tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.wav", np.zeros(30000))
    code, _, err = run("playlist", silent)
    assert code == 2
    assert "no audible content" in err
