"""Short-time spectra of a stereo stream, and the stream again from masked ones.

Frames of 4,096 samples every 1,024 have a periodic Hann window. Frame k is centred on sample 1,024 k, and the signal is
silent outside of the recording, as in torch.stft with `center=True` and `pad_mode="constant"`.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from soundalike.core.types import AnyArray, FloatArray

__all__ = ["BINS", "HOP", "SIZE", "Analysis", "Synthesis"]

SIZE, HOP = 4096, 1024
BINS = SIZE // 2 + 1
_OVERLAP = SIZE // HOP
_WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)).astype(np.float32)


class Analysis:
    """The spectra of a stream that arrives in blocks.

    Example:
        >>> analysis = Analysis()
        >>> analysis.add(np.zeros((2, 44100), np.float32)).shape
        (2, 42, 2049)
    """

    def __init__(self) -> None:
        self._held = np.zeros((2, SIZE // 2), np.float32)
        self._count = 0
        self._frames = 0

    def add(self, block: FloatArray) -> AnyArray:
        """Return the spectra (2, f, 2049) complex64 of the frames that a block (2, t) completes."""
        self._count += block.shape[1]
        self._held = np.concatenate([self._held, block], axis=1)
        return self._take(max(0, (self._held.shape[1] - SIZE) // HOP + 1))

    def finish(self) -> AnyArray:
        """Return the spectra of the last frames: after the end of the stream, its last sample is in four of them."""
        missing = 1 + -(-self._count // HOP) - self._frames
        self._held = np.pad(self._held, ((0, 0), (0, max(0, SIZE + (missing - 1) * HOP - self._held.shape[1]))))
        return self._take(missing)

    def _take(self, frames: int) -> AnyArray:
        if not frames:
            return np.zeros((2, 0, BINS), np.complex64)
        views = np.lib.stride_tricks.sliding_window_view(self._held, SIZE, axis=1)[:, : frames * HOP : HOP]
        spectra = scipy.fft.rfft(views * _WINDOW, axis=2)
        self._held = self._held[:, frames * HOP :].copy()
        self._frames += frames
        return spectra


class Synthesis:
    """A stream (2, t) from its spectra, frame after frame. It begins with the first sample of the recording.

    Example:
        >>> synthesis = Synthesis()
        >>> synthesis.add(np.zeros((2, 42, 2049), np.complex64)).shape
        (2, 40960)
    """

    def __init__(self) -> None:
        self._tail = np.zeros((2, _OVERLAP - 1, HOP), np.float32)
        self._weight = np.zeros((_OVERLAP - 1, HOP), np.float32)
        self._before = SIZE // 2  # samples before the recording that are still to be left out

    def add(self, spectra: AnyArray) -> FloatArray:
        """Return the samples that are complete after more frames (2, f, 2049)."""
        frames = spectra.shape[1]
        pieces = (scipy.fft.irfft(spectra, SIZE, axis=2) * _WINDOW).reshape(2, frames, _OVERLAP, HOP)
        squares = np.square(_WINDOW).reshape(_OVERLAP, HOP)
        sound = np.zeros((2, frames + _OVERLAP - 1, HOP), np.float32)
        weight = np.zeros((frames + _OVERLAP - 1, HOP), np.float32)
        sound[:, : _OVERLAP - 1] += self._tail
        weight[: _OVERLAP - 1] += self._weight
        for part in range(_OVERLAP):
            sound[:, part : part + frames] += pieces[:, :, part]
            weight[part : part + frames] += squares[part]
        self._tail, self._weight = sound[:, frames:].copy(), weight[frames:].copy()
        return self._from_start(sound[:, :frames], weight[:frames])

    def finish(self) -> FloatArray:
        """Return the samples of the last frames, beyond the end of the recording."""
        return self._from_start(self._tail, self._weight)

    def _from_start(self, sound: FloatArray, weight: FloatArray) -> FloatArray:
        samples = (sound / np.maximum(weight, 1e-8)).reshape(2, -1)
        skipped = min(self._before, samples.shape[1])
        self._before -= skipped
        return samples[:, skipped:]
