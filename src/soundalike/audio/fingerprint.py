"""Acoustic fingerprints. They recognise copies of a recording despite another codec, level or leading silence.

A fingerprint has two parts.

*Signs*: the signs of energy differences along time and frequency (Haitsma and Kalker, "A Highly Robust Audio
Fingerprinting System", ISMIR 2002, section 4.2): 33 logarithmic bands from 300 to 2000 Hz, frames of 0.37 s, 32 bits
per frame. As a variant, frames are 0.093 s apart instead of 0.0116 s, which takes 43 bytes per second. They tell where
two recordings have the same audio: for other music, even similar music, about half of the bits differ.

*Levels*: the energy in 24 overlapping bands from 50 Hz to 8 kHz, averaged over 1.5 s, every 0.37 s, in steps of
0.5 dB, which takes another 65 bytes per second. They tell whether all of the audio is the same: signs hardly change if
the singer or the cymbals are missing, or 3 dB louder, but levels do. Codecs keep what is below 8 kHz, even MP3 at
64 kbit/s. Signs and levels together take 6.5 kB per minute.

`same_audio.py` compares fingerprints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt

from soundalike.core.types import FloatArray

__all__ = [
    "FINGERPRINT_VERSION",
    "FRAME_RATE",
    "LEVEL_HOP",
    "LEVEL_SPACING",
    "LEVEL_WIDTH",
    "LEVEL_WIDTHS",
    "Fingerprint",
    "Fingerprinter",
    "Words",
]

Words = npt.NDArray[np.uint32]
"""A fingerprint in its stored form: the number f of frames, f sign words, and six words per level frame."""

FINGERPRINT_VERSION = 3
"""The version of stored fingerprints. Those of different versions cannot be compared. Version 1 has signs alone, and
version 2 has levels up to 2.6 kHz."""

_RATE = 3 * 5512
_WINDOW = 3 * 2048
_HOP = 3 * 512
FRAME_RATE = _RATE / _HOP
"""Frames per second: 10.77."""

LEVEL_WIDTH, LEVEL_HOP = 16, 4
"""A level frame is an average over 16 frames, and starts 4 frames after the one before."""

_BANDS = 33
_LEVELS = 24
_LOWEST, _HIGHEST = 50.0, 8000.0
LEVEL_SPACING = math.log(_HIGHEST / _LOWEST) / (_LEVELS + 1)
"""The natural logarithm of the ratio of the centres of neighbouring level bands."""
_LEVEL_EDGES = np.geomspace(_LOWEST, _HIGHEST, _LEVELS + 2)
LEVEL_WIDTHS = (_LEVEL_EDGES[2:] - _LEVEL_EDGES[:-2]) / 2
"""Widths (24,) of the level bands in Hz: white noise has as much energy in them."""

_SILENCE = 1e-9
"""Mean square below which a frame is silent (-90 dBFS)."""
_STEP = 0.5
"""Decibels per stored step of a level. A level of 0 is silence, 100 dB below full scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """A fingerprint to compare.

    Attributes:
        signs: Sign words (f,) uint32; 0 for a silent frame.
        levels: Levels (n, 24) in dB, float32; frame i averages the frames that begin at 4 i.
    """

    signs: Words
    levels: FloatArray

    @staticmethod
    def is_valid(words: Words) -> bool:
        """Whether words (m,) have the length of a stored fingerprint."""
        if not len(words):
            return True
        count = int(words[0])
        levels = 0 if count < LEVEL_WIDTH else (count - LEVEL_WIDTH) // LEVEL_HOP + 1
        return len(words) == 1 + count + levels * (_LEVELS // 4)

    @classmethod
    def of(cls, words: Words) -> Self:
        """Read a stored fingerprint.

        Example:
            >>> Fingerprint.of(fingerprinter.words()).levels.shape
            (644, 24)
        """
        count = int(words[0]) if len(words) else 0
        levels = np.ascontiguousarray(words[1 + count :], dtype="<u4").view(np.uint8).reshape(-1, _LEVELS)
        return cls(words[1 : 1 + count], levels.astype(np.float32) * _STEP)

    def words(self) -> Words:
        """The stored form, which `of` reads; empty without signs."""
        if not len(self.signs):
            return np.zeros(0, np.uint32)
        steps = np.round(np.clip(self.levels / _STEP, 0, 255)).astype(np.uint8)
        levels = steps.reshape(-1).view("<u4").astype(np.uint32)
        return np.concatenate([np.array([len(self.signs)], np.uint32), self.signs, levels])


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
        self._triangles = _triangles()
        self._pending: list[FloatArray] = []
        self._before = np.zeros((0, _BANDS), np.float32)
        self._signs: list[Words] = []
        self._wide: list[FloatArray] = []

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
            energy = np.add.reduceat(power, self._edges, axis=1)[:, :-1].astype(np.float32)
            self._add_signs(np.concatenate([self._before, energy]))
            self._before = energy[-1:]
            self._wide.append((power @ self._triangles).astype(np.float32))
            waiting = waiting[frames * _HOP :]
        self._pending = [waiting]

    def words(self) -> Words:
        """Return the stored form of the fingerprint of the stream so far; empty for less than 0.5 s."""
        signs = np.concatenate(self._signs) if self._signs else np.zeros(0, np.uint32)
        return Fingerprint(signs, self._levels()).words() if len(signs) else signs

    def _add_signs(self, energy: FloatArray) -> None:
        """Add the signs of frames, given the energies (f + 1, 33) of these and of the frame before."""
        slope = energy[:, :-1] - energy[:, 1:]
        bits = (slope[1:] - slope[:-1]) > 0
        loud = energy[1:].sum(axis=1) > _SILENCE * _WINDOW**2 / 8
        packed: Words = bits.astype(np.uint32) @ (np.uint32(1) << np.arange(bits.shape[1], dtype=np.uint32))
        self._signs.append(np.where(loud, np.maximum(packed, 1), 0).astype(np.uint32))

    def _levels(self) -> FloatArray:
        # The first frame has no sign: it only begins the difference of the next.
        energy = np.concatenate(self._wide)[1:] / (_WINDOW**2 / 8)
        if len(energy) < LEVEL_WIDTH:
            return np.zeros((0, _LEVELS), np.float32)
        weights = np.hanning(LEVEL_WIDTH + 2)[1:-1]
        view = np.lib.stride_tricks.sliding_window_view(energy, LEVEL_WIDTH, axis=0)[::LEVEL_HOP]
        mean = view @ (weights / weights.sum()).astype(np.float32)
        levels: FloatArray = 10 * np.log10(np.maximum(mean, 1e-10)) + 100
        return levels


@cache
def _triangles() -> FloatArray:
    """Weights (3073, 24) of the bins of a frame in overlapping triangular bands."""
    bins = np.log(np.maximum(np.arange(_WINDOW // 2 + 1) * _RATE / _WINDOW, 1.0))[:, None]
    edges = np.log(_LEVEL_EDGES)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)
