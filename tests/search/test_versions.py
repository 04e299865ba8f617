"""Duplicates and version families: what is found, what is not, and the output of the commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.models.heads import unit_rows
from soundalike.models.model import Model, load_once
from soundalike.search import versions
from soundalike.search.duplicates import find_duplicates
from soundalike.search.query import Query
from soundalike.search.search import search_library
from soundalike.search.significance import Tail
from soundalike.search.versions import _grow, find_versions, store_versions

COUNT, FAMILIES, SIZE = 400, 12, 3


def some_rows(model: Model, seed: int, planted: int = 0, mute: int = 0) -> dict[str, FloatArray]:
    """Rows of COUNT tracks, of which the first `planted` times SIZE are families; `mute` others have no harmony."""
    random = np.random.default_rng(seed)
    rows = {}
    for space in model.spaces:
        # Few directions matter, and all tracks share one of them, as the rows of music do.
        values = random.standard_normal((COUNT, space.dim)) * np.geomspace(1, 0.05, space.dim) + 0.2
        if space.name in ("melody", "harmony"):
            for first in range(0, planted * SIZE, SIZE):
                values[first : first + SIZE] = values[first] + 0.3 * (values[first : first + SIZE] - values[first])
        rows[space.name] = unit_rows(values.astype(np.float32))
    rows["harmony"][COUNT - mute :] = 0
    return rows


def stock(path: Path, rows: dict[str, FloatArray], model: Model) -> Path:
    """A library with these rows, made without audio."""
    with LibraryFolder.create(path) as library:
        count = len(rows["melody"])
        with library.catalog.transaction():
            library.catalog.put_model(
                model.name,
                HeldModel(model.recipe.digest, model.source),
                [(space.name, "track", space.dim) for space in model.spaces],
            )
        library.refresh()
        for s in model.spaces:
            library.store.write("track", s.full_name, 0, rows[s.name])
        library.store.flush()
        with library.catalog.transaction():
            library.catalog.commit_rows(model.name, "track", 0, count)
            for number in range(count):
                file = Path("/music") / f"{number:03}.flac"
                track = Track(
                    path=file, size=1, mtime_ns=1, content_hash=str(number), audio_hash=str(number), duration=60.0,
                    rate=44100, channels=2, codec="flac", title=None, artists=(), album=None, genres=(), year=None,
                    bpm_tag=None, key_tag=None, tempo=None, key=None, loudness=None, silent=False,
                )  # fmt: skip
                one = library.catalog.put_track(Path("/music"), track)
                library.catalog.assign_rows(one, "track", number, 1)
                library.catalog.mark_encoded(one, model.name)
    return path


pytestmark = pytest.mark.usefixtures("files_exist")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_once("compact")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """400 tracks with 12 families of three; the last 40 have no harmony."""
    return stock(tmp_path_factory.mktemp("planted") / "library", some_rows(model, 0, FAMILIES, mute=40), model)


def numbers(tracks: Sequence[Track]) -> set[int]:
    return {int(track.path.stem) for track in tracks}


def test_planted_families_are_found(planted: Path) -> None:
    with LibraryFolder(planted) as library:
        found = find_versions(library, 0.05)
    families = [numbers([member[0] for member in family.members]) for family in found.families]
    assert sorted(map(sorted, families)) == [list(range(n, n + SIZE)) for n in range(0, FAMILIES * SIZE, SIZE)]
    assert (found.recordings, found.tests) == (COUNT, COUNT * (COUNT - 1) // 2)
    assert found.expected_false <= 0.05 * found.found
    for family in found.families:
        assert all(0 <= pair.p <= pair.q <= 0.05 for pair in family.pairs)
        assert family.q == max(pair.q for pair in family.pairs)
    assert [family.q for family in found.families] == sorted(family.q for family in found.families)


def test_a_score_is_that_of_a_search(planted: Path) -> None:
    with LibraryFolder(planted) as library:
        found = find_versions(library)
        pair = found.families[0].pairs[0]
        weights = dict(found.weights)
        match = next(
            match
            for match in search_library(
                library, Query(pair.a.path, weights=weights, by="track", k=5), subject(library, pair.a)
            ).matches
            if match.span.track == str(pair.b.path)
        )
    assert pair.score == pytest.approx(match.score, rel=1e-6)


def subject(library: LibraryFolder, track: Track):
    """What a track of a library without files sounds like."""
    from soundalike.core.types import Span
    from soundalike.library.subject import Subject

    rows = {name: part[0] for name, part in library._rows_of(track, library.model())["track"].items()}
    return Subject(Span(str(track.path), 0.0, 60.0), {}, rows, track.audio_hash, np.zeros(0, np.uint32), (), track)


@pytest.mark.slow
def test_where_there_is_nothing_the_rate_holds(tmp_path: Path, model: Model) -> None:
    found = 0
    for seed in range(5):
        with LibraryFolder(stock(tmp_path / str(seed), some_rows(model, seed), model)) as library:
            found += find_versions(library, 0.2).found
    assert found <= 1


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """Six tracks, of which 1 and 4 have similar melody and harmony, and 5 has no harmony."""
    rows = {name: part[:6].copy() for name, part in some_rows(model, 3).items()}
    for name in ("melody", "harmony"):
        rows[name][4] = unit_rows(rows[name][1:2] + 0.1 * rows[name][4:5])[0]
    rows["harmony"][5] = 0
    return stock(tmp_path_factory.mktemp("few") / "library", rows, model)


def test_few_recordings_give_candidates_with_the_reference_of_the_model(few: Path, model: Model) -> None:
    with LibraryFolder(few, writable=True) as library:
        found = find_versions(library)
        store_versions(library, found)
        assert library.catalog.families.by_track() is None
        first = found.candidates[0]
        cosine = {
            space.name: float(np.dot(*library.store.read("track", space.full_name, space.dim, np.array([1, 4]))))
            for space in model.spaces
        }
    assert (found.families, found.found, found.rate, found.expected_false) == ((), 0, None, None)
    assert (found.recordings, found.tests) == (6, 15)
    assert numbers([first.a, first.b]) == {1, 4}
    z = {s.name: (cosine[s.name] - s.calibration["track"].mu) / s.calibration["track"].sigma for s in model.spaces}
    assert first.score == pytest.approx((2 * z["melody"] + z["harmony"]) / 3, rel=1e-3)
    scores = [pair.score for pair in found.candidates]
    assert scores == sorted(scores, reverse=True) and scores[-1] > 0
    assert len({frozenset(numbers([pair.a, pair.b])) for pair in found.candidates}) == len(scores)


def test_a_library_without_a_pair_has_no_candidates(tmp_path: Path, model: Model) -> None:
    for count in (0, 1):
        rows = {name: part[:count] for name, part in some_rows(model, 0).items()}
        with LibraryFolder(stock(tmp_path / str(count), rows, model)) as library:
            found = find_versions(library)
        assert (found.candidates, found.families, found.recordings, found.tests) == ((), (), count, 0)


def test_a_rate_outside_0_to_1_is_refused(library: LibraryFolder) -> None:
    with pytest.raises(UsageError, match="the false-discovery rate is 1; expected a number between 0 and 1"):
        find_versions(library, 1.0)


def test_rows_that_are_all_the_same_are_no_families(tmp_path: Path, model: Model) -> None:
    rows = {name: np.repeat(part[:1], COUNT, axis=0) for name, part in some_rows(model, 0).items()}
    with (
        LibraryFolder(stock(tmp_path / "same", rows, model)) as library,
        pytest.raises(UsageError, match="hardly differ"),
    ):
        find_versions(library)


def test_families_between_both_ends_of_the_tail_stay_two(
    planted: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean between two families must exceed the upper end of the tail; here it lies between the two ends."""
    first, second = (0, 1, 2), (3, 4, 5)
    ends: list[tuple[float, float]] = []
    fit, between = versions.fit_tail, versions._Scorer.mean_between

    def fit_and_keep(scores: FloatArray, *, first: float, last: float) -> Tail:
        tail = fit(scores, first=first, last=last)
        ends.append((tail.start, tail.end))
        return tail

    def lies_between(scorer: versions._Scorer, a: Sequence[int], b: Sequence[int]) -> float:
        if {*a, *b} <= {*first, *second} and not ({*a, *b} <= {*first} or {*a, *b} <= {*second}):
            return sum(ends[-1]) / 2
        return between(scorer, a, b)

    def with_a_stray_pair(left: IntArray, right: IntArray, alike: Callable[..., bool]) -> list[tuple[int, ...]]:
        return _grow(np.append(left, 2), np.append(right, 3), alike)

    monkeypatch.setattr(versions, "fit_tail", fit_and_keep)
    monkeypatch.setattr(versions._Scorer, "mean_between", lies_between)
    monkeypatch.setattr(versions, "_grow", with_a_stray_pair)
    with LibraryFolder(planted) as library:
        found = find_versions(library)
    families = [numbers([member[0] for member in family.members]) for family in found.families]
    assert set(first) in families and set(second) in families


def test_scores_are_standardised_by_those_with_all_other_recordings(few: Path, model: Model) -> None:
    left, right = np.triu_indices(6, 1)
    with LibraryFolder(few) as library:
        scorer = versions._Scorer(library, model.spaces, {s.name: 1.0 for s in model.spaces}, np.arange(6))
        raw = np.full((6, 6), np.nan)  # no recording is compared with itself
        raw[left, right] = raw[right, left] = scorer.raw(left, right)
        found = scorer.standard(left, right)
    mean, deviation = np.nanmean(raw, axis=1), np.nanstd(raw, axis=1)
    sides = [(raw[left, right] - mean[side]) / deviation[side] for side in (left, right)]
    assert found == pytest.approx((sides[0] + sides[1]) / 2, abs=1e-5)


def test_a_chain_of_single_pairs_makes_no_family() -> None:
    # 0-1-2 and 3-4-5 are close; a stray pair 2-3 would chain them.
    close = {frozenset(pair) for pair in ((0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5), (2, 3))}

    def alike(a: Sequence[int], b: Sequence[int]) -> bool:
        return bool(np.mean([frozenset((x, y)) in close for x in a for y in b]) > 0.4)

    left, right = np.array([0, 1, 3, 4, 2]), np.array([1, 2, 4, 5, 3])
    assert _grow(left, right, alike) == [(0, 1, 2), (3, 4, 5)]
    assert _grow(left, right, lambda a, b: True) == [(0, 1, 2, 3, 4, 5)]


# Duplicates ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copies(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of four tunes, one of them also copied, in another format and softer, and as MP3 a little later."""
    folder = tmp_path_factory.mktemp("copies")
    for name in TUNES:
        (folder / "in").mkdir(exist_ok=True)
        shutil.copy(music / name / "0.wav", folder / "in" / f"{name}.wav")
    shutil.copy(music / "up" / "0.wav", folder / "in" / "up copy.wav")
    sound = tune(TUNES["up"], seconds=12, harmonics=2, drums=(0, 4))
    write(folder / "in" / "up.flac", 0.3 * sound)
    write(folder / "in" / "up.mp3", np.concatenate([np.zeros(9000, np.float32), sound]))
    with LibraryFolder.create(folder / "library") as library:
        assert not index_files(library, [folder / "in"]).failed
    return folder / "library"


def test_copies_are_duplicates_and_likeness_is_not(copies: Path, library: LibraryFolder) -> None:
    with LibraryFolder(copies) as opened:
        found = find_duplicates(opened)
    (group,) = found.groups
    assert {track.path.name for track in group.tracks} == {"up.wav", "up copy.wav", "up.flac", "up.mp3"}
    assert group.copies[-1].path.name == "up.mp3" and group.reasons[-1] == "lossless"
    found = find_duplicates(library)  # twelve clips of four tunes
    assert (found.groups, found.related) == ((), ())


# The command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command: its exit code, and what it printed where."""

    def go(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


def test_duplicates_are_listed(run, copies: Path, stocked: Path, tmp_path: Path) -> None:
    playlist = tmp_path / "copies.m3u8"
    code, out, _ = run("duplicates", "--library", copies, "--m3u", playlist)
    assert code == 0
    assert "1  4 files of one recording" in out and "1 recording with duplicates, 3 redundant files" in out
    assert playlist.read_text().count("#EXTINF") == 4
    _, out, _ = run("duplicates", "--library", copies, "--json")
    found = json.loads(out)
    (group,) = found["duplicates"]
    names = [Path(group["best"]).name, *(Path(one["path"]).name for one in group["copies"])]
    assert sorted(names) == ["up copy.wav", "up.flac", "up.mp3", "up.wav"]
    assert group["copies"][-1]["path"].endswith(".mp3") and group["copies"][-1]["reason"] == "lossless"
    assert found["related"] == []
    assert run("duplicates", "--library", stocked)[:2] == (0, "0 recordings with duplicates, 0 redundant files\n")


def test_versions_are_listed_and_stored(run, planted: Path, tmp_path: Path) -> None:
    shutil.copytree(planted, tmp_path / "library")
    library = ("--library", tmp_path / "library")
    code, out, _ = run("versions", *library, "--m3u", tmp_path / "versions.m3u8")
    assert code == 0
    assert out.splitlines()[0].split() == ["family", "score", "q", "track"]
    assert f"in {FAMILIES} families of versions; about " in out and "are expected to be similar by chance" in out
    assert (tmp_path / "versions.m3u8").read_text().count("#EXTINF") == FAMILIES * SIZE
    with LibraryFolder(tmp_path / "library") as opened:
        kept = opened.catalog.families.by_track()
        assert kept is not None and len(kept) == FAMILIES * SIZE
    code, out, _ = run("versions", *library, "--json", "--false-discovery-rate", "1e-9", "-w", "rhythm=1")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"schema", "models", "weights", "false_discovery_rate", "recordings", "tests", "pairs",
                          "expected_false", "not_encoded", "families", "candidates"}  # fmt: skip
    assert (found["families"], found["pairs"], found["expected_false"]) == ([], 0, 0.0)
    with LibraryFolder(tmp_path / "library") as opened:
        assert opened.catalog.families.by_track() == {}
    assert "no pair is more similar than chance explains" in run("versions", *library, "-w", "rhythm=1")[1]
    found = json.loads(run("versions", *library, "--json")[1])
    assert set(found["families"][0]) == {"q", "versions", "pairs"}
    assert set(found["families"][0]["versions"][0]) == {"path", "copies"}
    assert set(found["families"][0]["pairs"][0]) == {"a", "b", "score", "p", "q"}


def test_candidates_are_listed_as_such(run, few: Path, tmp_path: Path) -> None:
    shutil.copytree(few, tmp_path / "library")
    library = ("--library", tmp_path / "library")
    code, out, _ = run("versions", *library, "--m3u", tmp_path / "candidates.m3u8")
    lines = out.splitlines()
    assert code == 0 and lines[0].split() == ["candidate", "score", "track"]
    assert lines[1].endswith("001.flac") and lines[2].endswith("004.flac")
    assert "the false-discovery rate is unknown" in out and "no families are stored" in out
    found = json.loads(run("versions", *library, "--json")[1])
    assert (found["false_discovery_rate"], found["expected_false"], found["families"]) == (None, None, [])
    assert set(found["candidates"][0]) == {"a", "b", "score"}
    assert [Path(found["candidates"][0][side]).stem for side in "ab"] == ["001", "004"]


def test_versions_say_what_is_wrong(run, planted: Path, stocked: Path, tmp_path: Path) -> None:
    assert "no library at" in run("versions", "--library", tmp_path / "none")[2]
    assert not (tmp_path / "none").exists()
    assert (
        "expected a number between 0 and 1" in run("versions", "--library", stocked, "--false-discovery-rate", "7")[2]
    )
    assert "unknown space" in run("versions", "--library", planted, "-w", "mood=1")[2]
    assert "is not a playlist name" in run("versions", "--library", planted, "--m3u", "x.wav")[2]
    shutil.copytree(planted, tmp_path / "library")
    with LibraryFolder(tmp_path / "library", writable=True):
        assert "another process is writing" in run("versions", "--library", tmp_path / "library")[2]


def test_a_search_lists_the_best_of_every_family(run, music: Path, stocked: Path, tmp_path: Path) -> None:
    shutil.copytree(stocked, tmp_path / "library")
    ask = ("search", music / "up" / "0.wav", "-w", "melody=1", "-k", "4", "--library", tmp_path / "library")
    code, out, err = run(*ask, "--collapse")
    assert code == 0 and "run: soundalike versions" in err and "version" not in out
    with LibraryFolder(tmp_path / "library", writable=True) as library, library.catalog.transaction():
        every = library.catalog.tracks()
        library.catalog.families.put([[t.id for t in every if t.path.parent.name == name] for name in TUNES])
    code, out, err = run(*ask, "--collapse")
    assert (code, err) == (0, "")
    # The query is of one family itself: its two others stand as one, and so do the three of every other tune.
    assert out.count("  version: ") == 1 + 3 * 2
    found = json.loads(run(*ask, "--collapse", "--json")[1])["matches"]
    assert len(found) == 4
    assert len({Path(match["path"]).parent for match in found}) == 4
    for match in found:
        assert match["versions"] and all(Path(one).parent == Path(match["path"]).parent for one in match["versions"])
    plain = json.loads(run(*ask, "--json")[1])["matches"]
    assert plain[0]["path"] == found[0]["path"] and plain[0]["versions"] is None


def test_families_go_with_their_tracks(planted: Path, tmp_path: Path) -> None:
    shutil.copytree(planted, tmp_path / "library")
    with LibraryFolder(tmp_path / "library", writable=True) as library:
        assert library.catalog.families.by_track() is None
        found = find_versions(library)
        store_versions(library, found)
        gone = found.families[0].members[0][0].id
        with library.catalog.transaction():
            library.catalog.remove([gone])
        kept = library.catalog.families.by_track()
    assert kept is not None and gone not in kept and len(kept) == FAMILIES * SIZE - 1
