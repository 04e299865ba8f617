"""Compute the fixed descriptors of passages, and tempo and key of a recording from its passages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.audio import dsp
from soundalike.backbones.analysis import descriptors
from soundalike.backbones.analysis.spectra import FAST_HOP, RATE, Spectra
from soundalike.core.types import Descriptors, FloatArray

__all__ = ["FIXED_DIMS", "PULSE_FRAMES", "Passage", "PassageSum", "describe"]

FIXED_DIMS: Mapping[str, int] = {
    "melody": descriptors.MELODY_DIM,
    "rhythm": descriptors.RHYTHM_DIM,
    "timbre": descriptors.TIMBRE_DIM,
    "harmony": descriptors.HARMONY_DIM,
}
"""Names and sizes D of the descriptors."""

_SILENT = 1e-7  # mean square below which a passage is silent: -70 dBFS
# Onset strength, summed over bands. Frames below it contain only the ripple of steady tones and rounding errors.
_ONSET = 1.0
PULSE_FRAMES = 5 * RATE // FAST_HOP
"""Length of an autocorrelation of onsets in frames: four beats at 50 BPM."""


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """The descriptors of one passage.

    Attributes:
        rows: (D,) float32 per audible descriptor; empty if the passage is silent.
        pulse: Autocorrelation (f,) of onsets; empty without onsets.
        pitch_classes: Summed chroma (12,) from A; zero without pitch.
    """

    rows: Mapping[str, FloatArray]
    pulse: FloatArray
    pitch_classes: FloatArray


def describe(frames: Spectra, start: float, end: float) -> Passage:
    """Return the passage from `start` to `end` seconds."""
    period = frames.hop / RATE
    quick = frames.fast_frames(start, end)
    fine = frames.slow_frames(start, end)
    if quick.start == quick.stop or frames.energy[quick].mean() < _SILENT:
        return Passage({}, np.zeros(0), np.zeros(12))
    rows = {"timbre": descriptors.timbre(frames.colour[fine], frames.fast[quick], frames.pitch[fine])}
    strength = descriptors.onsets(frames.fast[quick])
    total = strength.sum(axis=1, keepdims=True)
    pulse: FloatArray = np.zeros(0)
    if np.count_nonzero(total > _ONSET) >= 2:
        rows["rhythm"] = descriptors.rhythm(strength, FAST_HOP / RATE)
        centred = total - total.mean()
        pulse = dsp.cross_correlation(centred, centred)[:PULSE_FRAMES, 0]
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
    """Sums over the passages of a recording, which may overlap: `pulse` (PULSE_FRAMES,) and `pitch_classes` (12,)."""

    def __init__(self) -> None:
        self.pulse, self.pitch_classes = np.zeros(PULSE_FRAMES), np.zeros(12)

    def add(self, passage: Passage) -> None:
        """Add a passage."""
        self.pulse[: len(passage.pulse)] += passage.pulse
        self.pitch_classes += passage.pitch_classes

    def describe(self, frames: Spectra) -> Descriptors:
        """Return tempo and key of the recording."""
        return Descriptors(
            tempo=descriptors.tempo(self.pulse, FAST_HOP / RATE),
            key=descriptors.key(self.pitch_classes),
        )
