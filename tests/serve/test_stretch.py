"""The pitch, the length and the onsets of stretched and transposed sound."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.serve.sound.stretch import stretch


def stretched(samples: np.ndarray, rate: int, block: int = 20_000, **options: float) -> np.ndarray:
    """Stretch (c, t) samples that come in blocks."""
    blocks = (samples[:, at : at + block] for at in range(0, samples.shape[1], block))
    return np.concatenate(list(stretch(blocks, len(samples), rate, **options)), axis=1)


def sine(rate: int, pitch: float = 440.0, seconds: float = 2.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)[None]


def cents(signal: np.ndarray, rate: int, expected: float) -> float:
    """How far the strongest partial of the middle of (t,) is from the pitch that is expected."""
    middle = signal[len(signal) // 8 : -len(signal) // 8]
    size = 1 << 19
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), size))
    peak = int(spectrum.argmax())
    a, b, c = np.log(spectrum[peak - 1 : peak + 2])
    return 1200 * float(np.log2((peak + 0.5 * (a - c) / (a - 2 * b + c)) * rate / size / expected))


@pytest.mark.parametrize(("rate", "semitones"), [(44_100, 3.0), (8_000, -7.0), (48_000, 0.5), (8_000, 12.0)])
def test_transposing_moves_the_pitch_and_keeps_the_length(rate: int, semitones: float) -> None:
    samples = sine(rate)
    found = stretched(samples, rate, semitones=semitones)
    assert abs(cents(found[0], rate, 440 * 2 ** (semitones / 12))) < 0.5
    assert abs(found.shape[1] - samples.shape[1]) <= 2


@pytest.mark.parametrize("tempo_ratio", [0.25, 0.8, 1.25, 4.0])
def test_stretching_keeps_the_pitch_and_the_level(tempo_ratio: float) -> None:
    samples = sine(44_100)
    found = stretched(samples, 44_100, tempo_ratio=tempo_ratio)
    assert found.shape[1] == round(samples.shape[1] / tempo_ratio)
    assert abs(cents(found[0], 44_100, 440)) < 0.5
    middle = found[0, 4410:-4410]
    levels = np.sqrt(np.mean(middle[: len(middle) // 441 * 441].reshape(-1, 441) ** 2, axis=1))
    assert levels == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("options", [{"tempo_ratio": 1.25}, {"tempo_ratio": 0.8}, {"tempo_ratio": 0.8, "semitones": 5}])
def test_every_onset_moves_with_the_tempo(options: dict[str, float]) -> None:
    rate, random = 44_100, np.random.default_rng(0)
    onsets = np.arange(8) * rate // 2
    samples = np.zeros((1, 4 * rate), np.float32)
    for onset in onsets:
        samples[0, onset : onset + 100] = random.uniform(-1, 1, 100)
    found = stretched(samples, rate, **options)[0]
    for onset in onsets:
        place = onset / options["tempo_ratio"]
        first = max(0, int(place) - 4000)
        energy = np.cumsum(found[first : int(place) + 4000] ** 2)
        middle = first + int(np.searchsorted(energy, energy[-1] / 2))
        assert abs(middle - place) < 0.005 * rate
        assert energy[-1] > 0.2 * np.sum(samples**2) / len(onsets)


def test_nothing_to_change_returns_the_input() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    np.testing.assert_array_equal(stretched(samples, 44_100), samples)


def test_channels_stay_coherent() -> None:
    one = np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    left, right = stretched(np.stack([one, one]), 44_100, semitones=2, tempo_ratio=0.9)
    np.testing.assert_array_equal(left, right)
    left, right = stretched(np.stack([one, -one]), 44_100, semitones=2, tempo_ratio=0.9)
    np.testing.assert_allclose(left, -right, atol=1e-6)


def test_one_channel_is_stretched_as_both_are() -> None:
    one = np.random.default_rng(0).standard_normal((1, 30_000)).astype(np.float32)
    both = stretched(np.concatenate([one, one]), 44_100, tempo_ratio=1.1)
    np.testing.assert_allclose(stretched(one, 44_100, tempo_ratio=1.1)[0], both[0], atol=1e-5)


def test_the_blocks_do_not_matter() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 60_000)).astype(np.float32)
    whole = stretched(samples, 44_100, block=60_000, tempo_ratio=0.7)
    np.testing.assert_allclose(stretched(samples, 44_100, block=777, tempo_ratio=0.7), whole, atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_short_sounds_are_stretched(rate: int) -> None:
    samples = sine(rate, seconds=0.05)
    found = stretched(samples, rate, tempo_ratio=0.5, semitones=1)
    assert abs(found.shape[1] - 0.1 * rate) <= 2
    assert 0.2 < np.sqrt(np.mean(found**2)) < 0.5


def test_silence_stays_silent() -> None:
    assert not stretched(np.zeros((2, 20_000), np.float32), 44_100, semitones=-5, tempo_ratio=1.3).any()


def test_the_sample_rate_changes_with_the_rest() -> None:
    found = stretched(sine(96_000), 96_000, semitones=3, tempo_ratio=0.8, out_rate=48_000)
    assert abs(found.shape[1] - 2.5 * 48_000) <= 2
    assert abs(cents(found[0], 48_000, 440 * 2**0.25)) < 0.5
