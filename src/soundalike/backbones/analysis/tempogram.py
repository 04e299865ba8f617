"""Tempograms: how strongly onsets recur after each lag, or at each tempo whatever its octave, around every frame.

Onset strength and the autocorrelation tempogram equal `librosa.onset.onset_strength` and `librosa.feature.tempogram`
(`tests/backbones/test_segment_inputs.py`). The cyclic tempogram is that of Grosche, Müller and Kurth, "Cyclic
tempogram - a mid-level tempo representation for music signals", ICASSP 2010, in its variant by autocorrelation.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy  # loads scipy.fft on first use: models open without it

from soundalike.audio.dsp import moving_mean
from soundalike.backbones.analysis.centred_frames import periodic_hann
from soundalike.core.types import FloatArray

__all__ = ["cyclic_tempogram", "onset_strength", "tempogram"]

_SMALLEST = 1e-10  # power of a band below which it counts as this
_RANGE = 80.0  # dB below the loudest band of the segment; anything quieter counts as this
_REFERENCE = 60.0  # BPM of the first bin
_TEMPI = (30.0, 480.0)  # BPM: the four octaves that are summed
_LOCAL = 0.75  # seconds on either side of the local mean that is subtracted


def onset_strength(power: FloatArray, hops: int) -> FloatArray:
    """Return the onset strength of every frame: the mean over bands of the rise in dB since the frame before.

    Args:
        power: (f, m) power of bands, in which a frame is centred on its time.
        hops: Hops in half a window. A rise is dated this much later than its frame, since the window reaches it early.

    Returns:
        (f,) float32 in dB, at least 0.

    Example:
        >>> onset_strength(np.array([[1.0], [1.0], [10.0], [1.0]]), 0).tolist()
        [0.0, 0.0, 10.0, 0.0]
    """
    levels = 10.0 * np.log10(np.maximum(power, _SMALLEST))
    levels = np.maximum(levels, levels.max(initial=-np.inf) - _RANGE)
    rises = np.maximum(np.diff(levels, axis=0), 0.0).mean(axis=1)
    return np.asarray(np.pad(rises, (1 + hops, 0))[: len(power)], np.float32)


def tempogram(onsets: FloatArray, lags: int) -> FloatArray:
    """Return the autocorrelation of the onset strength around every frame.

    Frames are weighted by a Hann window of `lags` frames. Beyond the ends the onset strength falls to 0 in a straight
    line.

    Args:
        onsets: Onset strength (f,), f at least 1.
        lags: Frames of the window, and lags that are returned: 0 to lags - 1 frames.

    Returns:
        (lags, f) float32, 0 to 1: the largest value of each frame, at lag 0, is 1. A frame without onsets is 0.

    Example:
        >>> tempogram(np.zeros(259, np.float32), 384).shape
        (384, 259)
    """
    return _normalised(_autocorrelations(onsets, lags)).T


def cyclic_tempogram(onsets: FloatArray, lags: int, tempi: int, rate: float) -> FloatArray:
    """Return how strongly onsets recur at tempi of one octave, around every frame.

    Bin k stands for all tempi 60 * 2 ** (k / tempi + n) BPM from 30 to 480 BPM. The autocorrelation at their lags,
    interpolated linearly and divided by the number of frames that it is a sum of, is added up. The local mean of the
    onset strength is subtracted first, and what is negative then is 0. The width of this mean, 1.5 s, is ours.

    Args:
        onsets: Onset strength (f,), f at least 1.
        lags: Frames of the window of the autocorrelation. Tempi of longer lags are left out.
        tempi: Bins of an octave.
        rate: Frames per second.

    Returns:
        (tempi, f) float32, 0 to 1: the largest value of each frame is 1. A frame without onsets is 0.

    Example:
        >>> clicks = np.zeros(259, np.float32)
        >>> clicks[::43] = 1.0  # 120 BPM
        >>> cyclic_tempogram(clicks, 384, 60, 22050 / 256)[:, 129].argmax()
        0
    """
    sharp = np.maximum(onsets - moving_mean(onsets, round(_LOCAL * rate)), 0.0)
    return _normalised(_autocorrelations(sharp, lags) @ _octave_sum(lags, tempi, rate)).T


def _autocorrelations(onsets: FloatArray, lags: int) -> FloatArray:
    """Return the autocorrelation (f, lags) of the windowed onset strength around every frame."""
    padded = np.pad(onsets.astype(np.float32), lags // 2, mode="linear_ramp")
    frames = np.lib.stride_tricks.sliding_window_view(padded, lags)[: len(onsets)]
    size = scipy.fft.next_fast_len(2 * lags - 1, real=True)
    spectrum = scipy.fft.rfft(frames * periodic_hann(lags), size)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.asarray(scipy.fft.irfft(power, size)[:, :lags], np.float32)


@lru_cache(maxsize=8)
def _octave_sum(lags: int, tempi: int, rate: float) -> FloatArray:
    """Return the matrix (lags, tempi) float32 from lags to tempi of one octave."""
    matrix = np.zeros((lags, tempi), np.float32)
    octaves = np.arange(np.log2(_TEMPI[0] / _REFERENCE), np.log2(_TEMPI[1] / _REFERENCE))
    for octave in octaves:
        lag = 60.0 * rate / (_REFERENCE * 2.0 ** (octave + np.arange(tempi) / tempi))
        for place, weight in ((np.floor(lag), 1.0 - lag % 1.0), (np.floor(lag) + 1.0, lag % 1.0)):
            inside = lag < lags - 1
            rows = place[inside].astype(int)
            matrix[rows, np.flatnonzero(inside)] += weight[inside] / (lags - rows)
    return matrix


def _normalised(frames: FloatArray) -> FloatArray:
    """Scale each frame (f, b) to the maximum 1, unless it is 0."""
    most = np.abs(frames).max(axis=1, keepdims=True)
    return np.asarray(frames / np.where(most > np.finfo(np.float32).tiny, most, 1.0), np.float32)
