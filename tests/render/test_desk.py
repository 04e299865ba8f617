"""Tests of the mixing desk, and of notes that share a sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal
from test_orchestra import GENERAL_MIDI, write_soundfont

from soundalike.core.errors import UsageError
from soundalike.render.score.music import Played, Role, Sound
from soundalike.render.sound.desk import channel_response, convolve, limiter, pan_gain
from soundalike.render.sound.effects import Effects, apply, compression
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sound.soundfonts import check_fluidsynth, find_soundfonts

RATE = 44100
BLOCK = 64 / RATE  # FluidSynth starts and ends notes at multiples of it


@pytest.mark.parametrize(("length", "taps"), [(300_000, 5000), (1000, 70_000), (140_000, 1)])
def test_convolution_is_that_of_scipy_and_keeps_silence(length: int, taps: int) -> None:
    rng = np.random.default_rng(length)
    samples = rng.standard_normal(length).astype(np.float32)
    samples[: length // 2] = 0
    response = rng.standard_normal(taps).astype(np.float32)
    expected = signal.oaconvolve(samples.astype(float), response.astype(float))[:length]
    found = convolve(samples, response)
    assert found.dtype == np.float32 and found.shape == (length,)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    long = np.concatenate([np.zeros(200_000, np.float32), samples])
    assert not convolve(long, response[:4096])[:60_000].any()


def test_a_channel_filters_its_reverberation_too() -> None:
    room = np.random.default_rng(0).standard_normal(20_000) * np.exp(-np.arange(20_000) / 3000)
    dry, wet = (channel_response(RATE, 200.0, 0.0, room, send) for send in (0.0, 0.3))
    low = [np.abs(np.fft.rfft(response, 2**16))[: round(60 / RATE * 2**16)].max() for response in (dry, wet)]
    flat = np.abs(np.fft.rfft(dry, 2**16))[round(2000 / RATE * 2**16)]
    assert (
        max(low) < 0.15 * np.abs(np.fft.rfft(wet, 2**16)).max() and low[0] < 0.1 and flat == pytest.approx(1, abs=0.01)
    )
    assert len(wet) > len(dry) >= 4096


@given(st.integers(0, 2**31), st.floats(0.05, 0.9), st.integers(1, 20_000))
def test_a_limiter_keeps_every_sample_below_the_ceiling(seed: int, ceiling: float, length: int) -> None:
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal(length) * rng.exponential(1.0, length)).astype(np.float32)
    gain = limiter(samples, ceiling)
    assert gain.shape == (length,) and gain.max() <= 1
    assert np.abs(samples * gain).max() <= ceiling * (1 + 1e-5)


def test_a_limiter_leaves_quiet_samples_alone_and_changes_slowly() -> None:
    assert (limiter(np.full(5000, 0.4, np.float32), 0.5) == 1).all()
    samples = np.full(40_000, 0.1, np.float32)
    samples[20_000] = 2.0
    gain = limiter(samples, 0.5)
    assert gain[20_000] == pytest.approx(0.25, abs=1e-3) and gain[0] == gain[-1] == 1
    assert np.abs(np.diff(gain)).max() < 1e-3


def test_a_position_at_the_side_loses_three_decibels() -> None:
    assert pan_gain(0.0) == pytest.approx(1.0)
    assert pan_gain(-1.0) == pytest.approx(pan_gain(1.0)) == pytest.approx(np.sqrt(0.5))


def test_the_gain_of_a_compressor_is_what_it_does_to_samples() -> None:
    rng = np.random.default_rng(3)
    samples = (rng.standard_normal(RATE) * np.linspace(0.01, 0.3, RATE)).astype(np.float32)
    squashed = apply(samples, Effects(squash=4.0), -30.0, RATE, seed=0)
    expected = samples * compression(samples, 4.0, RATE)
    assert np.abs(squashed / np.sqrt(np.mean(squashed**2)) - expected / np.sqrt(np.mean(expected**2))).max() < 1e-4
    assert (compression(np.zeros(1000, np.float32), 4.0, RATE) == 1).all()


def scale(length: float) -> list[Played]:
    """Notes on the blocks of FluidSynth, many of them equal."""
    at = [round(k * 0.25 / BLOCK) * BLOCK for k in range(16)]
    return [Played(start, start + length, 60 + k % 3, 84) for k, start in enumerate(at)]


def check_shared(orchestra: Orchestra, sound: Sound, role: Role, notes: list[Played], most: float) -> None:
    plain, shared = orchestra.play(sound, role, notes, 5.0), orchestra.play_shared(sound, role, notes, 5.0)
    assert plain.shape == shared.shape and plain.any()
    error = np.sqrt(np.mean(np.square(plain - shared)) / np.mean(np.square(plain)))
    assert error < most, f"{20 * np.log10(error):.1f} dB"


def test_shared_notes_sound_as_if_each_were_played(tmp_path: Path) -> None:
    try:
        check_fluidsynth()
    except UsageError as error:
        pytest.skip(str(error))
    orchestra = Orchestra(find_soundfonts([str(write_soundfont(tmp_path / "sines.sf2", GENERAL_MIDI))]))
    length = round(0.2 / BLOCK) * BLOCK
    check_shared(orchestra, Sound("sines", 73), "lead", scale(length), 2e-2)
    check_shared(orchestra, Sound("sines", 30), "comp", scale(length), 2e-2)  # through an amplifier
    check_shared(orchestra, Sound("voices", 0), "lead", scale(length), 1e-9)
    with pytest.raises(UsageError, match="has no program 200"):
        orchestra.play_shared(Sound("sines", 200), "lead", scale(length), 5.0)


def test_a_closed_hi_hat_stops_an_open_one_of_a_soundfont(tmp_path: Path) -> None:
    try:
        check_fluidsynth()
    except UsageError as error:
        pytest.skip(str(error))
    orchestra = Orchestra(find_soundfonts([str(write_soundfont(tmp_path / "sines.sf2", GENERAL_MIDI))]))
    opened = Played(0.0, 0.4, 46, 90)
    alone = orchestra.play_shared(Sound("sines", 0), "drums", [opened], 1.0)
    closed = Played(0.2, 0.4, 42, 90)
    both = orchestra.play_shared(Sound("sines", 0), "drums", [opened, closed], 1.0)
    only = orchestra.play_shared(Sound("sines", 0), "drums", [closed], 1.0)
    after = slice(round(0.25 * RATE), round(0.35 * RATE))
    assert alone[after].any() and np.array_equal(both[after], only[after])
