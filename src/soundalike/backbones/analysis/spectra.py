"""Compact spectra of a whole stream, computed once: what backbones cut their windows from.

f fast frames, g slow frames; times in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from soundalike.audio import dsp
from soundalike.backbones.analysis import descriptors
from soundalike.core.types import AnyArray, FloatArray

__all__ = ["FAST_HOP", "RATE", "FrameList", "Spectra", "frames_between", "spectra_of"]

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
        return frames_between(start, end, FAST_HOP, len(self.fast))

    def slow_frames(self, start: float, end: float) -> slice:
        """The slow frames of a window."""
        return frames_between(start, end, self.hop, len(self.pitch))


class FrameList:
    """Frames that come a few at a time and are wanted as one array, without hours of sound being held twice."""

    _BLOCK = 1 << 22  # bytes: what the system takes back when it is freed

    def __init__(self) -> None:
        self._blocks: list[AnyArray] = []
        self._few: list[AnyArray] = []
        self._bytes = 0

    def append(self, frames: AnyArray) -> None:
        """Add (n, m) frames, or a view of some, which is copied."""
        self._few.append(frames.copy())
        self._bytes += frames.nbytes
        if self._bytes >= self._BLOCK:
            self._settle()

    def joined(self) -> AnyArray:
        """All frames (sum of n, m); the list is empty then. (0, 0) float16 if there never were any."""
        self._settle()
        if not self._blocks:
            return np.zeros((0, 0), np.float16)
        whole = np.empty((sum(map(len, self._blocks)), *self._blocks[0].shape[1:]), self._blocks[0].dtype)
        at = 0
        self._blocks.reverse()
        while self._blocks:
            block = self._blocks.pop()
            whole[at : at + len(block)] = block
            at += len(block)
        return whole

    def _settle(self) -> None:
        if self._few:
            self._blocks.append(np.concatenate(self._few))
        self._few, self._bytes = [], 0


def spectra_of(
    blocks: Iterable[FloatArray],
    hop: int,
    *,
    keep_every: int = 1,
    hear: Callable[[FloatArray, FloatArray, FloatArray], None] | None = None,
) -> Spectra:
    """Listen to `blocks`, mono (t,) float32 at 22,050 Hz, with slow frames every `hop` samples, which divides 2,048.

    `hear` is given all of them as they come, (f, 32), (g, 64) and (g, 252); one of `keep_every` slow frames is kept.
    """
    quick_map, colour_map, pitch_map = _maps()
    fast, slow = dsp.SpectrumStream(_FAST, FAST_HOP), dsp.SpectrumStream(_SLOW, hop)
    bands, energies, colour, pitch = (FrameList() for _ in range(4))
    count = slow_frames = 0

    def keep(quick: FloatArray, fine: FloatArray) -> None:
        nonlocal slow_frames
        mapped = quick @ quick_map
        strokes, tints, pitches = (
            _compact(mapped[:, :-2]),
            _compact(fine @ colour_map),
            _compact(np.square(np.sqrt(fine) @ pitch_map)),
        )
        if hear:
            hear(strokes, tints, pitches)
        kept = slice(-slow_frames % keep_every, None, keep_every)
        bands.append(strokes)
        energies.append(mapped[:, -2:])
        colour.append(tints[kept])
        pitch.append(pitches[kept])
        slow_frames += len(fine)

    for piece in dsp.rechunk(blocks, _PIECE):
        count += len(piece)
        keep(fast.push(piece), slow.push(piece))
    keep(fast.finish(), slow.finish())
    energy, weighted = energies.joined().T
    return Spectra(bands.joined(), energy, weighted, colour.joined(), pitch.joined(), keep_every * hop, count / RATE)


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


def frames_between(start: float, end: float, hop: int, count: int) -> slice:
    """Of `count` frames every `hop` samples, those whose centres lie in [start, end) seconds; the nearest one where
    there are none.
    """
    first = min(int(np.ceil(start * RATE / hop - 1e-6)), max(count - 1, 0))
    return slice(first, min(max(int(np.ceil(end * RATE / hop - 1e-6)), first + 1), count))


def _compact(power: FloatArray) -> FloatArray:
    """Fourth roots of power as float16: 1e-17 to 1e19 in power, steps of 0.4 %."""
    return np.sqrt(np.sqrt(power)).astype(np.float16)
