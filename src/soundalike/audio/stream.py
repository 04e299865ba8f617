"""Decode a recording as a stream, downmix and resample it, and divide it into passages.

The message of an AudioError does not contain the path, because callers add it. Times are in seconds. In shapes, c
counts channels and t samples.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import soxr

from soundalike.audio.decoders import REMEDY, Float32, Source, StrPath, decoding_error, open_decoder
from soundalike.core.errors import AudioError
from soundalike.core.types import Audio, FloatArray

__all__ = [
    "AUDIO_SUFFIXES",
    "HOP",
    "WINDOW",
    "AudioInfo",
    "AudioStream",
    "MonoStream",
    "load",
    "windows",
]

WINDOW, HOP = 10.0, 5.0
"""Length of a passage, and the distance between the starts of two passages, in seconds."""
SHORT_TAIL = 1.0
"""Maximum number of seconds after the last passage that get no passage of their own."""
MIN_SECONDS, MAX_SECONDS = 0.3, 12 * 3600.0
"""Shortest and longest recording that is accepted."""
MIN_RATE, MAX_RATE = 2_000, 384_000
"""Lowest and highest sample rate that is accepted, in Hz."""
MAX_CHANNELS = 8
MAX_SAMPLE = 1e6
"""Largest absolute value of a sample. Samples above full scale (1.0) occur in loud mixes; larger ones are invalid."""
AUDIO_SUFFIXES = frozenset({
    ".aac", ".aif", ".aifc", ".aiff", ".au", ".avi", ".caf", ".flac", ".m4a", ".m4b", ".m4v", ".mka", ".mkv",
    ".mov", ".mp2", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".w64", ".wav", ".wave", ".webm", ".wma",
})  # fmt: skip
"""Lower-case suffixes of audio and video files. A folder scan opens only these."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """Facts about a decoded recording.

    Attributes:
        rate: Native sample rate in Hz.
        channels: Number of channels.
        codec: Such as "flac".
        duration: Length in seconds.
        audio_hash: BLAKE2b-128 digest, in hex, of the rate and of the mono signal rounded to 16 bits. Tags and the
            container do not affect it.
    """

    rate: int
    channels: int
    codec: str
    duration: float
    audio_hash: str


def windows(duration: float) -> FloatArray:
    """Divide a recording into passages of `WINDOW` seconds every `HOP` seconds.

    The last passage ends with the recording at the latest. At most `SHORT_TAIL` seconds after it belong to no passage.

    Args:
        duration: Length of the recording in seconds.

    Returns:
        (n, 2) float64 starts and ends in seconds, n >= 1.

    Raises:
        ValueError: `duration` is not a positive finite number.

    Example:
        >>> windows(11.5).tolist()
        [[0.0, 10.0], [5.0, 11.5]]
    """
    if not 0 < duration < math.inf:
        raise ValueError(f"a recording lasts {duration} s, expected a positive number")
    count = max(1, 1 + math.ceil((duration - WINDOW - SHORT_TAIL) / HOP))
    starts = HOP * np.arange(count)
    return np.stack([starts, np.minimum(starts + WINDOW, duration)], axis=1)


class AudioStream:
    """A recording that is open for decoding. Iterate once over its (c, t) float32 blocks of about two seconds.

    Args:
        path: The recording.
        start: Start of the region to decode, in seconds.
        end: End of the region in seconds. None, or a time after the end, is the end of the recording.

    Attributes:
        rate: Sample rate in Hz.
        channels: Number of channels.
        codec: Such as "flac".
        duration: Length in seconds as the file states it. Some formats give an estimate; None is unknown.
        lfe: Indices of the channels with low-frequency effects.

    Raises:
        AudioError: When opening or iterating: the recording or the region is invalid.

    Example:
        >>> with AudioStream("song.flac", start=30, end=40) as stream:
        ...     samples = np.concatenate(list(stream), axis=1)
    """

    def __init__(self, path: StrPath, *, start: float = 0.0, end: float | None = None) -> None:
        # Written so that NaN fails too.
        if not 0 <= start < math.inf or (end is not None and not start < end):
            found = "the end" if end is None else f"{end:g} s"
            raise AudioError(f"the region runs from {start:g} s to {found}, expected 0 <= start < end")
        self._source = Source(path)
        try:
            decoder = self._decoder = open_decoder(self._source)
            self.rate, self.channels, self.codec, self.lfe = (
                decoder.rate,
                decoder.channels,
                decoder.codec,
                decoder.lfe,
            )
            if not MIN_RATE <= self.rate <= MAX_RATE:
                raise AudioError(
                    f"a sample rate of {self.rate:,} Hz, expected {MIN_RATE:,} to {MAX_RATE:,} Hz; "
                    f"resample it, or {REMEDY} if its header is wrong"
                )
            if not 1 <= self.channels <= MAX_CHANNELS:
                raise AudioError(f"{self.channels} channels, expected 1 to {MAX_CHANNELS}; mix it down first")
            frames = decoder.frames
            self.duration = None if frames is None else frames / self.rate
            if decoder.exact and self.duration is not None and self.duration > MAX_SECONDS:
                raise _too_long(self.duration)
        except BaseException:
            self._source.close()
            raise
        self._first = round(start * self.rate)
        self._last = math.inf if end is None or end == math.inf else round(end * self.rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        self._decoder.close()
        self._source.close()

    def __iter__(self) -> Iterator[Float32]:
        position = self._decoder.seek(self._first)
        decoded = 0
        for block in self._decoder.blocks():
            low, high = max(self._first - position, 0), min(self._last - position, block.shape[1])
            position += block.shape[1]
            if position > MAX_SECONDS * self.rate:
                raise _too_long(position / self.rate)
            if low < high:
                piece = block[:, low : int(high)]
                # Minimum and maximum are fast and need no copy, and NaN fails the comparison too.
                if not (piece.max() <= MAX_SAMPLE and piece.min() >= -MAX_SAMPLE):
                    where = (~(np.abs(piece) <= MAX_SAMPLE)).any(axis=0).argmax() - block.shape[1] + low
                    raise decoding_error((position + where) / self.rate, "a sample is NaN, infinite or huge")
                decoded += piece.shape[1]
                yield piece
            if position >= self._last:
                break
        if self._first and not decoded:
            raise AudioError(
                f"the region starts at {self._first / self.rate:.1f} s but the recording ends at "
                f"{position / self.rate:.1f} s; choose a region inside it"
            )
        if decoded < MIN_SECONDS * self.rate:
            found = "the region" if self._first or self._last < math.inf else "the recording"
            length = f"{found} lasts {decoded / self.rate:.3f} s"
            raise AudioError(f"{length}, expected at least {MIN_SECONDS} s; choose a longer one")


class MonoStream:
    """A recording as mono (t,) float32 blocks. Every iteration decodes it again.

    The signal is the mean of the channels without low-frequency effects, resampled by soxr (HQ).

    Args:
        path: The recording.
        rate: Sample rate of the blocks in Hz.
        start: Start of the region to decode, in seconds.
        end: End of the region in seconds. None, or a time after the end, is the end of the recording.

    Raises:
        AudioError: When iterating: the recording or the region is invalid.

    Example:
        >>> stream = MonoStream("song.flac", 22050)
        >>> count = sum(len(block) for block in stream)
        >>> stream.info.codec
        'flac'
    """

    def __init__(
        self,
        path: StrPath,
        rate: int,
        *,
        start: float = 0.0,
        end: float | None = None,
    ) -> None:
        self._path, self._rate, self._start, self._end = path, rate, start, end
        self._info: AudioInfo | None = None

    @property
    def info(self) -> AudioInfo:
        """Facts about the recording or the region. Raises RuntimeError before the end of an iteration."""
        if self._info is None:
            raise RuntimeError("info describes the whole stream, which has not been read to its end yet")
        return self._info

    def __iter__(self) -> Iterator[Float32]:
        self._info, frames, resampler = None, 0, None
        with AudioStream(self._path, start=self._start, end=self._end) as stream:
            digest = hashlib.blake2b(f"{stream.rate} Hz ".encode(), digest_size=16)
            if stream.rate != self._rate:
                resampler = soxr.ResampleStream(stream.rate, self._rate, 1, dtype="float32", quality="HQ")
            for block in stream:
                signal = _downmix(block, stream.lfe)
                frames += len(signal)
                digest.update(_to_int16(signal).data)
                if resampler is not None:
                    signal = resampler.resample_chunk(signal)
                if len(signal):
                    yield signal
            if resampler is not None:
                signal = resampler.resample_chunk(np.empty(0, np.float32), last=True)
                if len(signal):
                    yield signal
            self._info = AudioInfo(stream.rate, stream.channels, stream.codec, frames / stream.rate, digest.hexdigest())


def load(path: StrPath, *, start: float = 0.0, end: float | None = None) -> Audio:
    """Decode a recording, or a region of it, into memory.

    Args:
        path: The recording.
        start: Start of the region in seconds.
        end: End of the region in seconds. None, or a time after the end, is the end of the recording.

    Returns:
        All channels at the native sample rate.

    Raises:
        AudioError: The recording or the region is invalid.

    Example:
        >>> load("song.wav", start=30, end=40).duration
        10.0
    """
    with AudioStream(path, start=start, end=end) as stream:
        return Audio(np.concatenate(list(stream), axis=1), stream.rate)


def _downmix(block: Float32, lfe: tuple[int, ...]) -> Float32:
    """Return the mean (t,) of the channels of (c, t) that are not in `lfe`."""
    channels = [row for index, row in enumerate(block) if index not in lfe]
    if len(channels) == 1:
        return np.ascontiguousarray(channels[0])
    # Adding row by row is 30 times as fast as mean(axis=0) on interleaved samples, and starts no threads.
    total: Float32 = channels[0] + channels[1]
    for row in channels[2:]:
        total += row
    total *= np.float32(1 / len(channels))
    return total


def _to_int16(signal: Float32) -> npt.NDArray[np.int16]:
    """Return a float signal rounded to 16 bits and clipped."""
    scaled = signal * np.float32(32768)
    np.rint(scaled, out=scaled)
    np.clip(scaled, -32768, 32767, out=scaled)
    return scaled.astype("<i2")


def _too_long(seconds: float) -> AudioError:
    """Return the error for a recording of more than `MAX_SECONDS`."""
    found, limit = seconds / 3600, MAX_SECONDS / 3600
    return AudioError(f"{found:.1f} hours or more, expected at most {limit:.0f} hours; split it first")
