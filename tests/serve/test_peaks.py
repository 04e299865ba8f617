"""Waveforms against the samples themselves."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from conftest import write
from soundalike.core.errors import AudioError
from soundalike.serve.sound import peaks
from soundalike.serve.sound.peaks import Envelope, make_envelope

RATE = 8_000


def expected(signal: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    edges = [n * len(signal) // count for n in range(count + 1)]
    parts = [signal[a:b] for a, b in itertools.pairwise(edges)]
    return np.array([part.min() for part in parts]), np.array([part.max() for part in parts])


def noise(seconds: float, channels: int = 1) -> np.ndarray:
    count = round(seconds * RATE)
    loudness = 0.2 + 0.2 * np.sin(np.arange(count) / 5000)
    return (np.random.default_rng(0).uniform(-1, 1, (count, channels)) * loudness[:, None]).astype(np.float32)


def test_bins_hold_the_lowest_and_highest_samples(tmp_path: Path) -> None:
    samples = noise(7.3, channels=2)
    envelope = make_envelope(write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT"))
    assert envelope.duration == pytest.approx(7.3)
    for count in (1, 7, 1000):
        for found, right in zip(envelope.bins(count), expected(samples.mean(axis=1), count), strict=True):
            np.testing.assert_allclose(found, right, atol=1e-6)


def test_a_region_has_its_own_bins(tmp_path: Path) -> None:
    samples = noise(5)
    envelope = make_envelope(write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT"), 1.5, 3.25)
    assert envelope.frames == 14_000
    low, high = expected(samples[12_000:26_000, 0], 50)
    np.testing.assert_allclose(envelope.bins(50), [low, high], atol=1e-6)


def test_long_recordings_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "_CAPACITY", 1024)
    samples = noise(40)
    envelope = make_envelope(write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT"))
    assert len(envelope.low) <= 1024
    assert envelope.step == 512
    low, high = envelope.bins(100)
    assert len(low) == 100
    right_low, right_high = expected(samples[:, 0], 100)
    # A bin may hold one step more on either side, so it is never smaller and seldom larger.
    assert np.all(low <= right_low) and np.all(high >= right_high)
    np.testing.assert_allclose(low, right_low, atol=0.05)
    np.testing.assert_allclose(high, right_high, atol=0.05)


def test_every_sample_is_in_a_step_whatever_the_blocks() -> None:
    signal = noise(1)[:, 0]
    for size in (1, 100, 3000, 8000):
        blocks = [signal[at : at + size] for at in range(0, len(signal), size)]
        low, high, step, frames = peaks._reduce(blocks)
        envelope = Envelope(low, high, step, frames, RATE)
        np.testing.assert_array_equal(envelope.bins(33), expected(signal, 33))


def test_few_samples_make_few_bins(tmp_path: Path) -> None:
    envelope = make_envelope(write(tmp_path / "a.wav", noise(0.03), RATE))
    low, high = envelope.bins(1000)
    assert len(low) == len(high) == 240


def test_channels_out_of_phase_are_still_seen(tmp_path: Path) -> None:
    one = noise(1)
    envelope = make_envelope(write(tmp_path / "a.wav", np.concatenate([one, -one], axis=1), RATE))
    assert envelope.bins(1)[1][0] > 0.1


def test_a_region_behind_the_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="the recording ends at 1.0 s"):
        make_envelope(write(tmp_path / "a.wav", noise(1), RATE), 2.0)
