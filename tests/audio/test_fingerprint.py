"""Fingerprints recognise copies of a recording and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf

from conftest import TUNES, tune
from soundalike.audio.fingerprint import FRAME_RATE, Fingerprinter, same_recording

RATE = 22050


def words(samples: np.ndarray, piece: int = 10_007, rate: int = RATE) -> np.ndarray:
    fingerprinter = Fingerprinter(rate)
    for _ in fingerprinter.tap(samples[start : start + piece] for start in range(0, len(samples), piece)):
        pass
    return fingerprinter.words()


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    """Half a minute of music without repetition."""
    random = np.random.default_rng(3)
    return tune(random.integers(50, 80, 80).tolist(), seconds=30, drums=[0, 3, 4, 7], seed=5)


def mp3(samples: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    sf.write(file, samples, RATE, format="MP3")
    file.seek(0)
    return sf.read(file, dtype="float32")[0]


def test_the_tapped_stream_is_unchanged(song: np.ndarray) -> None:
    out = list(Fingerprinter(RATE).tap([song[:1000], song[1000:]]))
    assert np.array_equal(np.concatenate(out), song)


def test_fingerprints_do_not_depend_on_the_block_size(song: np.ndarray) -> None:
    assert np.array_equal(words(song), words(song, piece=333))
    assert len(words(song)) == pytest.approx(30 * FRAME_RATE, abs=6)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: 0.1 * x,
        lambda x: -x,
        mp3,
        lambda x: mp3(np.concatenate([np.zeros(RATE // 3, np.float32), x])),
        lambda x: x[2 * RATE + 77 :],
        lambda x: x[5 * RATE : 20 * RATE],
        lambda x: x + 0.005 * np.random.default_rng(0).standard_normal(len(x)).astype(np.float32),
    ],
    ids=["itself", "quieter", "polarity", "mp3", "late mp3", "cut", "excerpt", "noise"],
)
def test_copies_are_recognised(song: np.ndarray, change) -> None:
    assert same_recording(words(song), words(change(song).astype(np.float32)))
    assert same_recording(words(change(song).astype(np.float32)), words(song))


def test_other_music_is_not_a_copy(song: np.ndarray) -> None:
    other = tune(np.random.default_rng(4).integers(50, 80, 80).tolist(), seconds=30, drums=[0, 3, 4, 7], seed=5)
    assert not same_recording(words(song), words(other))
    for name, notes in TUNES.items():
        assert not same_recording(
            words(tune(TUNES["up"] if name != "up" else TUNES["down"], seconds=12)), words(tune(notes, seconds=12))
        )


def test_a_transposed_version_is_not_a_copy() -> None:
    notes = np.random.default_rng(3).integers(50, 80, 80)
    assert not same_recording(words(tune(notes.tolist(), seconds=20)), words(tune((notes + 3).tolist(), seconds=20)))


def test_a_shared_section_is_not_a_copy(song: np.ndarray) -> None:
    other = tune(np.random.default_rng(4).integers(50, 80, 80).tolist(), seconds=30, seed=9)
    other[: 8 * RATE] = song[: 8 * RATE]
    assert not same_recording(words(song), words(other))


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_short_recordings_are_never_copies(song: np.ndarray, seconds: float) -> None:
    short = words(song[: round(seconds * RATE)])
    assert not same_recording(short, words(song))
    assert not same_recording(short, short)


def test_silence_is_never_a_copy() -> None:
    silence = words(np.zeros(20 * RATE, np.float32))
    assert not silence.any()
    assert not same_recording(silence, silence)


def test_a_frame_is_silent_by_its_own_samples() -> None:
    """Word i is of frame i + 1. Neither the frame before nor the one after decides whether it is silent."""
    hop, size = round(5512 / FRAME_RATE), 2048
    noise = (0.3 * np.random.default_rng(1).standard_normal(hop * 100)).astype(np.float32)
    edge = hop * 40 + hop // 2
    ends, starts = noise.copy(), noise.copy()
    ends[edge:] = 0.0
    starts[:edge] = 0.0
    found = [np.flatnonzero(words(samples, rate=5512)) + 1 for samples in (ends, starts)]
    assert (found[0].min(), found[0].max()) == (1, edge // hop)
    assert found[1].min() == (edge - size) // hop + 1
