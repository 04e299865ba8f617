"""Backbone `dsp`: fixed descriptors, no training, all frames computed once over the whole stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike import descriptors, dsp
from soundalike.backbones import Backbone, Features, WindowGrid
from soundalike.spectra import FAST_HOP, RATE, Spectra, spectra_of
from soundalike.types import Descriptors, FloatArray

__all__ = ["DspBackbone", "create"]

_HOP = 2048  # samples between slow frames
_SILENT = 1e-7  # mean square: -70 dBFS
# Onset strength, summed over bands, below which a frame holds the ripple of steady tones and of rounding only.
_ONSET = 1.0
_PULSE_FRAMES = 5 * RATE // FAST_HOP  # four beats at 50 BPM


class DspBackbone:
    """Descriptors of `soundalike.descriptors` over windows of mono sound at 22,050 Hz."""

    name: ClassVar[str] = "dsp"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType(
        {
            "melody": descriptors.MELODY_DIM,
            "rhythm": descriptors.RHYTHM_DIM,
            "timbre": descriptors.TIMBRE_DIM,
            "harmony": descriptors.HARMONY_DIM,
        }
    )

    def features(self, blocks: Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]], grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 at 22,050 Hz, and pool each window of `grid`."""
        frames = spectra_of(blocks, _HOP)
        # A stream without a sample has no duration that a grid could cut.
        windows = grid(frames.duration) if frames.duration else np.zeros((0, 2))
        rows = {name: np.zeros((len(windows), dim), np.float32) for name, dim in self.dims.items()}
        audible = {name: np.zeros(len(windows), np.bool_) for name in self.dims}
        pulse = np.zeros(_PULSE_FRAMES)
        pitch_classes = np.zeros(12)
        for index, (start, end) in enumerate(windows):
            passage = _hear(frames, start, end)
            for name, row in passage.rows.items():
                rows[name][index], audible[name][index] = row, True
            pulse[: len(passage.pulse)] += passage.pulse[:_PULSE_FRAMES]
            pitch_classes += passage.pitch_classes
        described = Descriptors(
            tempo=descriptors.tempo(pulse, FAST_HOP / RATE),
            key=descriptors.key(pitch_classes),
            loudness=dsp.gated_loudness(frames.weighted, FAST_HOP / RATE),
        )
        return Features(windows, rows, audible, described, frames.duration)


@dataclass(frozen=True, slots=True, eq=False)
class _Passage:
    """What one window holds: rows of the features audible in it, onset autocorrelation (f,), chroma (12,)."""

    rows: Mapping[str, FloatArray]
    pulse: FloatArray
    pitch_classes: FloatArray


def _hear(frames: Spectra, start: float, end: float) -> _Passage:
    quick = frames.fast_frames(start, end)
    fine = frames.slow_frames(start, end)
    if quick.start == quick.stop or frames.energy[quick].mean() < _SILENT:
        return _Passage({}, np.zeros(0), np.zeros(12))
    rows = {"timbre": descriptors.timbre(frames.colour[fine], frames.fast[quick], frames.pitch[fine])}
    strength = descriptors.onsets(frames.fast[quick])
    total = strength.sum(axis=1, keepdims=True)
    pulse: FloatArray = np.zeros(0)
    if np.count_nonzero(total > _ONSET) >= 2:
        rows["rhythm"] = descriptors.rhythm(strength, FAST_HOP / RATE)
        centred = total - total.mean()
        pulse = dsp.cross_correlation(centred, centred)[:, 0]
    peaks = descriptors.pitch_peaks(frames.pitch[fine])
    if not descriptors.pitched(peaks):
        return _Passage(rows, pulse, np.zeros(12))
    # Below 220 Hz the spectrum is coarser than the grid and says nothing about tuning.
    offset = dsp.tuning(peaks[:, 2 * descriptors.PER_OCTAVE :], descriptors.PER_OCTAVE // 12)
    classes = descriptors.chroma(peaks, offset)
    rows["melody"] = descriptors.melody(peaks, offset, _HOP / RATE)
    rows["harmony"] = descriptors.harmony(classes, _HOP / RATE)
    return _Passage(rows, pulse, classes.sum(axis=0))


def create() -> Backbone:
    """The backbone, ready to listen."""
    return DspBackbone()
