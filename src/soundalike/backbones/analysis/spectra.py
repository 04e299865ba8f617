"""Compact spectra of a whole stream, computed once. Backbones take their windows from these.

Times are in seconds. In shapes, f counts fast frames and g slow frames.
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
"""Sample rate of the stream in Hz."""
FAST_HOP = 256
"""Samples between fast frames: 86 frames per second."""
_FAST, _SLOW = 1024, 4096
_PIECE = 131072  # samples processed at a time


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """Spectra of a stream. Frame k is centred on sample k times its hop.

    `fast`, `colour` and `pitch` are root spectra: fourth roots of power, float16. With a hop of 2,048 all arrays take
    about 13 kB per second.

    Attributes:
        fast: (f, 32) mel bands every `FAST_HOP` samples.
        energy: (f,) mean squares, float32.
        colour: (g, 64) mel bands every `hop` samples.
        pitch: (g, 252) bins every `hop` samples, three per semitone from 55 Hz.
        hop: Samples between slow frames.
        duration: Length of the stream in seconds.
    """

    fast: FloatArray
    energy: FloatArray
    colour: FloatArray
    pitch: FloatArray
    hop: int
    duration: float

    def fast_frames(self, start: float, end: float) -> slice:
        """Return the fast frames of a window from `start` to `end` seconds."""
        return frames_between(start, end, FAST_HOP, len(self.fast))

    def slow_frames(self, start: float, end: float) -> slice:
        """Return the slow frames of a window from `start` to `end` seconds."""
        return frames_between(start, end, self.hop, len(self.pitch))


class FrameList:
    """Collects frames into one array. Peak memory stays close to the size of that array."""

    _BLOCK = 1 << 22  # bytes; blocks of this size are returned to the system when freed

    def __init__(self) -> None:
        self._blocks: list[AnyArray] = []
        self._pending: list[AnyArray] = []
        self._bytes = 0

    def append(self, frames: AnyArray) -> None:
        """Add a copy of (n, m) frames."""
        self._pending.append(frames.copy())
        self._bytes += frames.nbytes
        if self._bytes >= self._BLOCK:
            self._settle()

    def joined(self) -> AnyArray:
        """Return all frames (sum of n, m) and empty the list; (0, 0) float16 if there are none."""
        self._settle()
        if not self._blocks:
            return np.zeros((0, 0), np.float16)
        joined_frames = np.empty((sum(map(len, self._blocks)), *self._blocks[0].shape[1:]), self._blocks[0].dtype)
        position = 0
        self._blocks.reverse()
        while self._blocks:
            block = self._blocks.pop()
            joined_frames[position : position + len(block)] = block
            position += len(block)
        return joined_frames

    def _settle(self) -> None:
        """Join the small arrays to one block."""
        if self._pending:
            self._blocks.append(np.concatenate(self._pending))
        self._pending, self._bytes = [], 0


def spectra_of(
    blocks: Iterable[FloatArray],
    hop: int,
    *,
    keep_every: int = 1,
    on_frames: Callable[[FloatArray, FloatArray, FloatArray], None] | None = None,
) -> Spectra:
    """Compute the spectra of a stream.

    Args:
        blocks: Mono (t,) float32 blocks at 22,050 Hz.
        hop: Samples between slow frames; it divides 2,048.
        keep_every: Return only every `keep_every`-th slow frame.
        on_frames: Called with all frames as they are computed: `fast` (f, 32), `colour` (g, 64) and `pitch` (g, 252).

    Returns:
        The spectra, with a hop of `keep_every * hop`.

    Example:
        >>> spectra_of(MonoStream("song.wav", RATE), 2048).hop
        2048
    """
    quick_map, colour_map, pitch_map = _maps()
    fast, slow = dsp.SpectrumStream(_FAST, FAST_HOP), dsp.SpectrumStream(_SLOW, hop)
    bands, energies, colour, pitch = (FrameList() for _ in range(4))
    count = slow_frames = 0

    def add_frames(quick: FloatArray, fine: FloatArray) -> None:
        nonlocal slow_frames
        mapped = quick @ quick_map
        strokes, tints, pitches = (
            _compact(mapped[:, :-1]),
            _compact(fine @ colour_map),
            _compact(np.square(np.sqrt(fine) @ pitch_map)),
        )
        if on_frames:
            on_frames(strokes, tints, pitches)
        selected = slice(-slow_frames % keep_every, None, keep_every)
        bands.append(strokes)
        energies.append(mapped[:, -1:])
        colour.append(tints[selected])
        pitch.append(pitches[selected])
        slow_frames += len(fine)

    for piece in dsp.rechunk(blocks, _PIECE):
        count += len(piece)
        add_frames(fast.push(piece), slow.push(piece))
    add_frames(fast.finish(), slow.finish())
    energy = energies.joined().ravel()
    return Spectra(bands.joined(), energy, colour.joined(), pitch.joined(), keep_every * hop, count / RATE)


@cache
def _maps() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the matrices from FFT bins to the fast bands (with the energy), to colour and to pitch."""
    frequency = np.arange(_FAST // 2 + 1) * RATE / _FAST
    # A full-scale sine has mean square 1/2. Under a Hann window its peak bin is 1 and all bins sum to 3/2, hence 1/3.
    quick = np.column_stack(
        [
            dsp.mel_matrix(_FAST, RATE, descriptors.RHYTHM_BANDS, 30.0, RATE / 2),
            np.full(len(frequency), 1 / 3),
        ]
    ).astype(np.float32)
    colour = dsp.mel_matrix(_SLOW, RATE, descriptors.TIMBRE_BANDS, 30.0, 11000.0)
    pitch = dsp.log_frequency_matrix(
        _SLOW, RATE, descriptors.PITCH_BANDS, descriptors.PITCH_LOW, descriptors.PER_OCTAVE
    )
    return quick, colour, pitch


def frames_between(start: float, end: float, hop: int, count: int) -> slice:
    """Return the frames whose centres are in [start, end) seconds.

    If there are none, return the next frame, or at the end the last one.

    Args:
        start: Start in seconds.
        end: End in seconds.
        hop: Samples between frames.
        count: Number of frames.
    """
    first = min(int(np.ceil(start * RATE / hop - 1e-6)), max(count - 1, 0))
    return slice(first, min(max(int(np.ceil(end * RATE / hop - 1e-6)), first + 1), count))


def _compact(power: FloatArray) -> FloatArray:
    """Return fourth roots of power as float16. Their range is 1e-17 to 1e19 in power, with steps of 0.4 %."""
    return np.sqrt(np.sqrt(power)).astype(np.float16)
