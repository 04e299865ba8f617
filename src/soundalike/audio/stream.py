"""Decode a recording as a stream, and divide it into passages.

The message of an AudioError does not contain the path, because callers add it. Times are in seconds. In shapes, c
counts channels and t samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np

from soundalike.audio.source import REMEDY, Float32, Source, StrPath, decoding_error, reason
from soundalike.core.errors import AudioError
from soundalike.core.types import Audio, FloatArray

__all__ = [
    "HOP",
    "WINDOW",
    "AudioStream",
    "load",
    "windows",
]

WINDOW, HOP = 10.0, 5.0
"""Length of a passage, and the distance between the starts of two passages, in seconds."""
SHORT_TAIL = 1.0
"""Maximum number of seconds after the last passage that get no passage of their own."""
MIN_SECONDS, MAX_SECONDS = 0.02, 12 * 3600.0
"""Shortest and longest recording that is accepted. The shortest drum samples last 20 ms."""
LEAST_PART = 0.45
"""Part of the stated duration that must be decodable. Half a file holds a little less than half of the seconds."""
MIN_RATE, MAX_RATE = 2_000, 384_000
"""Lowest and highest sample rate that is accepted, in Hz."""
MAX_CHANNELS = 8
MAX_SAMPLE = 1e6
"""Largest absolute value of a sample. Samples above full scale (1.0) occur in loud mixes; larger ones are invalid."""


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
        surround: Indices of the channels at the sides.
        warning: After an iteration: what could not be decoded; None if everything could.
        bit_rate: After an iteration over a whole file: bits per second of the audio without tags and pictures. PCM and
            FLAC have None.

    Raises:
        AudioError: When opening or iterating: the recording or the region is invalid.

    Example:
        >>> with AudioStream("song.flac", start=30, end=40) as stream:
        ...     samples = np.concatenate(list(stream), axis=1)
    """

    def __init__(self, path: StrPath, *, start: float = 0.0, end: float | None = None) -> None:
        from soundalike.audio.decoders import open_decoder  # here, because importing soundfile and soxr is slow

        # Written so that NaN fails too.
        if not 0 <= start < math.inf or (end is not None and not start < end):
            found = "the end" if end is None else f"{end:g} s"
            raise AudioError(f"the region runs from {start:g} s to {found}, expected 0 <= start < end")
        self._source = Source(path)
        try:
            decoder = self._decoder = open_decoder(self._source)
            self.rate, self.channels, self.codec = decoder.rate, decoder.channels, decoder.codec
            self.lfe, self.surround = decoder.lfe, decoder.surround
            if not MIN_RATE <= self.rate <= MAX_RATE:
                raise AudioError(
                    f"a sample rate of {self.rate:,} Hz, expected {MIN_RATE:,} to {MAX_RATE:,} Hz; "
                    f"resample it, or {REMEDY} if its header is wrong"
                )
            if not 1 <= self.channels <= MAX_CHANNELS:
                raise AudioError(f"{self.channels} channels, expected 1 to {MAX_CHANNELS}; mix it down first")
            frames = decoder.frames
            self.duration = None if frames is None else frames / self.rate
            if decoder.stated is not None and MAX_SECONDS < decoder.stated < math.inf:
                raise _too_long(decoder.stated)
        except BaseException:
            self._source.close()
            raise
        self._first = round(start * self.rate)
        self._last = math.inf if end is None or end == math.inf else round(end * self.rate)
        self.warning: str | None = None
        self.bit_rate: int | None = None

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
        decoded, fault = 0, None
        for block in self._decoder.blocks():
            low, high = max(self._first - position, 0), min(self._last - position, block.shape[1])
            if position + block.shape[1] > MAX_SECONDS * self.rate:
                raise _too_long((position + block.shape[1]) / self.rate)
            if low < high:
                piece = block[:, low : int(high)]
                # Minimum and maximum are fast and need no copy, and NaN fails the comparison too.
                if not (piece.max() <= MAX_SAMPLE and piece.min() >= -MAX_SAMPLE):
                    valid = int((~(np.abs(piece) <= MAX_SAMPLE)).any(axis=0).argmax())
                    fault, piece = "a sample is NaN, infinite or huge", piece[:, :valid]
                    position += low + valid
                else:
                    position += block.shape[1]
                decoded += piece.shape[1]
                if piece.shape[1]:
                    yield piece
            else:
                position += block.shape[1]
            if position >= self._last or fault:
                break
        self._finish(position, decoded, fault)

    def _finish(self, position: int, decoded: int, fault: str | None) -> None:
        """Set the warning. Raises AudioError if nothing, or less than `LEAST_PART` of it, could be decoded."""
        decoder, seconds = self._decoder, position / self.rate
        if self._source.failure is not None:  # the disk failed, not the file; another attempt may succeed
            raise decoding_error(seconds, reason(self._source.failure)) from self._source.failure
        fault, stated = fault or decoder.fault, decoder.stated
        complete = position >= self._last or (stated is not None and seconds >= stated - decoder.slack)
        if (decoded or not self._first) and (fault or (stated is not None and not complete)):
            expected = 0.0 if stated is None else min(stated, self._last / self.rate) - self._first / self.rate
            if not decoded or decoded / self.rate < LEAST_PART * expected:
                raise decoding_error(seconds, fault) if fault else _truncated(stated, seconds)
        if self._first and not decoded:
            raise AudioError(
                f"the region starts at {self._first / self.rate:.1f} s but the recording ends at "
                f"{seconds:.1f} s; choose a region inside it"
            )
        if decoded < round(MIN_SECONDS * self.rate):
            found = "the region" if self._first or self._last < math.inf else "the recording"
            length = f"{found} lasts {decoded / self.rate:.3f} s"
            raise AudioError(f"{length}, expected at least {MIN_SECONDS} s; choose a longer one")
        self.bit_rate = decoder.bit_rate
        self.warning = _warning(seconds, None if complete else stated, fault, decoder.notes)


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


def _warning(seconds: float, stated: float | None, fault: str | None, notes: Sequence[str]) -> str | None:
    """Return one line about what is missing; None if nothing is.

    Args:
        seconds: What could be decoded.
        stated: What the file states, if that is more.
        fault: Why decoding ended early.
        notes: What was skipped.
    """
    lines = list(notes)
    if stated is not None and stated < math.inf:
        why = f" ({fault})" if fault else ""
        lines.insert(0, f"only {seconds:.1f} s of the stated {stated:.1f} s could be decoded{why}")
    elif fault:
        lines.insert(0, f"only the first {seconds:.1f} s could be decoded ({fault})")
    return "; ".join(lines) or None


def _truncated(stated: float | None, actual: float) -> AudioError:
    """Return the error for a file with `actual` seconds whose header states `stated` seconds."""
    expected = f"{stated:.1f} s" if stated is not None and stated < math.inf else "audio"
    return AudioError(f"truncated: the header states {expected}, the file contains {actual:.1f} s; {REMEDY}")


def _too_long(seconds: float) -> AudioError:
    """Return the error for a recording of more than `MAX_SECONDS`."""
    found, limit = seconds / 3600, MAX_SECONDS / 3600
    return AudioError(f"{found:.1f} hours or more, expected at most {limit:.0f} hours; split it first")
