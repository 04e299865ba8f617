"""Waveforms to draw: the lowest and the highest sample of each of many bins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from soundalike.core.types import FloatArray

__all__ = ["Envelope", "make_envelope"]

_CAPACITY = 1 << 18
"""Steps of an envelope. When they are full, each two become one, so that memory does not grow with the duration."""
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """The lowest and highest sample of every `step` frames of the mono mix, finer than any screen."""

    low: Float32
    high: Float32
    step: int
    frames: int
    rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.low.nbytes + self.high.nbytes

    def bins(self, count: int) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest samples of `count` bins of equal length, or of all frames if they are fewer.

        A bin that begins or ends inside a step holds the whole step.
        """
        count = min(count, self.frames)
        edges = np.arange(count + 1) * self.frames // count
        starts, ends = edges[:-1] // self.step, -(-edges[1:] // self.step)
        # reduceat takes pairs of bounds; what lies between a bin and the next one is dropped.
        bounds = np.stack([starts, ends], axis=1).ravel()
        low, high = np.append(self.low, self.low[-1]), np.append(self.high, self.high[-1])
        return np.minimum.reduceat(low, bounds)[::2], np.maximum.reduceat(high, bounds)[::2]


def make_envelope(path: Path, start: float = 0.0, end: float | None = None) -> Envelope:
    """Decode a recording, or a region of it, and return its envelope.

    Raises:
        AudioError: The recording or the region is invalid.
    """
    from soundalike.audio import MonoStream
    from soundalike.audio.stream import AudioStream

    with AudioStream(path, start=start, end=end) as stream:
        rate = stream.rate
    low, high, step, frames = MonoStream(path, rate, start=start, end=end).read(_reduce)
    return Envelope(low, high, step, frames, rate)


def _reduce(blocks: Iterable[Float32]) -> tuple[Float32, Float32, int, int]:
    """The lowest and highest samples of steps, the frames per step, and all frames."""
    low, high = np.empty(_CAPACITY, np.float32), np.empty(_CAPACITY, np.float32)
    step, filled, frames = 1, 0, 0
    rest = np.empty(0, np.float32)
    for block in blocks:
        frames += len(block)
        rest = np.concatenate([rest, block])
        while len(rest) >= step:
            count = min(_CAPACITY - filled, len(rest) // step)
            steps, rest = rest[: count * step].reshape(count, step), rest[count * step :]
            low[filled : filled + count], high[filled : filled + count] = steps.min(axis=1), steps.max(axis=1)
            filled += count
            if filled == _CAPACITY:
                filled, step = _CAPACITY // 2, step * 2
                low[:filled] = low.reshape(-1, 2).min(axis=1)
                high[:filled] = high.reshape(-1, 2).max(axis=1)
    if len(rest):
        low[filled], high[filled] = rest.min(), rest.max()
        filled += 1
    return low[:filled].copy(), high[:filled].copy(), step, frames
