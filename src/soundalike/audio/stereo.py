"""A recording as a stereo stream at a chosen sample rate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from soundalike.audio.source import Float32, StrPath
from soundalike.audio.stream import AudioStream

__all__ = ["StereoStream"]


class StereoStream:
    """A recording as stereo (2, t) float32 blocks, resampled by soxr (HQ). Every iteration decodes it again.

    Two channels stay as they are. A single channel, and the mean of more than two without low-frequency effects, is
    both left and right.

    Args:
        path: The recording.
        rate: Sample rate of the blocks in Hz.
        start: Start of the region to decode, in seconds.
        end: End of the region in seconds. None, or a time after the end, is the end of the recording.

    Raises:
        AudioError: When iterating: the recording or the region is invalid.

    Example:
        >>> sum(block.shape[1] for block in StereoStream("song.flac", 44100))
        10584000
    """

    def __init__(self, path: StrPath, rate: int, *, start: float = 0.0, end: float | None = None) -> None:
        self._path, self._rate, self._start, self._end = path, rate, start, end

    def __iter__(self) -> Iterator[Float32]:
        with AudioStream(self._path, start=self._start, end=self._end) as stream:
            resampler = None
            if stream.rate != self._rate:
                resampler = soxr.ResampleStream(stream.rate, self._rate, 2, dtype="float32", quality="HQ")
            for block in stream:
                stereo = _to_stereo(block, stream.lfe)
                if resampler is not None:
                    stereo = resampler.resample_chunk(stereo.T).T
                if stereo.shape[1]:
                    yield stereo
            if resampler is not None:
                stereo = resampler.resample_chunk(np.empty((0, 2), np.float32), last=True).T
                if stereo.shape[1]:
                    yield stereo


def _to_stereo(block: Float32, lfe: tuple[int, ...]) -> Float32:
    """Return the stereo signal (2, t) of a (c, t) block."""
    if len(block) == 2:
        return block
    used = [index for index in range(len(block)) if index not in lfe] or list(range(len(block)))
    return np.repeat(block[used].mean(axis=0, keepdims=True, dtype=np.float32), 2, axis=0)
