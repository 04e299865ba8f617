"""Backbone `dsp`: fixed descriptors, no training, all frames computed once over the whole stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from soundalike import descriptors, dsp
from soundalike.backbones import Backbone, Features, WindowGrid
from soundalike.types import Descriptors, FloatArray

__all__ = ["DspBackbone", "create"]

_RATE = 22050
_FAST, _FAST_HOP = 1024, 256
_SLOW, _SLOW_HOP = 4096, 2048
_PIECE = 131072  # samples worked on at a time
_SILENT = 1e-7  # mean square: -70 dBFS
# Onset strength, summed over bands, below which a frame holds the ripple of steady tones and of rounding only.
_ONSET = 1.0
_PULSE_FRAMES = 5 * _RATE // _FAST_HOP  # four beats at 50 BPM


@dataclass(frozen=True, slots=True, eq=False)
class _Frames:
    """Compact spectra of a whole stream, float16 fourth roots of power, and energies, float32.

    `fast` (f, 32) and the mean squares `energy` and `weighted` (K-weighted) (f,) every 256 samples;
    `colour` (g, 64) and `pitch` (g, 252) every 2,048. About 13 kB a second.
    """

    fast: FloatArray
    energy: FloatArray
    weighted: FloatArray
    colour: FloatArray
    pitch: FloatArray
    duration: float


class DspBackbone:
    """Descriptors of `soundalike.descriptors` over windows of mono sound at 22,050 Hz."""

    name: ClassVar[str] = "dsp"
    version: ClassVar[int] = 1
    rate: ClassVar[int] = _RATE
    dims: ClassVar[Mapping[str, int]] = MappingProxyType(
        {
            "melody": descriptors.MELODY_DIM,
            "rhythm": descriptors.RHYTHM_DIM,
            "timbre": descriptors.TIMBRE_DIM,
            "harmony": descriptors.HARMONY_DIM,
        }
    )

    def __init__(self) -> None:
        frequency = np.arange(_FAST // 2 + 1) * _RATE / _FAST
        # A full-scale sine, of mean square 1/2, has 1 in its highest bin and 3/2 in all (Hann): hence the thirds.
        self._fast = np.column_stack(
            [
                dsp.mel_matrix(_FAST, _RATE, descriptors.RHYTHM_BANDS, 30.0, _RATE / 2),
                np.full(len(frequency), 1 / 3),
                dsp.k_weighting(frequency) / 3,
            ]
        ).astype(np.float32)
        self._colour = dsp.mel_matrix(_SLOW, _RATE, descriptors.TIMBRE_BANDS, 30.0, 11000.0)
        self._pitch = dsp.log_frequency_matrix(
            _SLOW, _RATE, descriptors.PITCH_BANDS, descriptors.PITCH_LOW, descriptors.PER_OCTAVE
        )

    def features(self, blocks: Iterable[np.ndarray[tuple[int], np.dtype[np.float32]]], grid: WindowGrid) -> Features:
        """Listen once to `blocks`, mono (t,) float32 at 22,050 Hz, and pool each window of `grid`."""
        frames = self._listen(blocks)
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
            tempo=descriptors.tempo(pulse, _FAST_HOP / _RATE),
            key=descriptors.key(pitch_classes),
            loudness=dsp.gated_loudness(frames.weighted, _FAST_HOP / _RATE),
        )
        return Features(windows, rows, audible, described, frames.duration)

    def _listen(self, blocks: Iterable[FloatArray]) -> _Frames:
        fast, slow = dsp.SpectrumStream(_FAST, _FAST_HOP), dsp.SpectrumStream(_SLOW, _SLOW_HOP)
        bands: list[FloatArray] = []
        energies: list[FloatArray] = []
        colour: list[FloatArray] = []
        pitch: list[FloatArray] = []

        def keep(quick: FloatArray, fine: FloatArray) -> None:
            mapped = quick @ self._fast
            bands.append(_compact(mapped[:, :-2]))
            energies.append(mapped[:, -2:].copy())  # a view would keep all of `mapped`
            colour.append(_compact(fine @ self._colour))
            pitch.append(_compact(np.square(np.sqrt(fine) @ self._pitch)))

        count = 0
        for piece in dsp.rechunk(blocks, _PIECE):
            count += len(piece)
            keep(fast.push(piece), slow.push(piece))
        keep(fast.finish(), slow.finish())
        energy, weighted = _joined(energies).T
        return _Frames(_joined(bands), energy, weighted, _joined(colour), _joined(pitch), count / _RATE)


@dataclass(frozen=True, slots=True, eq=False)
class _Passage:
    """What one window holds: rows of the features audible in it, onset autocorrelation (f,), chroma (12,)."""

    rows: Mapping[str, FloatArray]
    pulse: FloatArray
    pitch_classes: FloatArray


def _hear(frames: _Frames, start: float, end: float) -> _Passage:
    quick = _between(start, end, _FAST_HOP, len(frames.fast))
    fine = _between(start, end, _SLOW_HOP, len(frames.pitch))
    if quick.start == quick.stop or frames.energy[quick].mean() < _SILENT:
        return _Passage({}, np.zeros(0), np.zeros(12))
    rows = {"timbre": descriptors.timbre(frames.colour[fine], frames.fast[quick], frames.pitch[fine])}
    strength = descriptors.onsets(frames.fast[quick])
    total = strength.sum(axis=1, keepdims=True)
    pulse: FloatArray = np.zeros(0)
    if np.count_nonzero(total > _ONSET) >= 2:
        rows["rhythm"] = descriptors.rhythm(strength, _FAST_HOP / _RATE)
        centred = total - total.mean()
        pulse = dsp.cross_correlation(centred, centred)[:, 0]
    peaks = descriptors.pitch_peaks(frames.pitch[fine])
    if not descriptors.pitched(peaks):
        return _Passage(rows, pulse, np.zeros(12))
    # Below 220 Hz the spectrum is coarser than the grid and says nothing about tuning.
    offset = dsp.tuning(peaks[:, 2 * descriptors.PER_OCTAVE :], descriptors.PER_OCTAVE // 12)
    classes = descriptors.chroma(peaks, offset)
    rows["melody"] = descriptors.melody(peaks, offset, _SLOW_HOP / _RATE)
    rows["harmony"] = descriptors.harmony(classes, _SLOW_HOP / _RATE)
    return _Passage(rows, pulse, classes.sum(axis=0))


def _between(start: float, end: float, hop: int, count: int) -> slice:
    """The frames whose centres lie in [start, end) seconds; the nearest one where there are none."""
    first = min(int(np.ceil(start * _RATE / hop - 1e-6)), max(count - 1, 0))
    return slice(first, min(max(int(np.ceil(end * _RATE / hop - 1e-6)), first + 1), count))


def _joined(parts: list[FloatArray]) -> FloatArray:
    """The parts end to end; empties the list, so that hours of sound are not held twice."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _compact(power: FloatArray) -> FloatArray:
    """Fourth roots of power as float16: 1e-17 to 1e19 in power, steps of 0.4 %."""
    return np.sqrt(np.sqrt(power)).astype(np.float16)


def create() -> Backbone:
    """The backbone, ready to listen."""
    return DspBackbone()
