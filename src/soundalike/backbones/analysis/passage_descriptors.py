"""Compute the fixed descriptors of passages, and tempo and key of a recording from its passages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.audio import dsp
from soundalike.backbones.analysis import descriptors
from soundalike.backbones.analysis.spectra import FAST_HOP, RATE, Spectra
from soundalike.backbones.analysis.tempo import CHANNELS, bundled_estimator, onset_correlations
from soundalike.core.types import Descriptors, FloatArray

__all__ = ["FIXED_DIMS", "PULSE_FRAMES", "Passage", "PassageSum", "describe"]

FIXED_DIMS: Mapping[str, int] = {
    "melody": descriptors.MELODY_DIM,
    "rhythm": descriptors.RHYTHM_DIM,
    "timbre": descriptors.TIMBRE_DIM,
    "harmony": descriptors.HARMONY_DIM,
}
"""Names and sizes D of the descriptors."""

_MIN_KEY = 0.3  # probability of a key that is reported
_SILENT = 1e-7  # mean square below which a passage is silent: -70 dBFS
# Onset strength, summed over bands. Frames below it contain only the ripple of steady tones and rounding errors.
_ONSET = 1.0
PULSE_FRAMES = 6 * RATE // FAST_HOP
"""Length of an autocorrelation of onsets in frames: four beats at 40 BPM."""


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """The descriptors of one passage.

    Attributes:
        rows: (D,) float32 per audible descriptor; empty if the passage is silent.
        pulse: Correlations (f, CHANNELS) of onsets from `onset_correlations`; empty without onsets.
        pitch_classes: Summed chroma (12,) from A; zero without pitch.
    """

    rows: Mapping[str, FloatArray]
    pulse: FloatArray
    pitch_classes: FloatArray


_NO_PULSE = np.zeros((0, CHANNELS))


def describe(frames: Spectra, start: float, end: float) -> Passage:
    """Return the passage from `start` to `end` seconds."""
    period = frames.hop / RATE
    quick = frames.fast_frames(start, end)
    fine = frames.slow_frames(start, end)
    if quick.start == quick.stop or frames.energy[quick].mean() < _SILENT:
        return Passage({}, _NO_PULSE, np.zeros(12))
    rows = {"timbre": descriptors.timbre(frames.colour[fine], frames.fast[quick], frames.pitch[fine])}
    strength = descriptors.onsets(frames.fast[quick])
    total = strength.sum(axis=1, keepdims=True)
    pulse: FloatArray = _NO_PULSE
    if np.count_nonzero(total > _ONSET) >= 2:
        rows["rhythm"] = descriptors.rhythm(strength, FAST_HOP / RATE)
        pulse = onset_correlations(strength, PULSE_FRAMES)
    peaks = descriptors.pitch_peaks(frames.pitch[fine])
    if not descriptors.pitched(peaks):
        return Passage(rows, pulse, np.zeros(12))
    # Below 220 Hz the spectrum is coarser than the grid and has no information about tuning.
    offset = dsp.tuning(peaks[:, 2 * descriptors.PER_OCTAVE :], descriptors.PER_OCTAVE // 12)
    classes = descriptors.chroma(peaks, offset)
    rows["melody"] = descriptors.melody(peaks, offset, period)
    rows["harmony"] = descriptors.harmony(classes, period)
    return Passage(rows, pulse, classes.sum(axis=0))


class PassageSum:
    """Sums over the passages of a recording, which may overlap.

    Attributes:
        pulse: Correlations (PULSE_FRAMES, CHANNELS) of onsets.
        pitch_classes: Chroma (12,) from A.
    """

    def __init__(self) -> None:
        self.pulse, self.pitch_classes = np.zeros((PULSE_FRAMES, CHANNELS)), np.zeros(12)

    def add(self, passage: Passage) -> None:
        """Add a passage."""
        self.pulse[: len(passage.pulse)] += passage.pulse
        self.pitch_classes += passage.pitch_classes

    def describe(self) -> Descriptors:
        """Return tempo and key of the recording."""
        tempo = bundled_estimator().estimate(self.pulse, FAST_HOP / RATE)
        key = descriptors.key(self.pitch_classes)
        if key and key[1] < _MIN_KEY:
            key = None
        return Descriptors(
            tempo=tempo.bpm if tempo else None,
            tempo_confidence=tempo.probability if tempo else None,
            key=key[0] if key else None,
            key_confidence=key[1] if key else None,
        )
