"""Loudness against an independent implementation of BS.1770-4, and against values of the standard."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from soundalike.audio import LoudnessMeter, MonoStream
from soundalike.audio.biquads import BiquadFilter
from soundalike.audio.loudness import k_weighting


def measure(samples: np.ndarray, rate: int, block: int = 48000, **layout: tuple[int, ...]) -> float | None:
    """The loudness of (c, t) samples that arrive in blocks."""
    meter = LoudnessMeter(rate, len(samples), **layout)
    for start in range(0, samples.shape[1], block):
        meter.add(samples[:, start : start + block])
    return meter.loudness()


def sine(hertz: float, seconds: float, rate: int, level: float = 1.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def music(rate: int, channels: int) -> np.ndarray:
    """Noise with a beat, different in every channel, and 3 s of it 30 dB lower."""
    rng, time = np.random.default_rng(7), np.arange(6 * rate) / rate
    noise = rng.standard_normal((channels, len(time))) * np.exp(-6.0 * (time % 0.5))
    return (0.2 * noise * np.where(time > 3.0, 10 ** (-30 / 20), 1.0)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_it_equals_pyloudnorm(rate: int, channels: int) -> None:
    samples = music(rate, channels)
    # The default filters of pyloudnorm deviate from tables 1 and 2 of the standard by up to 0.1 dB.
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    surround = (3, 4) if channels == 5 else ()
    found = measure(samples, rate, surround=surround)
    assert found == pytest.approx(meter.integrated_loudness(samples.T.astype(np.float64)), abs=0.02)


@pytest.mark.parametrize("cuts", [[], [1], [63, 64, 65], [64, 128, 1000], [999]])
def test_sections_filter_as_those_of_scipy(cuts: list[int]) -> None:
    """However the stream is cut, and with an offset that is there from the start."""
    samples = np.random.default_rng(3).standard_normal((2, 1500)) + 1.0
    sections = np.concatenate([signal.butter(2, 0.3, output="sos"), signal.ellip(3, 1, 40, 0.01, "high", output="sos")])
    started = signal.sosfilt_zi(sections)[:, None] * samples[:, :1]
    expected, _ = signal.sosfilt(sections, samples, zi=started)
    sections_filter = BiquadFilter(sections)
    found = [sections_filter.filter(samples[:, start:end]) for start, end in pairwise([0, *cuts, 1500])]
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-9)


@pytest.mark.parametrize("rate", [44100, 48000, 192000])
def test_the_reference_sine(rate: int) -> None:
    """A full-scale sine of 997 Hz in one channel has -3.01 LUFS (BS.1770-4, Annex 1)."""
    tone = sine(997.0, 5.0, rate)
    silence = np.zeros_like(tone)
    assert measure(tone[None], rate) == pytest.approx(-3.01, abs=0.05)
    assert measure(np.stack([silence, tone]), rate) == pytest.approx(-3.01, abs=0.05)
    assert measure(np.stack([tone, -tone]), rate) == pytest.approx(0.0, abs=0.05)


def test_channel_weights() -> None:
    tone, silence = sine(997.0, 3.0, 48000), np.zeros(3 * 48000, np.float32)
    for channel in range(6):
        samples = np.stack([tone if index == channel else silence for index in range(6)])
        found = measure(samples, 48000, lfe=(3,), surround=(4, 5))
        if channel == 3:
            assert found is None
        else:
            assert found == pytest.approx(-3.01 + (10 * math.log10(1.41) if channel > 3 else 0.0), abs=0.02)


def test_the_coefficients_of_the_standard() -> None:
    """Tables 1 and 2 of Annex 1 hold for 48 kHz."""
    expected = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    assert k_weighting(48000) == pytest.approx(np.array(expected), abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(500, 30000))
def test_it_does_not_depend_on_the_blocks(block: int) -> None:
    samples = np.random.default_rng(1).standard_normal((2, 22050)).astype(np.float32)
    assert measure(samples, 22050, block) == pytest.approx(measure(samples, 22050), abs=1e-9)


def test_less_than_a_block_and_silence_have_no_loudness() -> None:
    tone = sine(997.0, 1.0, 48000)
    assert measure(tone[None, :19199], 48000) is None
    assert measure(tone[None, :19200], 48000) == pytest.approx(-3.0, abs=0.2)
    assert measure(np.zeros((2, 96000), np.float32), 48000) is None
    assert measure(1e-4 * tone[None], 48000) is None  # -83 LUFS
    assert LoudnessMeter(48000, 2).loudness() is None


@pytest.mark.parametrize(("channels", "expected"), [(1, -3.01), (2, 0.0), (6, -3.01 + 10 * math.log10(3 + 2 * 1.41))])
def test_a_file_is_measured_over_its_channels(tmp_path: Path, channels: int, expected: float) -> None:
    path = tmp_path / "a.wav"
    samples = np.tile(sine(997.0, 3.0, 48000)[:, None], channels)
    soundfile.write(path, samples, 48000, subtype="FLOAT")
    stream = MonoStream(path, 22050, loudness=True)
    stream.read(list)
    assert stream.info.loudness == pytest.approx(expected, abs=0.05)
    stream = MonoStream(path, 22050)
    stream.read(list)
    assert stream.info.loudness is None


@pytest.mark.parametrize(
    ("channels", "lfe", "surround"),
    [(3, (), ()), (4, (), (2, 3)), (5, (), (3, 4)), (6, (3,), (4, 5)), (7, (3,), (5, 6)), (8, (3,), (6, 7))],
)
def test_channels_of_wav_files(tmp_path: Path, channels: int, lfe: tuple[int, ...], surround: tuple[int, ...]) -> None:
    """Front, centre, low-frequency effects, back, sides, in the order of WAV and FLAC."""
    tone = sine(997.0, 1.0, 48000)
    for channel in range(channels):
        samples = np.zeros((len(tone), channels), np.float32)
        samples[:, channel] = tone
        path = tmp_path / f"{channel}.wav"
        soundfile.write(path, samples, 48000, subtype="FLOAT")
        stream = MonoStream(path, 22050, loudness=True)
        stream.read(list)
        expected = None if channel in lfe else -3.01 + (1.49 if channel in surround else 0.0)
        assert stream.info.loudness == (expected if expected is None else pytest.approx(expected, abs=0.1))
