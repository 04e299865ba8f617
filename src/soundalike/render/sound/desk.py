"""The mixing desk of whole songs: filters and reverberation of a channel, and the gain of a limiter.

Everything here is linear in the samples, or a gain that is the same for all stems. The sum of the treated stems is
therefore the treated mix.
"""

from __future__ import annotations

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.render.score.music import Effects
from soundalike.render.sound.effects import filtered, interpolated

__all__ = ["channel_response", "convolve", "limiter", "pan_gain"]

_BLOCK, _GROUP = 131072, 8  # samples of a transform, transforms at once
_FILTER = 4096  # samples in which the filters of a channel die away
_FRAME, _WINDOW = 32, 301  # samples; frames within which the limiter reacts and recovers (about 0.2 s)


def channel_response(rate: int, highpass: float, tilt_db: float, room: FloatArray, send: float) -> FloatArray:
    """Return the impulse response of a channel: the direct sound and the reverberation, both filtered.

    Args:
        rate: Sample rate in Hz.
        highpass: Cutoff of the high-pass filter in Hz.
        tilt_db: Gain of the treble minus gain of the bass.
        room: (t,) impulse response of the room without the direct sound (see `mixing.reverberation`).
        send: Factor on the reverberation; 0 is dry.

    Returns:
        (t,) float32 samples.

    Example:
        >>> response = channel_response(44100, 80.0, 1.5, room, 0.2)
    """
    impulse = np.zeros(_FILTER + (len(room) if send else 0), np.float32)
    impulse[0] = 1.0
    if send:
        impulse[: len(room)] += np.float32(send) * room.astype(np.float32)
    return filtered(impulse, Effects(tilt_db=tilt_db, highpass=highpass), rate)


def convolve(samples: FloatArray, response: FloatArray) -> FloatArray:
    """Convolve samples with an impulse response by overlap-add. Silent blocks take no time and stay silent.

    Args:
        samples: (t,) float32 samples.
        response: (r,) float32 samples, at most 131071.

    Returns:
        (t,) float32 samples: the convolution without its tail.

    Example:
        >>> wet = convolve(samples, channel_response(44100, 80.0, 0.0, room, 0.2))
    """
    from scipy import fft

    step = _BLOCK - len(response) + 1
    spectrum = fft.rfft(response, _BLOCK)
    pieces = [(start, samples[start : start + step]) for start in range(0, len(samples), step)]
    sounding = [(start, piece) for start, piece in pieces if piece.any()]
    out = np.zeros(len(samples) + _BLOCK, np.float32)
    # Transforms of several blocks at once are computed in vector registers.
    for first in range(0, len(sounding), _GROUP):
        group = sounding[first : first + _GROUP]
        blocks = np.zeros((len(group), _BLOCK), np.float32)
        for block, (_, piece) in zip(blocks, group, strict=True):
            block[: len(piece)] = piece
        spectra = fft.rfft(blocks)
        spectra *= spectrum
        for (start, _), wet in zip(group, fft.irfft(spectra, _BLOCK, overwrite_x=True), strict=True):
            out[start : start + _BLOCK] += wet
    return out[: len(samples)]


def limiter(samples: FloatArray, ceiling: float) -> FloatArray:
    """Return a gain that keeps samples within a ceiling. It changes slowly, before and after each peak.

    Args:
        samples: (t,) samples.
        ceiling: The highest absolute value.

    Returns:
        The (t,) float32 factors, at most 1.

    Example:
        >>> gain = limiter(mix, 0.89)
        >>> float(np.abs(mix * gain).max()) <= 0.8901
        True
    """
    from scipy import ndimage

    count = -(-len(samples) // _FRAME)
    peaks = np.abs(np.pad(samples, (0, count * _FRAME - len(samples)))).reshape(count, _FRAME).max(axis=1)
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    # The mean of minima over the same window is at most the minimum of every frame in it. The minimum also covers the
    # neighbouring frames, between which the gain is interpolated.
    lowest = ndimage.minimum_filter1d(needed, _WINDOW + 2, mode="nearest")
    gain = ndimage.uniform_filter1d(lowest, _WINDOW, mode="nearest")
    first = np.full(_FRAME // 2, gain[0])  # values belong to the middle of their frames
    return np.concatenate([first, interpolated(gain, _FRAME)])[: len(samples)].astype(np.float32)


def pan_gain(pan: float) -> float:
    """Return the gain of a channel at a position when both sides of the desk are added up: 1 in the middle.

    Positions follow the constant-power law, so that a channel at the side loses 3 dB.

    Args:
        pan: The position from -1 (left) to 1 (right).

    Example:
        >>> round(pan_gain(1.0), 3)
        0.707
    """
    angle = (pan + 1) * np.pi / 4
    return float((np.cos(angle) + np.sin(angle)) / np.sqrt(2))
