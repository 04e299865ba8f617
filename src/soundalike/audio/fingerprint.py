"""Acoustic fingerprints. They recognise copies of a recording despite another codec, level or leading silence.

A fingerprint consists of the signs of energy differences along time and frequency (Haitsma and Kalker, "A Highly Robust
Audio Fingerprinting System", ISMIR 2002, section 4.2): 33 logarithmic bands from 300 to 2000 Hz, frames of 0.37 s,
32 bits per frame. As a variant, frames are 0.093 s apart instead of 0.0116 s, which takes 43 bytes per second. Two
recordings are copies if their bits agree along one alignment. For other music, even similar music, about half of the
bits differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from soundalike.core.types import FloatArray

__all__ = ["FRAME_RATE", "Fingerprinter", "Words", "same_recording"]

Words = npt.NDArray[np.uint32]
"""A fingerprint (f,): 32 bits per frame; 0 for a silent frame."""

_RATE = 5512
_WINDOW = 2048
_HOP = 512
FRAME_RATE = _RATE / _HOP
"""Frames per second: 10.77."""

_BANDS = 33
_SILENCE = 1e-9
"""Mean square below which a frame is silent (-90 dBFS)."""
_MAX_ERROR = 0.25
"""Largest bit error rate at which two blocks count as the same recording.

Stricter than the paper's 0.35 (section 4.3). Copies encoded with MP3 or Vorbis, misaligned by half a frame, have rates
near 0.18. Two songs over the same drum samples reach 0.28. A missed copy only adds a match, but a match that is taken
for a copy is lost.
"""
_BLOCK = round(10 * FRAME_RATE)
_MIN_FRAMES = round(3 * FRAME_RATE)
_MIN_AGREEING = 0.8
"""Fraction of blocks that must agree along one alignment. A shared loop alone does not make a copy."""


class Fingerprinter:
    """Computes the fingerprint of a mono stream while another consumer reads the stream.

    Args:
        rate: Sample rate of the stream in Hz.

    Example:
        >>> fingerprinter = Fingerprinter(22050)
        >>> for block in fingerprinter.tap(MonoStream("song.mp3", 22050)):
        ...     pass
        >>> fingerprinter.words().dtype
        dtype('uint32')
    """

    def __init__(self, rate: int) -> None:
        import soxr

        self._resampler = soxr.ResampleStream(rate, _RATE, 1, dtype="float32", quality="LQ")
        self._taper = np.hanning(_WINDOW).astype(np.float32)
        edges = np.geomspace(300.0, 2000.0, _BANDS + 1) * _WINDOW / _RATE
        self._edges = np.round(edges).astype(int)
        self._pending: list[FloatArray] = []
        self._energies: list[FloatArray] = []

    def tap(self, blocks: Iterable[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the blocks of a stream, mono (t,) float32, unchanged, and add each to the fingerprint."""
        for block in blocks:
            self._feed(self._resampler.resample_chunk(block))
            yield block
        self._feed(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    def _feed(self, samples: FloatArray) -> None:
        """Add resampled samples (t,), and compute the band energies of the frames that they complete."""
        self._pending.append(samples)
        waiting = np.concatenate(self._pending)
        frames = 1 + (len(waiting) - _WINDOW) // _HOP if len(waiting) >= _WINDOW else 0
        if frames:
            from scipy.fft import rfft

            view = np.lib.stride_tricks.sliding_window_view(waiting, _WINDOW)[::_HOP][:frames]
            power = np.abs(rfft(view * self._taper, axis=1)) ** 2
            self._energies.append(np.add.reduceat(power, self._edges, axis=1)[:, :-1].astype(np.float32))
            waiting = waiting[frames * _HOP :]
        self._pending = [waiting]

    def words(self) -> Words:
        """Return the fingerprint (f,) uint32 of the stream so far; empty for less than 0.5 s."""
        if not self._energies:
            return np.zeros(0, np.uint32)
        energy = np.concatenate(self._energies)
        if len(energy) < 2:
            return np.zeros(0, np.uint32)
        slope = energy[:, :-1] - energy[:, 1:]
        bits = (slope[1:] - slope[:-1]) > 0
        loud = energy[1:].sum(axis=1) > _SILENCE * _WINDOW**2 / 8
        packed: Words = bits.astype(np.uint32) @ (np.uint32(1) << np.arange(bits.shape[1], dtype=np.uint32))
        return np.where(loud, np.maximum(packed, 1), 0).astype(np.uint32)


def same_recording(a: Words, b: Words) -> bool:
    """Return whether two fingerprints are of the same recording, or one of an excerpt of the other.

    At one offset, at least 80 % of the 10 s blocks of the shorter fingerprint must agree with the longer one, each in
    at least 75 % of its bits.

    Args:
        a: A fingerprint (f,).
        b: A fingerprint (f,).

    Returns:
        True for copies. False if they differ, or if either has less than 3 s of audible content.

    Example:
        >>> same_recording(fingerprinter.words(), fingerprinter.words())
        True
    """
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    if np.count_nonzero(short) < _MIN_FRAMES or np.count_nonzero(long) < _MIN_FRAMES:
        return False
    # A block from inside the shorter fingerprint determines the offset, so both may begin and end at other times.
    probe = max(_MIN_FRAMES, min(_BLOCK, len(short) * 6 // 10))
    middles = {(len(short) - probe) * part // 4 for part in (1, 2, 3)}
    start = max(sorted(middles), key=lambda at: int(np.count_nonzero(short[at : at + probe])))
    errors = _error_rates(short[start : start + probe], long)
    if errors.min() > _MAX_ERROR:
        return False
    offset = int(errors.argmin()) - start
    size = min(_BLOCK, len(short))
    agreeing = total = 0
    for start in range(0, len(short) - size + 1, size):
        # If the longer fingerprint begins or ends inside the block, only the overlap is compared.
        low, high = max(start, -offset), min(start + size, len(long) - offset)
        if np.count_nonzero(short[start : start + size]) < size // 4:
            continue
        total += 1
        if high - low >= size // 4:
            agreeing += bool(_error_rates(short[low:high], long[low + offset : high + offset])[0] <= _MAX_ERROR)
    return agreeing >= _MIN_AGREEING * total


def _error_rates(block: Words, words: Words) -> FloatArray:
    """Return the bit error rate of `block` (m,) at each offset in `words` (f,): (f - m + 1,); 1 where mostly silent."""
    places = np.lib.stride_tricks.sliding_window_view(words, len(block))
    audible = (places != 0) & (block != 0)
    wrong = (np.bitwise_count(places ^ block) * audible).sum(axis=1)
    frames = audible.sum(axis=1)
    least = min(_MIN_FRAMES, max(1, len(block) // 2))
    return np.where(frames >= least, wrong / np.maximum(frames * (_BANDS - 1), 1), 1.0)
