"""Tests of singers: pitch, timing, variety and reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import Played
from soundalike.render.sound.effects import amplified
from soundalike.render.sound.singers import Singers
from soundalike.render.sound.synthesis import RATE

SINGERS = Singers()


def hertz(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def pitches(samples: FloatArray, note: int) -> FloatArray:
    """Return the (f,) MIDI pitch every 10 ms within four semitones of a note, by autocorrelation."""
    found = []
    low, high = int(8 * RATE / hertz(note + 4)), int(8 * RATE / hertz(note - 4)) + 1  # in eighths of a sample
    for start in range(0, len(samples) - 4096, RATE // 100):
        frame = samples[start : start + 4096] * np.hanning(4096)
        power = np.abs(np.fft.rfft(frame, 8192)) ** 2
        lag = low + int(np.argmax(np.fft.irfft(power, 8 * 8192)[low : high + 1]))
        found.append(69 + 12 * np.log2(8 * RATE / lag / 440))
    return np.array(found)


@settings(max_examples=20, deadline=None)
@given(program=st.sampled_from(SINGERS.programs("lead")), shift=st.integers(-7, 7))
def test_the_pitch_of_a_held_note_varies_around_the_note(program: int, shift: int) -> None:
    note = SINGERS.centre_note(program) + shift
    out = SINGERS.play(program, "lead", [Played(0.2, 2.2, note, 96)], 2.6)
    assert out.shape == (round(2.6 * RATE),) and out.dtype == np.float32 and np.isfinite(out).all()
    found = pitches(out[round(0.6 * RATE) : round(1.6 * RATE)], note)
    assert abs(float(np.median(found)) - note) < 0.6
    assert float(np.std(found)) > 0.005


@settings(max_examples=20, deadline=None)
@given(program=st.sampled_from(SINGERS.programs("lead")), start=st.floats(0.3, 1.0))
def test_a_phrase_starts_and_ends_on_time(program: int, start: float) -> None:
    note = SINGERS.centre_note(program)
    notes = [Played(start + k * 0.4, start + (k + 1) * 0.4, note + step, 90) for k, step in enumerate((0, 4, 2))]
    out = SINGERS.play(program, "lead", notes, 3.5)

    def level(low: float, high: float) -> float:
        return float(np.sqrt(np.mean(np.square(out[round(low * RATE) : round(high * RATE)]))))

    assert level(start, start + 1.2) > 0.05
    assert level(0, start - 0.2) < 0.01 and level(start + 1.6, 3.5) < 0.01


def test_singers_differ_and_each_is_deterministic() -> None:
    notes = [Played(0.1, 0.8, 60, 96), Played(0.8, 1.5, 64, 96)]
    first, second = (SINGERS.play(program, "lead", notes, 1.6) for program in (0, 1))
    np.testing.assert_array_equal(SINGERS.play(0, "lead", notes, 1.6), first)
    assert abs(float(np.corrcoef(first, second)[0, 1])) < 0.9
    assert {SINGERS.kind(program) for program in SINGERS.programs("lead")} == {
        f"{register} {manner}" for register in ("low", "high") for manner in ("plain", "breathy", "raspy", "doubled")
    }
    assert all(50 < SINGERS.centre_note(program) < 72 for program in SINGERS.programs("lead"))


def test_the_highest_of_simultaneous_notes_is_sung_and_no_notes_give_silence() -> None:
    chord = [Played(0.1, 1.0, note, 96) for note in (60, 64, 67)]
    np.testing.assert_array_equal(SINGERS.play(2, "lead", chord, 1.2), SINGERS.play(2, "lead", chord[-1:], 1.2))
    assert not SINGERS.play(2, "lead", [], 1.0).any()
    with pytest.raises(UsageError, match="singers has no program 64, expected 0 to 63"):
        SINGERS.play(64, "lead", chord, 1.0)


def test_an_overdriven_amplifier_adds_intermodulation_to_a_chord() -> None:
    time = np.arange(RATE) / RATE
    fifth = np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 660 * time)

    def at(samples: FloatArray, frequency: int) -> float:  # one second of sound, so a bin is 1 Hz wide
        return float(np.abs(np.fft.rfft(samples))[frequency] / np.abs(np.fft.rfft(samples)).max())

    clean, driven = (amplified(fifth.astype(np.float32), drive, RATE) for drive in (-40.0, 24.0))
    assert at(clean, 220) < 1e-3 and at(driven, 220) > 0.05
    assert driven.dtype == np.float32 and driven.shape == fifth.shape
    np.testing.assert_allclose(amplified(10 * fifth.astype(np.float32), 24.0, RATE), driven, atol=1e-4)
    assert not amplified(np.zeros(100, np.float32), 24.0, RATE).any()
