"""Compact spectra of a whole stream, computed once: what backbones cut their windows from.

f fast frames, g slow frames; times in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from soundalike import descriptors, dsp
from soundalike.types import FloatArray

__all__ = ["FAST_HOP", "RATE", "Spectra", "spectra_of"]

RATE = 22050
"""Samples a second of the stream."""
FAST_HOP = 256
"""Samples between fast frames: 86 a second."""
_FAST, _SLOW = 1024, 4096
_PIECE = 131072  # samples worked on at a time


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """Fourth roots of power, float16, and energies, float32, of a stream of `duration` seconds.

    `fast` (f, 32) mel bands, and the mean squares `energy` and `weighted` (K-weighted) (f,), every 256 samples;
    `colour` (g, 64) mel bands and `pitch` (g, 252), three bins a semitone from 55 Hz, every `hop` samples. Frame k is
    centred on sample k times its hop. About 13 kB a second with a hop of 2,048.
    """

    fast: FloatArray
    energy: FloatArray
    weighted: FloatArray
    colour: FloatArray
    pitch: FloatArray
    hop: int
    duration: float

    def fast_frames(self, start: float, end: float) -> slice:
        """The fast frames of a window."""
        return _between(start, end, FAST_HOP, len(self.fast))

    def slow_frames(self, start: float, end: float) -> slice:
        """The slow frames of a window."""
        return _between(start, end, self.hop, len(self.pitch))

    def halved(self) -> Spectra:
        """The same with every second slow frame."""
        return replace(self, colour=self.colour[::2], pitch=self.pitch[::2], hop=2 * self.hop)


def spectra_of(blocks: Iterable[FloatArray], hop: int) -> Spectra:
    """Listen to `blocks`, mono (t,) float32 at 22,050 Hz, with slow frames every `hop` samples, which divides 2,048."""
    quick_map, colour_map, pitch_map = _maps()
    fast, slow = dsp.SpectrumStream(_FAST, FAST_HOP), dsp.SpectrumStream(_SLOW, hop)
    bands: list[FloatArray] = []
    energies: list[FloatArray] = []
    colour: list[FloatArray] = []
    pitch: list[FloatArray] = []

    def keep(quick: FloatArray, fine: FloatArray) -> None:
        mapped = quick @ quick_map
        bands.append(_compact(mapped[:, :-2]))
        energies.append(mapped[:, -2:].copy())  # a view would keep all of `mapped`
        colour.append(_compact(fine @ colour_map))
        pitch.append(_compact(np.square(np.sqrt(fine) @ pitch_map)))

    count = 0
    for piece in dsp.rechunk(blocks, _PIECE):
        count += len(piece)
        keep(fast.push(piece), slow.push(piece))
    keep(fast.finish(), slow.finish())
    energy, weighted = _joined(energies).T
    return Spectra(_joined(bands), energy, weighted, _joined(colour), _joined(pitch), hop, count / RATE)


@cache
def _maps() -> tuple[FloatArray, FloatArray, FloatArray]:
    """From bins to the fast bands with energy and loudness, to colour and to pitch."""
    frequency = np.arange(_FAST // 2 + 1) * RATE / _FAST
    # A full-scale sine, of mean square 1/2, has 1 in its highest bin and 3/2 in all (Hann): hence the thirds.
    quick = np.column_stack(
        [
            dsp.mel_matrix(_FAST, RATE, descriptors.RHYTHM_BANDS, 30.0, RATE / 2),
            np.full(len(frequency), 1 / 3),
            dsp.k_weighting(frequency) / 3,
        ]
    ).astype(np.float32)
    colour = dsp.mel_matrix(_SLOW, RATE, descriptors.TIMBRE_BANDS, 30.0, 11000.0)
    pitch = dsp.log_frequency_matrix(
        _SLOW, RATE, descriptors.PITCH_BANDS, descriptors.PITCH_LOW, descriptors.PER_OCTAVE
    )
    return quick, colour, pitch


def _between(start: float, end: float, hop: int, count: int) -> slice:
    """The frames whose centres lie in [start, end) seconds; the nearest one where there are none."""
    first = min(int(np.ceil(start * RATE / hop - 1e-6)), max(count - 1, 0))
    return slice(first, min(max(int(np.ceil(end * RATE / hop - 1e-6)), first + 1), count))


def _joined(parts: list[FloatArray]) -> FloatArray:
    """The parts end to end; empties the list, so that hours of sound are not held twice."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


def _compact(power: FloatArray) -> FloatArray:
    """Fourth roots of power as float16: 1e-17 to 1e19 in power, steps of 0.4 %."""
    return np.sqrt(np.sqrt(power)).astype(np.float16)
