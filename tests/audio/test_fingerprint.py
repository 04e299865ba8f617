"""Fingerprints recognise copies of a recording and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf
import soxr
from scipy import signal

from conftest import TUNES, tune
from soundalike.audio.fingerprint import FRAME_RATE, Fingerprint, Fingerprinter
from soundalike.audio.same_audio import relate

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


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: 0.1 * x,
        lambda x: -x,
        mp3,
        lambda x: mp3(np.concatenate([np.zeros(RATE // 3, np.float32), x])),
        lambda x: x[RATE // 2 + 77 :],
        lambda x: np.concatenate([np.zeros(20 * RATE, np.float32), x, np.zeros(9 * RATE, np.float32)]),
        lambda x: soxr.resample(x, RATE, 1.01 * RATE),
        lambda x: soxr.resample(x, 1.01 * RATE, RATE),
        lambda x: x + 0.1 * x.std() * np.random.default_rng(0).standard_normal(len(x)).astype(np.float32),
    ],
    ids=["itself", "quieter", "polarity", "mp3", "late mp3", "cut", "silence", "slower", "faster", "noise at -20 dB"],
)
def test_copies_are_recognised(song: np.ndarray, change) -> None:
    assert relation(song, change(song).astype(np.float32)) == "copy"
    assert relation(change(song).astype(np.float32), song) == "copy"


def relation(a: np.ndarray, b: np.ndarray) -> str | None:
    return relate(Fingerprint.of(words(a)), Fingerprint.of(words(b)))


@pytest.mark.parametrize("part", [(5, 20), (0, 14), (20, 30), (12, 16)], ids=str)
def test_an_excerpt_is_not_a_copy(song: np.ndarray, part: tuple[int, int]) -> None:
    excerpt = mp3(song[part[0] * RATE : part[1] * RATE])
    assert relation(song, excerpt) == "part of"
    assert relation(excerpt, song) == "contains"


def test_an_album_image_contains_its_songs_and_they_are_not_related(song: np.ndarray) -> None:
    other = tune(np.random.default_rng(4).integers(50, 80, 80).tolist(), seconds=30, drums=[0, 3, 4, 7], seed=5)
    image = np.concatenate([song, other])
    assert relation(song, image) == relation(other, image) == "contains"
    assert relation(song, other) is None


@pytest.mark.parametrize("gain", [0.0, 1.41, 2.0, 0.5])
def test_another_mix_is_not_a_copy(gain: float) -> None:
    """A second part that plays in half of the bars, left out, 3 dB louder, 6 dB louder and 6 dB softer."""
    random = np.random.default_rng(3)
    backing = tune(random.integers(40, 60, 80).tolist(), seconds=30, drums=[0, 3, 4, 7], seed=5)
    lead = tune(random.integers(65, 80, 80).tolist(), seconds=30, seed=6)
    lead *= (np.arange(len(lead)) // (5 * RATE)) % 2
    assert relation(backing + lead, backing + gain * lead) == "other mix"
    assert relation(backing + gain * lead, backing + lead) == "other mix"


@pytest.mark.parametrize("gain", [0.0, 2.0])
def test_a_part_that_fills_few_bands_makes_another_mix(gain: float) -> None:
    """A soft bass line below 150 Hz, left out and 6 dB louder. Over all bands, levels hardly differ."""
    random = np.random.default_rng(3)
    backing = tune(random.integers(60, 80, 80).tolist(), seconds=30, drums=[0, 3, 4, 7], seed=5)
    time = np.arange(len(backing)) / RATE
    bass = 0.02 * np.sin(2 * np.pi * 100 * time) * ((time // 0.5) % 3 != 0)
    mix, other = ((backing + part * bass).astype(np.float32) for part in (1, gain))
    assert relation(mix, other) == relation(other, mix) == "other mix"
    assert relation(mix, mp3(mix)) == "copy"


@pytest.mark.parametrize("gain", [0.0, 0.25])
def test_a_soft_hi_hat_makes_another_mix(gain: float) -> None:
    """Noise bursts above 5 kHz, 16 dB below the mix, in every other bar."""
    random = np.random.default_rng(3)
    backing = tune(random.integers(50, 80, 80).tolist(), seconds=30, seed=5)
    time = np.arange(len(backing)) / RATE
    high = signal.sosfilt(signal.butter(4, 5000, "high", fs=RATE, output="sos"), random.standard_normal(len(time)))
    hits = high * np.exp(-(time % 0.25) / 0.03) * (time // 2 % 2)
    hits *= 0.15 * backing.std() / hits.std()
    mix, other = ((backing + part).astype(np.float32) for part in (hits, gain * hits))
    assert relation(mix, other) == relation(other, mix) == "other mix"


def test_a_part_in_one_bar_makes_another_mix(song: np.ndarray) -> None:
    part = np.zeros_like(song)
    part[20 * RATE : 22 * RATE] = 0.1 * np.sin(2 * np.pi * 700 * np.arange(2 * RATE) / RATE)
    assert relation(song, song + part) == relation(song + part, song) == "other mix"


def test_an_excerpt_of_another_mix_is_no_excerpt(song: np.ndarray) -> None:
    bass = 0.1 * np.sin(2 * np.pi * 100 * np.arange(len(song)) / RATE) * (np.arange(len(song)) // RATE % 3 != 0)
    excerpt = song[5 * RATE : 20 * RATE]
    assert relation((song + bass).astype(np.float32), excerpt) == "other mix"


def test_a_late_copy_of_a_loop_is_a_copy() -> None:
    """The bar agrees with itself at many places, but the voice over it only at one."""
    bar = tune(TUNES["up"], seconds=2, drums=[0, 3, 4, 7], seed=5)[: 2 * RATE]
    voice = tune(np.random.default_rng(3).integers(65, 80, 80).tolist(), seconds=24, seed=6)
    mix = np.tile(bar, 12) + 0.1 * voice[: 24 * RATE]
    late = np.concatenate([np.zeros(2 * RATE, np.float32), mix])
    assert relation(mix, late) == relation(late, mix) == "copy"


@pytest.mark.parametrize(("short", "long"), [(4.0, 5.1), (4.0, 4.5), (10.0, 11.0)])
def test_loops_of_different_lengths_are_not_copies(song: np.ndarray, short: float, long: float) -> None:
    a, b = song[: round(short * RATE)], song[: round(long * RATE)]
    assert (relation(a, b), relation(b, a)) == ("contains", "part of")
    assert relation(b, b[: len(b) - round(0.1 * RATE)]) == "copy"


def test_another_equaliser_is_a_copy(song: np.ndarray) -> None:
    coloured = signal.lfilter(*signal.butter(1, 1000, fs=RATE), song).astype(np.float32)
    assert relation(song, coloured) == "copy"


def test_other_music_is_not_related(song: np.ndarray) -> None:
    other = tune(np.random.default_rng(4).integers(50, 80, 80).tolist(), seconds=30, drums=[0, 3, 4, 7], seed=5)
    assert relation(song, other) is None
    for name, notes in TUNES.items():
        another = tune(TUNES["up"] if name != "up" else TUNES["down"], seconds=12)
        assert relation(another, tune(notes, seconds=12)) is None


def test_a_transposed_version_is_not_related() -> None:
    notes = np.random.default_rng(3).integers(50, 80, 80)
    assert relation(tune(notes.tolist(), seconds=20), tune((notes + 3).tolist(), seconds=20)) is None


@pytest.mark.parametrize("shared", [4, 8])
def test_a_shared_section_is_not_a_copy(song: np.ndarray, shared: int) -> None:
    other = tune(np.random.default_rng(4).integers(50, 80, 80).tolist(), seconds=30, seed=9)
    other[: shared * RATE] = song[: shared * RATE]
    assert relation(song, other) is None


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_short_recordings_are_not_related(song: np.ndarray, seconds: float) -> None:
    short = song[: round(seconds * RATE)]
    assert relation(short, song) is None
    assert relation(short, short) is None


def test_silence_is_never_a_copy() -> None:
    silence = np.zeros(20 * RATE, np.float32)
    assert not Fingerprint.of(words(silence)).signs.any()
    assert relation(silence, silence) is None


def test_a_frame_is_silent_by_its_own_energy(song: np.ndarray) -> None:
    """Frame i covers 0.37 s from i times 512 samples at 5,512 Hz on; the first sign is that of frame 1."""
    start, end = 3.0, 6.0
    samples = np.concatenate([np.zeros(round(start * RATE), np.float32), song[: round((end - start) * RATE)]])
    samples = np.concatenate([samples, np.zeros(2 * RATE, np.float32)])
    signs = Fingerprint.of(words(samples)).signs
    begins = (np.arange(len(signs)) + 1) / FRAME_RATE
    # Frames that reach only some hundredths of a second into the music may be on either side.
    inside = (begins + 2048 / 5512 > start + 0.03) & (begins < end - 0.03)
    outside = (begins + 2048 / 5512 < start - 0.005) | (begins > end + 0.005)
    assert signs[inside].all() and not signs[outside].any()
    assert np.count_nonzero(~inside & ~outside) <= 1


def test_the_stored_form(song: np.ndarray) -> None:
    stored = words(song)
    fingerprint = Fingerprint.of(stored)
    assert stored[0] == len(fingerprint.signs) == pytest.approx(30 * FRAME_RATE, abs=6)
    assert fingerprint.levels.shape == ((len(fingerprint.signs) - 16) // 4 + 1, 24)
    assert Fingerprint.is_valid(stored) and Fingerprint.is_valid(stored[:0])
    assert not Fingerprint.is_valid(stored[:-1]) and not Fingerprint.is_valid(stored[1:])


def test_levels_are_in_decibels() -> None:
    """A sine at the centre of a band, 20 dB softer, is 20 dB lower in that band and loudest in it."""
    centres = np.geomspace(50, 8000, 26)[1:-1]
    time = np.arange(10 * RATE) / RATE
    loud, soft = (
        Fingerprint.of(words((gain * np.sin(2 * np.pi * centres[20] * time)).astype(np.float32))).levels
        for gain in (0.5, 0.05)
    )
    assert (loud.argmax(axis=1) == 20).all()
    assert loud[:, 20] - soft[:, 20] == pytest.approx(20.0, abs=0.5)
