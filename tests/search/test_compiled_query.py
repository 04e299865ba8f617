"""Several examples at once: the score, what is left out, and the output of the command."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st
from test_score import NAMES, levels, null_moments, rows, spaces, weight_lists

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import Span
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.stores.flat import FlatStore
from soundalike.library.stores.row_groups import Groups
from soundalike.library.subject import Subject
from soundalike.models.reference import Reference
from soundalike.models.score import combine_terms, explain, query_terms, score_rows
from soundalike.search.compiled_query import CompiledQuery
from soundalike.search.query import Example, Query
from soundalike.search.search import search_library

NO_WORDS = np.zeros(0, np.uint32)


def by_name(part: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, part, strict=True))


def subject(part: np.ndarray) -> Subject:
    """A recording of one passage that sounds so."""
    passages = {name: row[None, :] for name, row in by_name(part).items()}
    return Subject(Span("/q.wav", 0.0, 60.0), passages, by_name(part), "", NO_WORDS, (), None)


@given(
    st.lists(st.tuples(rows, weight_lists, st.booleans(), st.sets(st.integers(0, 2))), min_size=1, max_size=5),
    rows, st.sets(st.integers(0, 2)), null_moments, levels,
)  # fmt: skip
def test_a_combined_score_is_the_mean_of_single_scores(asked, x, mute, chance, level) -> None:
    table = tuple(spaces(chance))
    x = x.copy()
    x[list(mute)] = 0
    examples, subjects = [], []
    for number, (q, w, like, muted) in enumerate(asked):
        q = q.copy()
        q[list(muted)] = 0
        examples.append(Example(Path(f"{number}.wav"), like or number == 0, by_name(w)))
        subjects.append(subject(q))
    silent = [
        one for one, subject in zip(examples, subjects, strict=True)
        if not any(one.weights[name] and subject.track[name].any() for name in NAMES)
    ]  # fmt: skip
    if silent:
        with pytest.raises(UsageError, match=f"^{silent[0].path}: the query has no audible content"):
            CompiledQuery.of(Reference(table, level), examples, subjects, [-1] * len(asked))
        return
    question = CompiledQuery.of(Reference(table, level), examples, subjects, [-1] * len(asked))
    singles = [
        explain(table, voice.rows, by_name(x), voice.weights, level)[0] * (1 if one.like else -1)
        for one, voice in zip(examples, question.examples, strict=True)
    ]
    expected = float(np.mean(singles))
    # Relative to what is added up: terms of different signs may cancel out.
    size = 1 + sum((abs(mu) + 1) / sigma for mu, sigma in chance) * 2
    match = question.match(Span("/x.wav", 0, 9), Span("/q.wav", 0, 60), 0, by_name(x))
    assert match.score == pytest.approx(expected, abs=1e-9 * size)
    assert sum(part.share for part in match.spaces.values()) == pytest.approx(match.score, abs=1e-12 * size)
    scanned = score_rows(question.terms, {name: row[None, :] for name, row in by_name(x).items()})
    assert scanned[0] == pytest.approx(expected, abs=1e-9 * size)
    for term in question.terms:
        assert np.linalg.norm(term.row) == pytest.approx(1, abs=1e-5)
        assert term.scale >= 0 or len(asked) == 1
    if len(asked) == 1:
        assert match.examples == ()
        return
    assert [(one.path, one.like) for one in match.examples] == [(str(one.path), one.like) for one in examples]
    for one, single in zip(match.examples, singles, strict=True):
        assert one.score == pytest.approx(single if one.like else -single, abs=1e-12 * size)
        assert sum(part.share for part in one.spaces.values()) == pytest.approx(one.score, abs=1e-12 * size)
    for name, part in match.spaces.items():
        each = [one.spaces[name] for one in match.examples]
        assert part.audible == any(one.audible for one in each)
        assert part.share == pytest.approx(
            np.mean([one.share if example.like else -one.share for one, example in zip(each, examples, strict=True)]),
            abs=1e-12 * size,
        )
        assert (part.similarity, part.z, part.percentile) == (None, None, None)


def test_what_cancels_out_still_counts_as_audible(tmp_path: Path) -> None:
    """A like and a dislike of one sound have no direction left, but an offset, by different weights."""
    table = spaces([(0.1, 0.5), (0.2, 0.5), (0.3, 0.5)])
    random = np.random.default_rng(0)
    candidates = random.standard_normal((30, 3, 5)).astype(np.float32)
    candidates /= np.linalg.norm(candidates, axis=2, keepdims=True)
    candidates[::2, 0] = 0
    query = by_name(candidates[1])
    first = query_terms(table, query, {"melody": 1.0}, "track")
    second = query_terms(table, query, {"melody": 2.0, "timbre": 2.0}, "track")
    melody, timbre = combine_terms([(0.5, first), (-1.0, second)])
    assert melody.scale == 0 and melody.offset == 0 and np.linalg.norm(melody.row) == pytest.approx(1)
    assert timbre.scale > 0 and timbre.offset != 0
    shifted = query_terms(spaces([(0.4, 0.5)] * 3), query, {"melody": 1.0}, "track")
    (offset,) = combine_terms([(1.0, first), (-1.0, shifted)])
    assert (offset.scale, offset.offset) == (0, pytest.approx(0.6))
    store = FlatStore(tmp_path, writable=True)
    for number, space in enumerate(table):
        store.write("track", space.full_name, 0, candidates[:, number])
    store.flush()
    groups = Groups.of(np.stack([np.arange(30), np.ones(30, np.int64)], axis=1))
    hits = store.search("track", [offset], groups, 30)
    assert hits.row.tolist() == list(range(1, 30, 2))
    assert hits.score == pytest.approx([0.6] * 15)
    # With another space beside it, the score is that of each alone.
    hits = store.search("track", [offset, timbre], groups, 30)
    exact = score_rows([offset, timbre], {name: candidates[:, n] for n, name in enumerate(NAMES)})
    assert hits.row.tolist() == np.argsort(-exact).tolist()
    store.close()


def test_the_search_finds_the_best_means(library: LibraryFolder, music: Path) -> None:
    """Every track of the library, scored one by one with each example alone, averaged."""
    one, two, three = music / "up" / "0.wav", music / "leaps" / "1.wav", music / "pedal" / "2.wav"
    weights = [{"melody": 1.0}, {"melody": 2.0, "timbre": -1.0}, {"rhythm": 1.0, "harmony": 0.5}]
    query = Query(
        one, weights=weights[0], by="track", k=12, include_self=True,
        examples=(Example(two, weights=weights[1]), Example(three, like=False, weights=weights[2])),
    )  # fmt: skip
    result = search_library(library, query)
    expected: dict[str, float] = {}
    for path, weighed, sign in zip((one, two, three), weights, (1, 1, -1), strict=True):
        alone = search_library(library, Query(path, weights=weighed, by="track", k=12, include_self=True))
        assert alone.examples == () and all(match.examples == () for match in alone.matches)
        for match in alone.matches:
            expected[match.span.track] = expected.get(match.span.track, 0.0) + sign * match.score / 3
    assert len(result.matches) == 12
    assert [match.span.track for match in result.matches] == sorted(expected, key=lambda path: -expected[path])
    for match in result.matches:
        assert match.score == pytest.approx(expected[match.span.track], rel=1e-9, abs=1e-9)
    assert [(one.path, one.like) for one in result.examples] == [(one, True), (two, True), (three, False)]
    assert result.examples[2].weights == {"melody": 0, "rhythm": 1, "timbre": 0, "harmony": 0.5}


def test_a_dislike_turns_the_answers_around(library: LibraryFolder, music: Path) -> None:
    """Of that tune, or of any other: by the groove alone, which all tunes share."""
    query = Query(music / "pedal" / "0.wav", weights={"rhythm": 1}, by="track", k=10)
    places = {}
    for like in (True, False):
        example = Example(music / "up" / "1.wav", like=like, weights={"melody": 1})
        found = [match.span.track for match in search_library(library, replace(query, examples=(example,))).matches]
        places[like] = [place for place, track in enumerate(found) if "/up/" in track]
    assert len(places[True]) == len(places[False]) == 2
    assert max(places[True]) < min(places[False])


def test_examples_and_their_copies_are_left_out(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in "abcd":
        write(tmp_path / "in" / f"{name}.wav", tune(random.integers(55, 80, 40).tolist(), seconds=15))
    shutil.copy(tmp_path / "in" / "b.wav", tmp_path / "in" / "copy of b.wav")
    a, b, c = (tmp_path / "in" / f"{name}.wav" for name in "abc")
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path / "in"])
        query = Query(a, examples=(Example(b), Example(c, like=False)))
        result = search_library(library, query)
        assert [Path(match.span.track).name for match in result.matches] == ["d.wav"]
        assert [Path(copy).name for copy in result.copies] == ["copy of b.wav"]
        assert result.searched == 2
        everyone = search_library(library, Query(a, examples=query.examples, include_self=True))
        assert len(everyone.matches) == 4 and everyone.copies == ()
        assert sorted(len(match.copies) for match in everyone.matches) == [0, 0, 0, 1]
        # With k=1, other tracks replace those that were left out.
        assert len(search_library(library, Query(a, examples=query.examples, k=1)).matches) == 1


def test_the_level_is_that_of_the_shortest(tmp_path: Path) -> None:
    long = write(tmp_path / "in" / "long.wav", tune(TUNES["up"], seconds=31))
    longer = write(tmp_path / "in" / "longer.wav", tune(TUNES["leaps"], seconds=32))
    short = write(tmp_path / "in" / "short.wav", tune(TUNES["down"], seconds=12))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path / "in"])
        assert search_library(library, Query(long, examples=(Example(longer),))).level == "track"
        assert search_library(library, Query(long, examples=(Example(short),))).level == "passage"
        assert search_library(library, Query(long, start=2, end=20, examples=(Example(longer),))).level == "passage"
        subjects = [library.subject(path, library.model()) for path in (long, short)]
        again = search_library(library, Query(long, examples=(Example(short),)), *subjects)
        assert again.matches == search_library(library, Query(long, examples=(Example(short),))).matches


def test_only_artists_of_likes_are_left_out(tmp_path: Path) -> None:
    for number, artist in enumerate(("Ann", "Bob", "Cy", "ANN", "bob", "cy")):
        with sf.SoundFile(tmp_path / f"{number}.flac", "w", 22050, 1, format="FLAC") as file:
            file.artist = artist
            file.write(tune([n + number for n in TUNES["up"]], seconds=3))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path])
        examples = (Example(tmp_path / "1.flac"), Example(tmp_path / "2.flac", like=False))
        result = search_library(library, Query(tmp_path / "0.flac", examples=examples, exclude_same_artist=True))
        assert [Path(match.span.track).name for match in result.matches] == ["5.flac"]
        assert result.artists == ("Ann", "Bob")


def test_errors_name_the_example(library: LibraryFolder, music: Path, tmp_path: Path) -> None:
    one = music / "up" / "0.wav"
    silent = write(tmp_path / "silent.wav", np.zeros(22050 * 3))
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        search_library(library, Query(one, examples=(Example(tmp_path / "gone.wav"),)))
    with pytest.raises(UsageError, match=r"^unlike .*1\.wav: unknown space 'mood'"):
        search_library(
            library, Query(one, examples=(Example(music / "up" / "1.wav", like=False, weights={"mood": 1}),))
        )
    with pytest.raises(UsageError, match=r"silent\.wav: the query has no audible content for melody"):
        search_library(library, Query(one, weights={"melody": 1}, examples=(Example(silent),)))


# The command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], stocked: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOUNDALIKE_LIBRARY", str(stocked))

    def go(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


def test_search_by_several(run, music: Path) -> None:
    up, leaps, pedal = music / "up" / "0.wav", music / "leaps" / "1.wav", music / "pedal" / "2.wav"
    arguments = ("search", up, "-w", "melody", "--like", leaps, "melody=2,timbre=-1", "--unlike", pedal, "-k", "3")
    code, out, _ = run(*arguments)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"{up}  ") and "weights: melody 1; model compact" in lines[0]
    assert lines[1] == f"and like {leaps} (melody 2, timbre -1), unlike {pedal} (melody 1); " \
                       "scores are the mean over 3 examples"  # fmt: skip
    assert "(an example is shorter than 30 s)" in lines[0]
    assert lines[2] == "reference: model compact (12 recordings in the library; 200 make it its own reference)"
    assert lines[3].split() == ["#", "track", "score", "percentile", "melody", "timbre", "bpm", "key", "time"]
    for line in lines[4:7]:
        score, melody, timbre = map(float, re.findall(r"[+-]\d+\.\d\d", line))
        assert melody + timbre == pytest.approx(score, abs=0.011)
    told = json.loads(run(*arguments, "--json")[1])
    assert set(told) == {
        "schema",
        "query", "models", "reference", "weights", "matches", "copies", "corrupt", "missing", "absent_folders",
        "not_encoded", "examples",
        "warnings",
    }  # fmt: skip
    assert [(one["path"], one["like"]) for one in told["examples"]] == [
        (str(up), True), (str(leaps), True), (str(pedal), False),
    ]  # fmt: skip
    assert told["examples"][1]["weights"] == {"melody": 2, "rhythm": 0, "timbre": -1, "harmony": 0}
    for match in told["matches"]:
        assert set(match) >= {
            "path", "start", "end", "score", "percentile", "spaces", "copies", "relation", "examples", "versions",
        }  # fmt: skip
        assert sum(part["share"] for part in match["spaces"].values()) == pytest.approx(match["score"])
        first, second, third = (one["score"] for one in match["examples"])
        assert (first + second - third) / 3 == pytest.approx(match["score"])
        assert [one["path"] for one in match["examples"]] == [str(up), str(leaps), str(pedal)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--like", "b.wav", "melody=x"], "--like b.wav: cannot read the weight 'melody=x'"),
        (["--unlike", "b.wav", "melody=1", "c.wav"], "--unlike b.wav: 2 arguments after the file"),
        (["--like", "b.wav"], "b.wav: no such file"),
        (["--like", "-", "--unlike", "-"], "only one of the recordings can come from standard input"),
        (["--like"], "option --like requires a value"),
    ],
)
def test_wrong_examples_are_one_line(run, music: Path, arguments: list[str], message: str) -> None:
    code, out, err = run("search", music / "up" / "0.wav", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_weights_of_an_example_that_the_model_does_not_know(run, music: Path) -> None:
    code, _, err = run("search", music / "up" / "0.wav", "--unlike", music / "up" / "1.wav", "mood")
    assert code == 2 and err.count("\n") == 1
    assert f"unlike {music / 'up' / '1.wav'}: unknown space 'mood'; known: melody" in err


def test_an_example_from_standard_input(run, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    up = music / "up" / "0.wav"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((music / "leaps" / "1.wav").read_bytes())))
    told = json.loads(run("search", up, "--like", "-", "--json")[1])
    assert [one["path"] for one in told["examples"]] == [str(up), "-"]
    assert [one["path"] for one in told["matches"][0]["examples"]] == [str(up), "-"]
    assert told["copies"] == [str(music / "leaps" / "1.wav")]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no music")))
    code, _, err = run("search", up, "--like", "-")
    assert code == 2
    assert err.startswith("soundalike: -: ")
