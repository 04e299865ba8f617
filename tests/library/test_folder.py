"""Searches of a library: what matches, what is left out, and how matches are explained."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import TUNES, tune, write
from soundalike.core.errors import AudioError, LibraryBusyError, LibraryError, ModelError, UsageError
from soundalike.library.catalog.filter_parser import parse_filter
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.models.model import Model
from soundalike.search.compare import compare_encodings
from soundalike.search.query import Query
from soundalike.search.search import search_library


def names(result) -> list[str]:
    return ["/".join(Path(match.span.track).parts[-2:]) for match in result.matches]


def test_the_same_tune_and_the_same_sound_are_found(library: LibraryFolder, music: Path) -> None:
    same_tune = search_library(library, Query(music / "leaps" / "0.wav", weights={"melody": 1}, k=2))
    assert set(names(same_tune)) == {"leaps/1.wav", "leaps/2.wav"}
    # Variant n of every tune has the same number of harmonics.
    same_sound = search_library(library, Query(music / "leaps" / "0.wav", weights={"timbre": 1}, k=3))
    assert {name[-5] for name in names(same_sound)} == {"0"}


def test_a_match_explains_itself(library: LibraryFolder, music: Path) -> None:
    result = search_library(library, Query(music / "up" / "0.wav", weights={"melody": 2, "timbre": -1}, k=11))
    assert len(result.matches) == 11
    scores = [match.score for match in result.matches]
    assert scores == sorted(scores, reverse=True)
    for match in result.matches:
        assert sum(part.share for part in match.spaces.values()) == pytest.approx(match.score)
        assert set(match.spaces) == {"melody", "rhythm", "timbre", "harmony"}
        assert match.spaces["rhythm"].weight == match.spaces["rhythm"].share == 0
        for part in match.spaces.values():
            assert part.percentile is None or 0 <= part.percentile <= 100


def test_a_short_query_finds_passages_and_a_long_one_tracks(library: LibraryFolder, music: Path) -> None:
    short = search_library(library, Query(music / "up" / "0.wav"))
    assert short.level == "passage"
    assert all(match.span.end - match.span.start <= 10 for match in short.matches)
    whole = search_library(library, Query(music / "up" / "0.wav", by="track"))
    assert whole.level == "track"
    assert all(match.span.start == 0 and match.span.end == pytest.approx(12, abs=0.1) for match in whole.matches)


def test_a_region_asks_for_passages(tmp_path: Path) -> None:
    song = np.concatenate([tune(TUNES["up"], seconds=20), tune(TUNES["leaps"], seconds=20, harmonics=1)])
    write(tmp_path / "in" / "song.wav", song)
    write(tmp_path / "in" / "up.wav", tune([n + 3 for n in TUNES["up"]], seconds=12, harmonics=3, seed=1))
    write(tmp_path / "in" / "leaps.wav", tune([n + 3 for n in TUNES["leaps"]], seconds=12, harmonics=3, seed=1))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path / "in"])
        for start, expected in ((2, "in/up.wav"), (24, "in/leaps.wav")):
            query = Query(tmp_path / "in" / "song.wav", start=start, end=start + 10, weights={"melody": 1}, k=1)
            assert names(search_library(library, query)) == [expected]
        # From the other side: the passage that matches is in the right half of the song.
        found = search_library(library, Query(tmp_path / "in" / "leaps.wav", weights={"melody": 1}, k=1)).matches[0]
        assert found.span.track.endswith("song.wav")
        assert found.span.start >= 15


def test_the_query_and_its_copies_are_left_out(tmp_path: Path) -> None:
    notes = np.random.default_rng(0).integers(55, 80, 40).tolist()
    original = write(tmp_path / "in" / "a.wav", tune(notes, seconds=15))
    write(tmp_path / "in" / "same.flac", tune(notes, seconds=15))
    write(tmp_path / "in" / "lossy.mp3", 0.5 * tune(notes, seconds=15))
    write(tmp_path / "in" / "other.wav", tune(notes[::-1], seconds=15))
    outside = write(tmp_path / "elsewhere.ogg", tune(notes, seconds=15))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path / "in"])
        result = search_library(library, Query(original, k=3))
        assert names(result) == ["in/other.wav"]
        assert {Path(copy).name for copy in result.copies} == {"same.flac", "lossy.mp3"}
        everyone = search_library(library, Query(original, include_self=True, by="track", all_copies=True))
        assert set(names(everyone)) == {"in/a.wav", "in/same.flac", "in/lossy.mp3", "in/other.wav"}
        assert everyone.matches[0].spaces["melody"].similarity == pytest.approx(1, abs=1e-5)
        assert {Path(copy).name for copy in search_library(library, Query(outside)).copies} == {
            "a.wav",
            "same.flac",
            "lossy.mp3",
        }
        # With k=1, other tracks replace the copies that were left out.
        assert names(search_library(library, Query(original, k=1))) == ["in/other.wav"]


def test_similarity_makes_no_copy(library: LibraryFolder, music: Path, tmp_path: Path) -> None:
    """The same tune played again with the same sounds is as similar as possible, and still another recording."""
    again = write(tmp_path / "again.wav", 0.9 * tune([n + 1 for n in TUNES["up"]], seconds=12, harmonics=2, seed=7))
    result = search_library(library, Query(again))
    assert result.copies == ()
    assert names(result)[0].startswith("up/")


def test_filters_narrow_the_search(library: LibraryFolder, music: Path) -> None:
    result = search_library(library, Query(music / "up" / "0.wav", where=parse_filter("path ~ pedal")))
    assert {name.split("/")[0] for name in names(result)} == {"pedal"}
    assert result.searched == 3
    assert search_library(library, Query(music / "up" / "0.wav", where=parse_filter("year = 1999"))).matches == ()


def test_the_same_artist_can_be_left_out(tmp_path: Path) -> None:
    artists = ("Ann; Cee\u0301", "ANN", "Bob", None, "Dee feat. CE\u00c9", "Various Artists", "Various Artists")
    for number, artist in enumerate(artists):
        path = tmp_path / f"{number}.flac"
        with sf.SoundFile(path, "w", 22050, 1, format="FLAC") as file:
            if artist:
                file.artist = artist
            file.write(tune([n + number for n in TUNES["up"]], seconds=3))
    everything = sorted(map(str, range(len(artists))))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path])
        assert len(search_library(library, Query(tmp_path / "0.flac")).matches) == len(artists) - 1
        # Tracks that share any artist are left out. A compilation is not the work of one artist.
        for number, same in ((0, "014"), (1, "01"), (2, "2"), (3, "3"), (4, "04"), (5, "5")):
            found = search_library(library, Query(tmp_path / f"{number}.flac", exclude_same_artist=True))
            assert sorted(Path(m.span.track).stem for m in found.matches) == sorted({*everything} - {*same}), number
        assert found.artists == ()


def test_silence_is_neither_like_nor_unlike(tmp_path: Path) -> None:
    write(tmp_path / "silent.wav", np.zeros(22050 * 3))
    write(tmp_path / "up.wav", tune(TUNES["up"], seconds=3))
    write(tmp_path / "down.wav", tune(TUNES["down"], seconds=3))
    with LibraryFolder.create(tmp_path / "library") as library:
        report = index_files(library, [tmp_path])
        assert [Path(path).name for path in report.silent] == ["silent.wav"]
        assert report.failed == []
        result = search_library(library, Query(tmp_path / "up.wav", weights={"melody": -1}))
        assert [Path(match.span.track).name for match in result.matches] == ["down.wav"]
        with pytest.raises(UsageError, match="the query has no audible content for melody"):
            search_library(library, Query(tmp_path / "silent.wav", weights={"melody": 1}))
        vectors = library.vectors()
        assert not any(rows[1].any() for rows in vectors.rows.values())


def test_compare_scores_as_search_does(library: LibraryFolder, music: Path) -> None:
    model, weights = Model.load(), {"melody": 1.0, "timbre": -0.5}
    a, b = music / "up" / "0.wav", music / "leaps" / "2.wav"
    for level in ("track", "passage"):
        found = search_library(library, Query(a, weights=weights, by=level, k=20))
        match = next(one for one in found.matches if one.span.track == str(b))
        told = compare_encodings(model, model.encode(a), model.encode(b), weights, level=level).match
        assert told.score == pytest.approx(match.score, abs=1e-5)
        assert told.span == match.span
        for name, part in told.spaces.items():
            assert part.share == pytest.approx(match.spaces[name].share, abs=1e-5)


def test_percentiles_are_the_librarys_own_from_200_tracks_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(199):
        write(tmp_path / "in" / f"{number}.wav", tune(random.integers(50, 80, 8).tolist(), seconds=1.5, beat=0.25))
    shutil.copy(tmp_path / "in" / "0.wav", tmp_path / "in" / "copy.wav")
    query = Query(tmp_path / "in" / "0.wav", include_self=True, k=1)
    with LibraryFolder.create(tmp_path / "library") as library:
        assert index_files(library, [tmp_path / "in"], model="dsp").failed == []
        assert search_library(library, query).matches[0].spaces["melody"].percentile_source == "model", (
            "a copy is no other track"
        )
        write(tmp_path / "in" / "199.wav", tune(TUNES["up"], seconds=1.5, beat=0.25))
        index_files(library, [tmp_path / "in"], model="dsp")
        part = search_library(library, query).matches[0].spaces["melody"]
        assert part.percentile_source == "library"
        assert part.percentile == 100
        # The table matches random pairs: half of them lie below its median.
        model = library.model()
        melody = library.reference(model, "passage").calibration("melody")
        rows = library.vectors("passage").rows["melody"]
        pairs = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
        assert np.mean(pairs < melody.quantiles[50]) == pytest.approx(0.5, abs=0.02)
        # z is measured against the same pairs as the percentile, in a search and in a comparison.
        assert melody.mu == pytest.approx(float(pairs.mean()), abs=0.02 * melody.sigma)
        assert melody.sigma == pytest.approx(float(pairs.std()), rel=0.05)
        a, b = tmp_path / "in" / "0.wav", tmp_path / "in" / "7.wav"
        results = search_library(library, Query(a, k=300))
        match = next(one for one in results if one.path == str(b))
        assert (results.reference, results.recordings) == ("library", 200)
        part = match.spaces["melody"]
        assert part.z == pytest.approx((part.similarity - melody.mu) / melody.sigma)
        told = compare_encodings(
            model, model.encode(a), model.encode(b), level="passage", reference=library.reference(model, "passage")
        )
        assert (told.reference, told.recordings) == ("library", 200)
        assert told.match.score == pytest.approx(match.score, abs=1e-5)
        assert told.match.percentile == pytest.approx(match.percentile, abs=1e-3)
        for name, one in told.match.spaces.items():
            assert one.z == pytest.approx(match.spaces[name].z, abs=1e-4)
            assert one.percentile == pytest.approx(match.spaces[name].percentile, abs=1e-3)


def test_a_changed_file_is_still_its_own_track(tmp_path: Path) -> None:
    for name in ("up", "down"):
        write(tmp_path / "in" / f"{name}.wav", tune(TUNES[name], seconds=3))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [tmp_path / "in"])
        write(tmp_path / "in" / "up.wav", tune(TUNES["leaps"], seconds=4))
        assert names(search_library(library, Query(tmp_path / "in" / "up.wav"))) == ["in/down.wav"]


def test_models_that_are_not_held(library: LibraryFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown model 'nope'; installed: .*compact"):
        search_library(library, Query(tmp_path / "x.wav", model="nope"))
    other = Model.load("compact")
    folder = Path(shutil.copytree(other.recipe.weights.parent, tmp_path / "other"))
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(recipe | {"name": "other"}))
    with pytest.raises(
        ModelError,
        match=r"holds compact, not other; ask with --model compact, or add it with: soundalike index --model",
    ):
        search_library(library, Query(tmp_path / "x.wav", model=str(folder)))


def test_a_second_model_is_added_beside_the_first(music: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(Model.load("compact").recipe.weights.parent, tmp_path / "other"))
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(recipe | {"name": "other", "spaces": recipe["spaces"][:2]}))
    path = tmp_path / "library"
    with LibraryFolder.create(path) as library:
        index_files(library, [music / "up"])
        before = library.vectors()
        index_files(library, [music / "down"], model=str(folder))
        assert index_files(library, [music], model=str(folder)).failed == []
        assert set(library.catalog.models()) == {"compact", "other"}
        both = library.vectors(model="compact"), library.vectors(model=str(folder))
        assert [span.track for span in both[0].spans] == [span.track for span in both[1].spans]
        for space in ("melody", "rhythm"):
            assert np.array_equal(both[0].rows[space], both[1].rows[space])
        kept = [n for n, span in enumerate(both[0].spans) if "/up/" in span.track]
        assert np.array_equal(both[0].rows["timbre"][kept], before.rows["timbre"])
        assert len(search_library(library, Query(music / "up" / "0.wav", model=str(folder), k=20)).matches) == 11


def test_errors_say_what_to_do(library: LibraryFolder, music: Path, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no library at .*; make one with: soundalike index DIR"):
        LibraryFolder(tmp_path / "none")
    with pytest.raises(UsageError, match="k is 0; expected a whole number of at least 1"):
        search_library(library, Query(music / "up" / "0.wav", k=0))
    with pytest.raises(AudioError, match="not found|does not exist|no such file"):
        search_library(library, Query(tmp_path / "gone.wav"))
    with pytest.raises(UsageError, match="unknown space 'mood'"):
        search_library(library, Query(music / "up" / "0.wav", weights={"mood": 1}))


def test_a_second_writer_fails_immediately(tmp_path: Path, music: Path) -> None:
    with (
        LibraryFolder.create(tmp_path / "library"),
        pytest.raises(LibraryBusyError, match="another process is writing"),
    ):
        LibraryFolder.create(tmp_path / "library")
    with LibraryFolder.create(tmp_path / "library") as library:
        assert index_files(library, [music / "up"]).added == 3


def test_an_empty_library_says_how_to_fill_it(tmp_path: Path, music: Path) -> None:
    with (
        LibraryFolder.create(tmp_path / "library") as library,
        pytest.raises(LibraryError, match="is empty; fill it with"),
    ):
        search_library(library, Query(music / "up" / "0.wav"))


def test_a_folder_of_something_else_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(LibraryError, match="is not empty and holds no library"):
        LibraryFolder.create(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def edit(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path / "catalog.sqlite")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


@pytest.fixture
def doomed(tmp_path: Path, music: Path) -> Path:
    """A small library to corrupt."""
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [music / "up"])
    return tmp_path / "library"


def test_a_library_of_a_newer_version_is_refused(doomed: Path) -> None:
    edit(doomed, "PRAGMA user_version = 6")
    with pytest.raises(
        LibraryError, match=r"made by a newer soundalike \(format 6; this version reads up to 5\): upgrade"
    ):
        LibraryFolder(doomed)


def test_a_library_that_was_never_made_is_none(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    with pytest.raises(LibraryError, match="no library at .*; make one with: soundalike index DIR"):
        LibraryFolder(tmp_path)


def test_a_catalogue_of_something_else_is_refused(doomed: Path) -> None:
    edit(doomed, "PRAGMA application_id = 7")
    with pytest.raises(LibraryError, match="is not a soundalike catalogue"):
        LibraryFolder(doomed)


@pytest.mark.parametrize("damage", [b"not a database at all, but long enough to be read as a header....." * 100, b""])
def test_a_corrupt_catalogue_is_named(doomed: Path, damage: bytes) -> None:
    (doomed / "catalog.sqlite").write_bytes(damage)
    with pytest.raises(LibraryError, match="cannot be read|is not a soundalike catalogue|no library at"):
        LibraryFolder(doomed)


def test_a_page_of_rubbish_in_the_catalogue_is_named(doomed: Path, music: Path) -> None:
    data = bytearray((doomed / "catalog.sqlite").read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    (doomed / "catalog.sqlite").write_bytes(data)
    with pytest.raises(LibraryError, match="cannot be read"), LibraryFolder(doomed) as library:
        search_library(library, Query(music / "up" / "0.wav"))


def test_vectors_that_are_cut_short_are_named(doomed: Path, music: Path) -> None:
    sidecar = next(doomed.glob("passage.compact@1.melody.f32"))
    sidecar.write_bytes(sidecar.read_bytes()[:100])
    with (
        pytest.raises(LibraryError, match="is truncated.*run: soundalike library check"),
        LibraryFolder(doomed) as library,
    ):
        search_library(library, Query(music / "up" / "0.wav"))


def test_corrupt_matches_are_reported_and_left_out(doomed: Path, music: Path) -> None:
    sidecar = next(doomed.glob("passage.compact@1.melody.f32"))
    sidecar.write_bytes(b"\xff" * sidecar.stat().st_size)
    with LibraryFolder(doomed) as library:
        result = search_library(library, Query(music / "pedal" / "0.wav"))
    assert result.matches == ()
    assert {Path(path).parent.name for path in result.corrupt} == {"up"}


def test_a_lost_sidecar_is_named_at_once(doomed: Path, music: Path) -> None:
    next(doomed.glob("track.compact@1.timbre.f32")).unlink()
    for opening in (LibraryFolder, LibraryFolder.create):
        with pytest.raises(LibraryError, match=r"track\.compact@1\.timbre\.f32 is missing; .* --repair, then"):
            opening(doomed)


def test_a_catalogue_that_was_never_begun_is_begun(tmp_path: Path, music: Path) -> None:
    """A full disk leaves an empty file behind, which is no obstacle once there is space."""
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "catalog.sqlite").touch()
    with LibraryFolder.create(tmp_path / "library") as library:
        assert index_files(library, [music / "up"]).added == 3


def test_a_model_given_by_folder_is_remembered(music: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(Model.load("compact").recipe.weights.parent, tmp_path / "mine"))
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(recipe | {"name": "mine"}))
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [music / "up"], model=str(folder))
        assert index_files(library, [music]).added == 9
        assert search_library(library, Query(music / "up" / "0.wav")).model == "mine"
        assert len(library.vectors().spans) == 24


def test_a_path_through_a_link_and_back(library: LibraryFolder, music: Path, tmp_path: Path) -> None:
    """`..` after a link is resolved by the system, not in the text."""
    (tmp_path / "link").symlink_to(music / "up")
    result = search_library(library, Query(tmp_path / "link" / ".." / "leaps" / "0.wav", weights={"melody": 1}, k=1))
    assert names(result)[0].startswith("leaps/")


def test_another_version_of_the_model_encodes_again(doomed: Path, music: Path) -> None:
    edit(doomed, "UPDATE models SET digest = 'older'")
    with (
        LibraryFolder(doomed) as library,
        pytest.raises(ModelError, match="encoded by another version of compact; encode it again"),
    ):
        search_library(library, Query(music / "up" / "0.wav"))
    with LibraryFolder.create(doomed) as library:
        assert index_files(library, [music / "up"]).changed == 3
        assert len(search_library(library, Query(music / "up" / "0.wav")).matches) == 2
