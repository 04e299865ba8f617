"""Signal-processing primitives against simple loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from soundalike.audio import dsp

RATE = 22050


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.1


def sine(frequency: float, seconds: float, level: float = 1.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def spectra(samples: np.ndarray, size: int, hop: int, piece: int) -> np.ndarray:
    stream = dsp.SpectrumStream(size, hop)
    blocks = [samples[i : i + piece] for i in range(0, len(samples), piece)]
    return np.concatenate([*(stream.push(block) for block in dsp.rechunk(blocks, 4096)), stream.finish()])


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 50))
def test_rechunk_keeps_every_sample(lengths: list[int], length: int) -> None:
    samples = np.arange(sum(lengths), dtype=np.float32)
    pieces = list(dsp.rechunk(np.split(samples, np.cumsum(lengths)[:-1]) if lengths else [], length))
    assert all(len(piece) == length for piece in pieces[:-1])
    assert np.array_equal(np.concatenate([*pieces, np.zeros(0)]), samples)


def test_rechunk_copies_the_buffer_of_the_caller() -> None:
    def blocks():
        buffer = np.ones(10, np.float32)
        yield buffer
        buffer[:] = 5.0
        yield buffer

    assert np.concatenate(list(dsp.rechunk(blocks(), 16))).tolist() == [1.0] * 10 + [5.0] * 10


def test_spectra_equal_a_loop_over_frames() -> None:
    samples, size, hop = noise(0.4), 512, 128
    padded = np.pad(samples, size // 2, mode="edge").astype(np.float64)
    window = signal.get_window("hann", size)
    loop = []
    for start in range(0, len(padded) - size + 1, hop):
        power = np.abs(np.fft.rfft(padded[start : start + size] * window) * 4 / size) ** 2
        power[:2] = 0
        loop.append(power)
    np.testing.assert_allclose(spectra(samples, size, hop, 1000), loop, rtol=1e-4, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9000), st.integers(0, 9000))
def test_spectra_do_not_depend_on_the_block_size(piece: int, length: int) -> None:
    samples = noise(0.5)[:length]
    assert np.array_equal(spectra(samples, 512, 128, piece), spectra(samples, 512, 128, 20000))


def test_a_full_scale_sine_has_power_one_and_a_constant_has_none() -> None:
    peak = spectra(sine(RATE / 512 * 40, 0.5), 512, 128, 5000)[20:60].max(axis=1)
    np.testing.assert_allclose(peak, 1.0, rtol=1e-3)
    assert spectra(np.full(5000, 0.7, np.float32), 512, 128, 999).max() < 1e-10


def test_mel_bands_equal_a_loop_over_triangles() -> None:
    matrix = dsp.mel_matrix(1024, RATE, 12, 100.0, 8000.0)
    mel = [float(m) for m in np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 8000 / 700), 14)]
    edges = [700 * (10 ** (m / 2595) - 1) for m in mel]
    for band in range(12):
        triangle = []
        for k in range(513):
            f, (low, mid, high) = k * RATE / 1024, edges[band : band + 3]
            triangle.append(max(0.0, (f - low) / (mid - low) if f < mid else (high - f) / (high - mid)))
        np.testing.assert_allclose(matrix[:, band], np.array(triangle) / sum(triangle), atol=1e-6)


def test_every_band_of_both_maps_has_unit_sum() -> None:
    for matrix in (dsp.mel_matrix(512, RATE, 64, 30.0, 11000.0), dsp.log_frequency_matrix(4096, RATE, 252, 55.0, 36)):
        np.testing.assert_allclose(matrix.sum(axis=0), 1.0, rtol=1e-5)


@pytest.mark.parametrize("note", [57, 69, 81, 93])
def test_a_note_is_in_its_semitone(note: int) -> None:
    frequency = 440.0 * 2 ** ((note - 69) / 12)
    mapped = np.sqrt(spectra(sine(frequency, 1.0), 4096, 2048, 4096)) @ dsp.log_frequency_matrix(
        4096, RATE, 252, 55.0, 36
    )
    peaks = dsp.whiten(mapped[3:-3], 18)
    assert abs(dsp.tuning(peaks, 3)) < 0.2
    assert int(np.argmax(dsp.fold_semitones(peaks, 3, dsp.tuning(peaks, 3)).sum(axis=0))) == note - 33


@pytest.mark.parametrize("cents", [-40, -20, 20, 40])
def test_tuning_follows_a_detuned_chord(cents: int) -> None:
    chord = sum(sine(440.0 * 2 ** ((n + cents / 100) / 12), 1.0, 0.2) for n in (0, 4, 7, 12, 16, 19))
    mapped = np.sqrt(spectra(chord, 4096, 2048, 4096)) @ dsp.log_frequency_matrix(4096, RATE, 252, 55.0, 36)
    assert 100 * dsp.tuning(dsp.whiten(mapped[3:-3], 18), 3) == pytest.approx(cents, abs=10)


def test_moving_mean_equals_a_loop() -> None:
    values = np.random.default_rng(1).random((3, 20)).astype(np.float32)
    for half in (0, 1, 5, 30):
        loop = [[row[max(0, k - half) : k + half + 1].mean() for k in range(20)] for row in values]
        np.testing.assert_allclose(dsp.moving_mean(values, half), loop, rtol=1e-5)


def test_harmonic_sum_equals_a_loop_and_finds_a_missing_fundamental() -> None:
    spectrum = np.zeros((1, 120), np.float32)
    for harmonic in (2, 3, 4, 5):
        spectrum[0, 20 + round(12 * np.log2(harmonic))] = 1.0
    loop = [
        sum(
            0.8 ** (h - 1) * spectrum[0, b + round(12 * np.log2(h))]
            for h in range(1, 7)
            if b + round(12 * np.log2(h)) < 120
        )
        for b in range(120)
    ]
    total = dsp.harmonic_sum(spectrum, 12, 6, 0.8)[0]
    np.testing.assert_allclose(total, loop, rtol=1e-5)
    assert int(np.argmax(total)) == 20


def test_onset_strength_equals_a_loop() -> None:
    power = np.random.default_rng(2).random((15, 6)).astype(np.float32)
    loop = np.zeros((15, 6))
    for t in range(2, 15):
        for m in range(6):
            loop[t, m] = max(0.0, power[t, m] - max(power[t - 2, max(0, m - 1) : m + 2]))
    np.testing.assert_allclose(dsp.onset_strength(power, 2), loop, atol=1e-6)


def test_correlations_equal_loops() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((2, 13, 2)).astype(np.float32)
    found = dsp.cross_correlation(first, second)
    for lag in range(13):
        total = sum(first[t] * second[t + lag] for t in range(13 - lag))
        np.testing.assert_allclose(found[lag], total / max(13 - lag, 6.5), atol=1e-5)


@pytest.mark.parametrize("circular", [False, True])
def test_two_dimensional_autocorrelation_equals_a_loop(circular: bool) -> None:
    image = np.random.default_rng(4).standard_normal((9, 7)).astype(np.float32)
    found = dsp.autocorrelation_2d(image, 3, circular)
    for lag in range(9):
        for column, i in enumerate(range(7) if circular else range(-3, 4)):
            total = sum(
                image[t, p] * image[t + lag, (p + i) % 7]
                for t in range(9 - lag)
                for p in range(7)
                if circular or 0 <= p + i < 7
            )
            assert found[lag, column] == pytest.approx(total / max(9 - lag, 4.5), abs=1e-4)


def test_lag_bands_cover_every_lag_and_are_empty_beyond_the_end() -> None:
    bands = dsp.lag_bands(400, 0.01, 0.1, 2.0, 20, 1.0)
    np.testing.assert_allclose(bands.sum(axis=1), 1.0, rtol=1e-5)
    assert np.all(bands[:, 11:199].sum(axis=0) > 0)
    short = dsp.lag_bands(50, 0.01, 0.1, 2.0, 20, 1.0)
    assert short[0].sum() == pytest.approx(1.0) and short[-1].sum() == 0.0


@pytest.mark.parametrize("cents", [-40, 0, 40])
def test_the_notes_of_a_detuned_chord_are_in_their_semitones(cents: int) -> None:
    notes = (0, 4, 7)
    chord = sum(sine(440.0 * 2 ** ((n + cents / 100) / 12), 1.0, 0.2) for n in notes)
    mapped = np.sqrt(spectra(chord, 4096, 2048, 4096)) @ dsp.log_frequency_matrix(4096, RATE, 252, 55.0, 36)
    peaks = dsp.whiten(mapped[3:-3], 18)
    folded = dsp.fold_semitones(peaks, 3, dsp.tuning(peaks, 3)).sum(axis=0)
    assert sorted(np.argsort(folded)[-3:].tolist()) == [36 + note for note in notes]
