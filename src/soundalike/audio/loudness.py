"""Integrated loudness according to ITU-R BS.1770-4, Annex 1."""

from __future__ import annotations

import math

import numpy as np

from soundalike.audio.biquads import BiquadFilter
from soundalike.audio.source import Float32
from soundalike.core.types import FloatArray

__all__ = ["LoudnessMeter", "k_weighting"]

_STEPS = 4
"""Steps of 0.1 s in a gating block of 0.4 s: blocks overlap by 75 %."""
_SURROUND = 1.41
_OFFSET = -0.691


class LoudnessMeter:
    """Measures the integrated loudness of a stream.

    Every channel is K-weighted at the sample rate of the stream. Channels have weight 1, those at the sides 1.41, and
    low-frequency effects 0 (eq. 2, table 3). Blocks of 0.4 s every 0.1 s pass an absolute gate at -70 LUFS and a
    relative gate 10 LU below the mean of the remaining ones (eq. 3 to 7).

    Args:
        rate: Sample rate in Hz.
        channels: Number of channels.
        lfe: Indices of the channels with low-frequency effects.
        surround: Indices of the channels at the sides.

    Example:
        >>> meter = LoudnessMeter(48000, 2)
        >>> for block in stream:
        ...     meter.add(block)
        >>> meter.loudness()
        -14.2
    """

    def __init__(self, rate: int, channels: int, lfe: tuple[int, ...] = (), surround: tuple[int, ...] = ()) -> None:
        self._rate, self._used = rate, [index for index in range(channels) if index not in lfe]
        self._weights = np.array([_SURROUND if index in surround else 1.0 for index in self._used])
        self._filter = BiquadFilter(k_weighting(rate))
        self._pending: FloatArray = np.zeros(0)
        self._energies: list[FloatArray] = []
        self._steps = 0

    def add(self, block: Float32) -> None:
        """Add a (c, t) block."""
        filtered = self._filter.filter(np.ascontiguousarray(block[self._used], np.float64))
        power = np.concatenate([self._pending, self._weights @ np.square(filtered)])
        begun = self._boundary(self._steps)
        bounds = [0]
        while (bound := self._boundary(self._steps + 1) - begun) <= len(power):
            bounds.append(bound)
            self._steps += 1
        if len(bounds) > 1:
            self._energies.append(np.add.reduceat(power[: bounds[-1]], bounds[:-1]) / np.diff(bounds))
        self._pending = power[bounds[-1] :]

    def loudness(self) -> float | None:
        """Return the loudness so far in LUFS; None for less than 0.4 s, and if no block passes the gates."""
        energies = np.concatenate([np.zeros(0), *self._energies])
        if len(energies) < _STEPS:
            return None
        blocks = np.convolve(energies, np.full(_STEPS, 1 / _STEPS), "valid")
        blocks = blocks[blocks > 10.0 ** ((-70.0 - _OFFSET) / 10.0)]
        if not len(blocks):
            return None
        blocks = blocks[blocks > 0.1 * blocks.mean()]
        return float(_OFFSET + 10.0 * np.log10(blocks.mean()))

    def _boundary(self, step: int) -> int:
        """Return the first sample of a step."""
        return round(step * self._rate / 10)


def k_weighting(rate: int) -> FloatArray:
    """Return the K-weighting filter as second-order sections (2, 6).

    The standard gives coefficients for 48 kHz (tables 1 and 2). Those of other rates follow from the analogue filters
    that have these coefficients after a bilinear transform: a shelf of 4 dB and a high-pass filter.
    """
    sections = []
    for frequency, quality, gain in (
        (1681.974450955533, 0.7071752369554196, 3.999843853973347),
        (38.13547087602444, 0.5003270373238773, None),
    ):
        k = math.tan(math.pi * min(frequency / rate, 0.49))
        scale = 1.0 + k / quality + k * k
        poles = [1.0, 2.0 * (k * k - 1.0) / scale, (1.0 - k / quality + k * k) / scale]
        if gain is None:
            zeros = [1.0, -2.0, 1.0]
        else:
            high = 10.0 ** (gain / 20.0)
            band = high**0.4996667741545416
            zeros = [
                (high + band * k / quality + k * k) / scale,
                2.0 * (k * k - high) / scale,
                (high - band * k / quality + k * k) / scale,
            ]
        sections.append([*zeros, *poles])
    return np.array(sections)
