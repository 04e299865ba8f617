"""The self-test: the effect of every change, recovery against a plain loop, and a complete run on a small library."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_protocols import SPACES, encoded_rows, evaluate

from conftest import TUNES, tune, write
from soundalike.core.errors import LibraryError, UsageError
from soundalike.evaluate.protocols import self as selftest
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files

RATE = selftest.RATE


def tone(frequency: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def peak(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE / len(samples))


@pytest.mark.parametrize("speed", [0.8, 0.94, 1.0, 1.06, 1.3])
def test_stretching_preserves_pitch_and_level(speed: float) -> None:
    original = tone(440)
    found = selftest.stretch(original, speed)
    assert found.dtype == np.float32
    assert len(found) == pytest.approx(len(original) / speed, abs=4096)
    middle = found[RATE // 2 : RATE]
    assert peak(found) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(0.5), rel=0.05)


def test_stretching_moves_events() -> None:
    clicks = np.zeros(3 * RATE, np.float32)
    clicks[[RATE, 2 * RATE]] = 1
    found = selftest.stretch(clicks, 1.25)
    for onset in (RATE, 2 * RATE):
        moved = round(onset / 1.25)
        near = np.abs(found[moved - RATE // 5 : moved + RATE // 5])
        assert near.argmax() == pytest.approx(RATE // 5, abs=1024)


def test_stretching_at_speed_1_reproduces_the_signal() -> None:
    original = tune(TUNES["up"], seconds=2, rate=RATE)
    found = selftest.stretch(original, 1.0)
    shared = min(len(found), len(original)) - 4096
    assert np.corrcoef(found[:shared], original[:shared])[0, 1] > 0.99


def test_transposition_preserves_the_duration() -> None:
    found = selftest.transpose(tone(440), 3)
    assert peak(found) == pytest.approx(440 * 2**0.25, abs=3)
    assert len(found) == pytest.approx(2 * RATE, abs=4096)


def test_every_change_alters_the_signal_and_is_finite() -> None:
    original = tune(TUNES["leaps"], seconds=3, rate=RATE)
    names = [change.name for change in selftest.CHANGES]
    assert len(set(names)) == len(names) == 9
    for change in selftest.CHANGES:
        found = change.apply(original)
        assert np.isfinite(found).all() and found.dtype == np.float32 and found.any()
        assert change.preserves <= set(SPACES)
        assert np.array_equal(found, original) == (change.name in ("unchanged", "MP3"))
        assert not change.apply(np.zeros(RATE, np.float32)).any(), "silence stays silence"
    by_name = {change.name: change.apply(original) for change in selftest.CHANGES}
    assert np.abs(by_name["20 dB quieter"]).max() == pytest.approx(np.abs(original).max() / 10)
    noise = by_name["noise, 15 dB SNR"] - original
    assert 10 * np.log10(np.mean(original**2) / np.mean(noise**2)) == pytest.approx(15, abs=0.2)
    assert np.abs(selftest.CHANGES[5].apply(tone(10000))[RATE:]).max() < 0.02


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=4, max_size=4))
def test_recovery_equals_a_plain_loop(numbers: list[list[int]]) -> None:
    expected = []
    for own, row in enumerate(numbers):
        best = max(row)
        expected.append(1 / row.count(best) if row[own] == best else 0.0)
    assert selftest.recovered(np.array(numbers, dtype=float)).tolist() == expected


def test_versions_are_queries_and_originals_are_candidates() -> None:
    encoded, _ = encoded_rows(np.array([[1, 0], [0, 1], [1, 0], [0.9, 0.43]]))
    versions = np.array([[0] + 9 * [2], [1] + 9 * [3]])
    args = SimpleNamespace(seed=0, tracks=2)
    shares, zs = selftest.SelfTest()._reports(encoded, versions, args, failed=0)
    # The second version is more similar to the first original, although no version is more similar to the second one.
    assert shares.values.tolist() == [[50.0]] * 9
    assert zs.values == pytest.approx(np.full((9, 1), ((1 - 0.1) + (0.43 - 0.1)) / 2 / 0.2), rel=1e-5)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of four tunes, one of them twice, and a silent track."""
    folder = tmp_path_factory.mktemp("collection")
    for number, (name, notes) in enumerate(TUNES.items()):
        samples = tune(notes, seconds=6, harmonics=1 + 3 * number, drums=[(0, 4), (0, 3, 6), (2,), (1, 5)][number])
        write(folder / "music" / f"{name}.wav", samples)
    write(folder / "music" / "up again.wav", tune(TUNES["up"], seconds=6, harmonics=1))
    write(folder / "music" / "silence.wav", np.zeros(3 * 22050, np.float32))
    with LibraryFolder.create(folder / "library") as library:
        assert index_files(library, [folder / "music"]).added >= 5
    return folder


def test_a_library_from_disk_to_reports(collection: Path) -> None:
    shares, zs = evaluate("self", collection / "library", "--tracks", "9", "--seed", "1")
    assert list(shares.columns) == SPACES
    assert [row.partition(" (")[0] for row in shares.rows] == [change.name for change in selftest.CHANGES]
    assert "low-pass 3 kHz (timbre may change)" in shares.rows
    assert shares.n[0].tolist() == [5] * 4, "an exact copy counts once"
    assert shares.chance == pytest.approx([20.0] * 4)
    quieter = shares.rows.index("20 dB quieter")
    # Four of five; the silent track ties with all.
    assert shares.values[quieter] == pytest.approx([84.0] * 4)
    assert (zs.values[quieter] > 1).all()
    assert "Expected for melody: should not change." in shares.notes
    assert any("Expected for timbre: may change after: transpose +3" in note for note in shares.notes)
    assert shares.command == "soundalike evaluate self LIBRARY --tracks 9 --model compact --seed 1"


@pytest.mark.slow
def test_a_track_that_became_unreadable_is_left_out(collection: Path) -> None:
    broken = collection / "music" / "pedal.wav"
    original = broken.read_bytes()
    broken.write_bytes(b"no sound")
    try:
        report = evaluate("self", collection / "library")[0]
    finally:
        broken.write_bytes(original)
    assert report.n[0, 0] == 4
    assert "cannot be decoded: 1 tracks" in report.notes[-2]


def test_invalid_libraries_are_rejected(tmp_path: Path, collection: Path) -> None:
    with pytest.raises(UsageError, match="--tracks 1: expected at least 2"):
        evaluate("self", collection / "library", "--tracks", "1")
    with pytest.raises(LibraryError):
        evaluate("self", tmp_path / "none")
    LibraryFolder.create(tmp_path / "empty").close()
    with pytest.raises(UsageError, match="has 0 distinct tracks with existing files; expected at least 2"):
        evaluate("self", tmp_path / "empty")
