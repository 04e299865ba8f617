"""Change the tempo and the pitch of sound, each without the other.

A phase vocoder with identity phase locking (Laroche and Dolson, "Improved phase vocoder time-scale modification of
audio", 1999) changes the tempo. It works on blocks, so that memory is bounded, and on all channels with the same
rotations, so that they stay coherent. Transposition is resampling followed by a change of tempo, so that the pitch is
exact. Frame k of the result is frame round(k h s) of the sound, for a hop h and s times the tempo, so that nothing is
delayed. In shapes, c counts channels and t samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

from soundalike.core.types import FloatArray

__all__ = ["stretch"]

_SECONDS = 0.085
"""Length of a frame; the nearest power of two in samples is used. Longer frames blur attacks, shorter ones bass."""
_OVERLAP = 4
_BATCH = 64
"""Frames that are transformed at once."""
_SILENCE = 1e-20
Float32 = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complexfloating]


def stretch(
    blocks: Iterable[Float32],
    channels: int,
    rate: int,
    *,
    semitones: float = 0.0,
    tempo_ratio: float = 1.0,
    out_rate: int | None = None,
) -> Iterator[Float32]:
    """Yield sound with another pitch, tempo or sample rate. Without a change the blocks are yielded as they are.

    Args:
        blocks: (c, t) blocks of the sound.
        channels: The number of channels, c.
        rate: Sample rate of the blocks in Hz.
        semitones: Transposition, any sign.
        tempo_ratio: 1.25 makes the sound 25 % faster.
        out_rate: Sample rate of the result; None for that of the blocks.

    Example:
        >>> faster = np.concatenate(list(stretch([samples], 2, 44100, tempo_ratio=1.25)), axis=1)
    """
    out_rate = out_rate or rate
    pitch = 2.0 ** (semitones / 12)
    # Read `pitch` times as fast, the sound is higher and shorter; the vocoder makes up for the length.
    found = _resampled(blocks, channels, rate * pitch, out_rate)
    speed = tempo_ratio / pitch
    return found if math.isclose(speed, 1.0, abs_tol=1e-9) else _paced(found, _Vocoder(channels, out_rate, speed))


def _resampled(blocks: Iterable[Float32], channels: int, rate: float, out_rate: int) -> Iterator[Float32]:
    if rate == out_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, out_rate, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block.T)).T
    yield resampler.resample_chunk(np.empty((0, channels), np.float32), last=True).T


def _paced(blocks: Iterable[Float32], vocoder: _Vocoder) -> Iterator[Float32]:
    for block in blocks:
        yield from vocoder.push(block)
    yield from vocoder.finish()


class _Vocoder:
    """Makes sound `speed` times as fast."""

    def __init__(self, channels: int, rate: int, speed: float) -> None:
        self._size = 2 ** max(6, round(math.log2(_SECONDS * rate)))
        self._hop = self._size // _OVERLAP
        self._speed = speed
        self._window = np.sin(np.pi * np.arange(self._size) / self._size).astype(np.float32) ** 2
        # The first frame lies one hop before the sound: from sample 0 on, all frames that overlap it are there.
        self._frame = -1
        self._start = self._centre(self._frame) - self._hop - self._size // 2  # of the buffer, in samples of the sound
        self._buffer = np.zeros((channels, -self._start), np.float32)
        self._received = 0
        self._sum = np.zeros((channels, self._size - self._hop), np.float32)
        self._skip = self._hop + self._size // 2  # samples of the result before that of the sound
        self._sent = 0
        self._before: Complex | None = None

    def push(self, block: Float32) -> Iterator[Float32]:
        """Take a block, and yield what is ready."""
        self._buffer = np.concatenate([self._buffer, block], axis=1)
        self._received += block.shape[1]
        return self._advance(self._received - self._size // 2, math.inf)

    def finish(self) -> Iterator[Float32]:
        """Yield the rest."""
        length = round(self._received / self._speed)
        last = math.ceil((length + self._size // 2) / self._hop)
        missing = max(0, self._centre(last) + self._size // 2 - self._received)
        self._buffer = np.pad(self._buffer, ((0, 0), (0, missing)))
        return self._advance(self._centre(last), length)

    def _centre(self, frame: int) -> int:
        return round(frame * self._hop * self._speed)

    def _advance(self, limit: int, length: float) -> Iterator[Float32]:
        """Add frames whose centre is at most `limit`, and yield the result up to `length` samples of it."""
        while True:
            centres = [self._centre(self._frame + n) for n in range(_BATCH)]
            centres = [one for one in centres if one <= limit]
            if not centres or self._sent >= length:
                return
            ready = self._add(np.array(centres))[:, self._skip :] if self._skip else self._add(np.array(centres))
            self._skip = max(0, self._skip - len(centres) * self._hop)
            self._frame += len(centres)
            stop = self._centre(self._frame) - self._hop - self._size // 2
            self._buffer, self._start = self._buffer[:, stop - self._start :], stop
            ready = ready[:, : int(min(ready.shape[1], length - self._sent))]
            self._sent += ready.shape[1]
            yield ready

    def _add(self, centres: npt.NDArray[np.int_]) -> Float32:
        """Add the frames around `centres`, and return the samples that no later frame changes."""
        first = centres - self._size // 2 - self._start
        frames = np.lib.stride_tricks.sliding_window_view(self._buffer, self._size, axis=1)
        here = np.fft.rfft(frames[:, first] * self._window, axis=2)
        earlier = np.fft.rfft(frames[:, first - self._hop] * self._window, axis=2)
        turned = np.fft.irfft(self._lock(here, earlier), self._size, axis=2).astype(np.float32, copy=False)
        turned *= self._window / np.float32(_OVERLAP * 3 / 8)  # what squared windows sum to
        count = len(centres)
        total = np.zeros((len(self._buffer), count * self._hop + self._size - self._hop), np.float32)
        total[:, : self._sum.shape[1]] = self._sum
        for n in range(count):
            total[:, n * self._hop : n * self._hop + self._size] += turned[:, n]
        self._sum = total[:, count * self._hop :]
        return total[:, : count * self._hop]

    def _lock(self, here: Complex, earlier: Complex) -> Complex:
        """Rotate (c, n, f) spectra to continue the frames before them.

        From `earlier`, one hop before `here`, the phase of a partial advances as it must in the result. So the rotation
        of a peak is that from `earlier` to the frame before in the result, and the bins around it follow the peak.
        """
        energy = _energy(here)
        rotated = np.empty_like(here)
        for n in range(here.shape[1]):
            peaks = _peaks(energy[n])
            if self._before is None or not len(peaks):
                rotated[:, n] = here[:, n]
            else:
                turn = (self._before[:, peaks] * earlier[:, n, peaks].conj()).sum(axis=0)
                size = np.abs(turn)
                turn = np.where(size > _SILENCE, turn / np.maximum(size, _SILENCE), 1.0)
                bounds = (peaks[1:] + peaks[:-1]) // 2 + 1
                rotated[:, n] = here[:, n] * np.repeat(turn, np.diff(bounds, prepend=0, append=len(energy[n])))
            self._before = rotated[:, n]
        return rotated


def _energy(spectra: Complex) -> FloatArray:
    """The energy (n, f) of all channels."""
    return (spectra.real**2 + spectra.imag**2).sum(axis=0)


def _peaks(energy: FloatArray) -> npt.NDArray[np.int_]:
    """The bins that are larger than two on either side."""
    inner = energy[2:-2]
    left = (inner >= energy[1:-3]) & (inner >= energy[:-4])
    return 2 + np.flatnonzero(left & (inner > energy[3:-1]) & (inner > energy[4:]))
