"""The fixed descriptors, from right values."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.audio import dsp
from soundalike.backbones.analysis import descriptors
from soundalike.backbones.analysis.spectra import RATE, spectra_of


@pytest.mark.parametrize("cents", [-40, -25, 25, 40])
@pytest.mark.parametrize("root", [0, 5, 10])
def test_the_chroma_of_a_detuned_chord(cents: int, root: int) -> None:
    """A major chord off concert pitch has the pitch classes of the chord, not those beside them."""
    time = np.arange(2 * RATE) / RATE
    notes = [root + n for n in (12, 16, 19, 24)]  # in semitones from A2
    chord = sum(0.2 * np.sin(2 * np.pi * 110.0 * 2 ** ((n + cents / 100) / 12) * time) for n in notes)
    frames = spectra_of([chord.astype(np.float32)], 2048)
    peaks = descriptors.pitch_peaks(frames.pitch[3:-3])
    offset = dsp.tuning(peaks[:, 2 * descriptors.PER_OCTAVE :], descriptors.PER_OCTAVE // 12)
    assert 100 * offset == pytest.approx(cents, abs=12)
    chroma = descriptors.chroma(peaks, offset).sum(axis=0)
    expected = {n % 12 for n in notes}
    assert set(np.argsort(chroma)[-3:].tolist()) == expected
    assert chroma[list(expected)].sum() > 0.7 * chroma.sum()


def test_fold_semitones_by_example() -> None:
    """Three bins per semitone, in tune in the middle: a peak one bin above belongs to the same semitone."""
    for offset, bins in ((0.0, [4]), (1 / 3, [5]), (-1 / 3, [3]), (0.4, [5]), (-0.4, [3])):
        spectrum = np.zeros((1, 9), np.float32)
        spectrum[0, bins] = 1.0
        assert dsp.fold_semitones(spectrum, 3, offset).tolist() == [[0.0, 1.0, 0.0]]


def test_timbre_ignores_quiet_frames() -> None:
    """Frames 40 dB below the loudest say nothing about the cepstra, whatever their colour."""
    rng = np.random.default_rng(2)
    cepstra = slice(0, 39)  # the means without the first, and the deviations
    loud = (1.0 + 0.2 * rng.random((30, descriptors.TIMBRE_BANDS)) * np.linspace(1, 3, 64)).astype(np.float16)
    other = (1.0 + rng.random((30, descriptors.TIMBRE_BANDS)) * np.linspace(3, 1, 64)).astype(np.float16)
    fast = rng.random((80, descriptors.RHYTHM_BANDS)).astype(np.float16)
    pitch = rng.random((30, descriptors.PITCH_BANDS)).astype(np.float16)
    alone = descriptors.timbre(loud, fast, pitch)[cepstra]
    quiet = (other * 10 ** (-45 / 40)).astype(np.float16)  # roots of power: a quarter of the decibels of power
    assert descriptors.timbre(np.concatenate([loud, 0.3 * quiet]), fast, pitch)[cepstra] == pytest.approx(alone, abs=0)
    audible = (other * 10 ** (-30 / 40)).astype(np.float16)
    assert np.abs(descriptors.timbre(np.concatenate([loud, audible]), fast, pitch)[cepstra] - alone).max() > 0.1
