"""Libraries that hold a model of mixes and one of stems: whatever a library does, it does with both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from conftest import TUNES, tune, write
from soundalike.api import Library
from soundalike.api import open as open_library
from soundalike.core.errors import ModelError
from soundalike.library import LibraryFolder, load_encoding
from soundalike.train.published import install_stems, plan_stems

BOTH = ["dsp", "dsp-halves"]


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Four recordings of 1.5 s, and a copy of one."""
    for name, notes in TUNES.items():
        write(tmp_path / "songs" / f"{name}.wav", tune(notes, seconds=1.5))
    shutil.copy(tmp_path / "songs" / "up.wav", tmp_path / "songs" / "up2.wav")
    return tmp_path / "songs"


@pytest.fixture
def filled(dsp_halves: str, songs: Path, tmp_path: Path) -> Iterator[Library]:
    """A library of both models."""
    with open_library(tmp_path / "library", create=True) as library:
        assert library.index(songs, model=BOTH).added == 5
        yield library


def separated(log: Path) -> list[str]:
    """The names of the recordings that were separated, in order."""
    return sorted(log.read_text().splitlines()) if log.exists() else []


def stored_rows(library: Library, path: Path) -> Mapping[str, np.ndarray]:
    """The rows of stems that a library holds of a recording's passages."""
    encoding = load_encoding(library.folder, path, library.folder.model("dsp-halves"))
    assert encoding is not None
    return encoding.passages.rows


def assert_equal_rows(rows: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> None:
    """Compare rows of all spaces, bit for bit."""
    assert rows.keys() == others.keys()
    for name, part in rows.items():
        assert np.array_equal(part, others[name])


def test_a_request_weighs_factors_of_the_mix_and_of_stems(filled: Library, songs: Path, halves: Path) -> None:
    options = {"by": "track", "all_copies": True}
    alone = [
        {match.path: match.score for match in filled.search(songs / "up.wav", model=model, weights=name, **options)}
        for model, name in (("dsp", "melody"), ("dsp-halves", "bass.rhythm"))
    ]
    for name in ("bass.rhythm", "dsp/bass.rhythm", "dsp-halves/bass.rhythm"):
        found = filled.search(songs / "up.wav", weights={"melody": 1, name: -2}, **options)
        assert (found.models, list(found.weights)[4:]) == (("dsp", "dsp-halves"), ["bass.rhythm"])
        assert len(found) == 3
        for match in found:
            assert match.score == pytest.approx((alone[0][match.path] - 2 * alone[1][match.path]) / 3)
            assert match.score == pytest.approx(sum(one.share for one in match.spaces.values()))
    other = write(songs.parent / "other.wav", tune(TUNES["leaps"], seconds=3, seed=5, drums=(0, 3)))
    found = filled.search(other, weights="melody,bass.rhythm")
    assert len(found) == 4 and separated(halves).count("other.wav") == 1


def test_a_library_holds_a_model_and_the_same_on_stems(filled: Library, songs: Path, halves: Path) -> None:
    assert filled.models == tuple(BOTH)
    assert separated(halves) == ["down.wav", "leaps.wav", "pedal.wav", "up.wav"]  # each content once
    for model, name in (("dsp", "rhythm"), ("dsp-halves", "bass.rhythm")):
        results = filled.search(songs / "up.wav", model=model, weights={name: 1}, by="track", all_copies=True)
        assert len(results) == 3
        assert [Path(path).name for path in results.copies] == ["up2.wav"]
        for match in results:
            assert match.score == pytest.approx(sum(one.share for one in match.spaces.values()))
            assert match.spaces[name].share == pytest.approx(match.score)
    (up,) = [track for track in filled if track.path.name == "up.wav"]
    assert up.described_by == "dsp"
    assert filled.check().ok
    assert separated(halves) == ["down.wav", "leaps.wav", "pedal.wav", "up.wav"]  # the query was in the library
    assert filled.index(songs).unchanged == 5
    encoded = filled.embed(songs / "down.wav", model="dsp-halves")
    assert_equal_rows(stored_rows(filled, songs / "down.wav"), encoded.rows)


def test_stems_are_added_to_a_library_and_follow_changes(
    dsp_halves: str, songs: Path, tmp_path: Path, halves: Path
) -> None:
    with open_library(tmp_path / "library", create=True) as library:
        library.index(songs, model="dsp")
        described = {track.path: (track.tempo, track.key, track.described_by) for track in library}
        report = library.index(songs, model=dsp_halves)
        assert (report.changed, report.added, report.failed) == (5, 0, [])
        assert described == {track.path: (track.tempo, track.key, track.described_by) for track in library}
        write(songs / "down.wav", tune(TUNES["up"], seconds=5, harmonics=2))
        (songs / "leaps.wav").rename(songs / "moved.wav")
        halves.unlink()
        report = library.index(songs)
        assert (report.changed, report.moved, report.unchanged) == (1, 1, 3)
        assert separated(halves) == ["down.wav"]
        assert library.check().ok


def test_a_recording_that_cannot_be_separated_keeps_the_rows_of_its_mix(
    dsp_halves: str, songs: Path, tmp_path: Path
) -> None:
    bad = write(songs / "inseparable.wav", tune(TUNES["up"], seconds=4, harmonics=3))
    with open_library(tmp_path / "library", create=True) as library:
        report = library.index(songs, model=BOTH)
        assert report.failed == [(str(bad), "cannot be separated; choose another")]
        assert report.added == 6
        assert str(bad) in [match.path for match in library.search(songs / "up.wav", model="dsp", by="track")]
        on_stems = library.search(songs / "up.wav", model=dsp_halves, by="track")
        assert len(on_stems) == 3 and str(bad) not in [match.path for match in on_stems]
        assert library.index(songs).failed == [(str(bad), "cannot be separated; choose another")]  # tried again
        alone = open_library(tmp_path / "stems only", create=True)
        assert alone.index(songs, model=dsp_halves).failed == [(str(bad), "cannot be separated; choose another")]
        assert [failure.path.name for failure in alone.failures()] == ["inseparable.wav"]
        assert {track.described_by for track in alone} == {dsp_halves}
        alone.close()


def test_an_interrupted_run_continues_without_separating_again(
    dsp_halves: str, songs: Path, tmp_path: Path, halves: Path
) -> None:
    def stop(done: int, total: int, seconds: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with open_library(tmp_path / "library", create=True) as library:
        assert library.index(songs, model=BOTH, progress=stop).interrupted
        first = separated(halves)
        report = library.index(songs)  # the models are those that the library holds
        assert not report.interrupted
        assert len(library) == 5
        assert report.unchanged == 2
        assert set(first) <= set(separated(halves)) == {"down.wav", "leaps.wav", "pedal.wav", "up.wav"}
        assert len(separated(halves)) == 4
        assert library.check().ok


@pytest.mark.slow
def test_another_version_of_the_separator_makes_other_rows(
    filled: Library, songs: Path, halves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soundalike.models.stem_files import load_separator

    load_separator.cache_clear()
    monkeypatch.setenv("HALVES_VERSION", "2")
    install_stems(plan_stems("dsp", "halves"), [])
    with pytest.raises(ModelError, match="another version of dsp-halves"):
        filled.search(songs / "up.wav", model="dsp-halves")
    halves.unlink()
    assert filled.index(songs).changed == 5
    assert len(separated(halves)) == 4
    assert len(filled.search(songs / "up.wav", model="dsp-halves", by="track")) == 3
    assert filled.check().ok


@pytest.mark.slow
def test_stored_features_of_stems_serve_another_model(
    dsp_halves: str, songs: Path, tmp_path: Path, halves: Path
) -> None:
    with open_library(tmp_path / "library", create=True) as library:
        library.index(songs, model=BOTH, keep_features=True)
        stored = {feature.backbone for feature in library.folder.catalog.features.features()}
        assert stored == {"dsp", "dsp.halves.bass", "dsp.halves.vocals"}
        before = library.embed(songs / "up.wav", model=dsp_halves).rows
        with library._writer() as writer, writer.catalog.transaction():
            writer.catalog.drop_model(dsp_halves)
        halves.unlink()
        shutil.rmtree(tmp_path / "cache")
        assert library.index(songs, model=dsp_halves).reprojected == 5
        assert separated(halves) == []
        assert_equal_rows(stored_rows(library, songs / "up.wav"), before)
        assert library.check().ok


@pytest.mark.slow
def test_exports_carry_the_rows_of_stems(filled: Library, songs: Path, tmp_path: Path, halves: Path) -> None:
    pytest.importorskip("pyarrow", reason="exchange needs pyarrow: pip install 'soundalike[parquet]'")
    from soundalike.library.exchange import Export, export_library, import_library

    halves.unlink()
    export_library(filled.folder, tmp_path / "export")
    with Export(tmp_path / "export") as export, LibraryFolder.create(tmp_path / "copy") as target:
        import_library(target, export)
    with open_library(tmp_path / "copy") as copy:
        assert copy.models == tuple(BOTH)
        ours, theirs = (one.search(songs / "up.wav", model="dsp-halves", by="track") for one in (filled, copy))
        assert [match.score for match in ours] == [match.score for match in theirs]
        assert copy.check().ok
    assert separated(halves) == []


@pytest.mark.slow
def test_processes_separate_too(dsp_halves: str, songs: Path, tmp_path: Path, made: Callable[..., Path]) -> None:
    data, cache = tmp_path / "user" / "data" / "soundalike", tmp_path / "user" / "cache" / "soundalike"
    shutil.copytree(tmp_path / "data", data)
    with open_library(tmp_path / "library", create=True) as library:
        assert library.index(songs, model=BOTH, jobs=2).added == 5
        assert library.models == tuple(BOTH)
    assert len(list((cache / "stems" / "halves-1").iterdir())) == 4
