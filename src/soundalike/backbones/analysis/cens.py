"""Chroma energy normalised statistics (CENS) from a constant-Q transform.

Müller, Kurth and Clausen, "Audio matching via chroma-based statistical features", ISMIR 2005, from the transform of
Brown, "Calculation of a constant Q spectral transform", 1991, computed octave by octave (Schörkhuber and Klapuri,
"Constant-Q transform toolbox for music processing", 2010). The result equals `librosa.feature.chroma_cens` with its
default settings (`tests/backbones/test_segment_inputs.py`), but for silence.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy  # loads scipy.fft on first use: models open without it

from soundalike.backbones.analysis.centred_frames import centred_frames, periodic_hann
from soundalike.core.types import FloatArray

__all__ = ["LOWEST_RATE", "chroma_energies", "chroma_statistics", "estimate_tuning"]

_PER_OCTAVE, _OCTAVES, _CHROMA = 36, 7, 12
_LOWEST = 440.0 * 2.0 ** (-45 / 12)  # C1 in Hz
LOWEST_RATE = 8800
"""Hz: lower sample rates do not hold the highest bin, just below C8, with its bandwidth."""
_SPARSITY = 0.01  # part of the magnitude of a filter that is left out, as in librosa
_STEPS = (0.05, 0.1, 0.2, 0.4)  # energies are rounded down to as many quarters as there are steps below them
_SMOOTHING = 41  # frames
_TUNING = 2048  # samples of a frame for the tuning
_PITCHES = (150.0, 4000.0)  # Hz of the peaks that tell the tuning
_SILENT = 5e-3  # sum of energies


def chroma_statistics(energies: FloatArray) -> FloatArray:
    """Return the CENS of chroma energies.

    Each frame is scaled to the sum 1 and rounded to 0, 1/4, 1/2, 3/4 or 1, at steps of 0.05, 0.1, 0.2 and 0.4. The
    frames are then smoothed with a Hann window of 41 frames, and scaled to the length 1.

    Args:
        energies: (12, f) energies of pitch classes, from `chroma_energies`. A frame with a sum below 0.005, which a
            tone of -80 dBFS has, counts as silent: its shares would be those of noise.

    Returns:
        (12, f) float32, 0 to 1, from C to B. A frame without sound nearby is 0.

    Example:
        >>> chroma_statistics(np.eye(12)[:, :1])[:2].tolist()
        [[1.0], [0.0]]
    """
    total = energies.sum(axis=0)
    shares = energies / np.where(total >= _SILENT, total, np.inf)
    rounded = np.sum([shares > step for step in _STEPS], axis=0) / len(_STEPS)
    window = np.hanning(_SMOOTHING + 2)[1:-1]
    smooth = scipy.ndimage.convolve1d(rounded, window / window.sum(), axis=1, mode="constant")
    length = np.linalg.norm(smooth, axis=0)
    return np.asarray(smooth / np.where(length > 0.0, length, 1.0), np.float32)


def chroma_energies(samples: FloatArray, rate: int, hop: int, tuning: float | None = None) -> FloatArray:
    """Return the magnitudes of a constant-Q transform with 36 bins per octave, summed over C1 to B7 by pitch class.

    Args:
        samples: Mono (t,) float32, t at least 1.
        rate: Sample rate in Hz, at least `LOWEST_RATE`.
        hop: Samples between frames, a multiple of 64.
        tuning: Deviation from A = 440 Hz in bins, thirds of a semitone. None: estimated.

    Returns:
        (12, 1 + t // hop) float32, from C to B. Frame k is centred on sample `k * hop`.

    Example:
        >>> tone = np.sin(2 * np.pi * 440.0 * np.arange(66150) / 22050).astype(np.float32)
        >>> chroma_energies(tone, 22050, 256)[:, 129].argmax()
        9
    """
    import soxr

    frames = 1 + len(samples) // hop
    filters, lengths = _filters(estimate_tuning(samples, rate) if tuning is None else tuning, rate)
    total = np.zeros((frames, _PER_OCTAVE), np.float32)
    signal = np.asarray(samples, np.float32)
    for octave in range(_OCTAVES):
        # Half the rate and half the hop: the filters of the octave below are the same.
        parts = np.square(centred_frames(signal, len(filters), hop >> octave)[:frames] @ filters)
        total += np.sqrt(parts[:, :_PER_OCTAVE] + parts[:, _PER_OCTAVE:]) * np.sqrt(2**octave / lengths)
        if octave < _OCTAVES - 1:
            count = (len(signal) + 1) // 2
            halved = soxr.resample(signal, 2, 1, quality="HQ")[:count]
            signal = np.pad(halved, (0, count - len(halved)))
    # A pitch class has the bins from a third of a semitone below it to a third above. Bins begin at C, so that the last
    # of them belongs to the next C.
    return np.roll(total, 1, axis=1).reshape(frames, _CHROMA, -1).sum(axis=2).T


@lru_cache(maxsize=128)  # the tuning has 100 values
def _filters(tuning: float, rate: int) -> tuple[FloatArray, FloatArray]:
    """Return the filters of the highest octave (n, 72), real parts then imaginary parts, and their lengths (36,).

    A filter is a complex sine under a Hann window, without the weakest part of its spectrum. That spectrum is cut as
    librosa does, and the filter is applied in the time domain, which is faster for so few frames.
    """
    numbers = (_OCTAVES - 1) * _PER_OCTAVE + np.arange(_PER_OCTAVE)
    frequencies = _LOWEST * 2.0 ** ((numbers + tuning) / _PER_OCTAVE)
    ratio = 2.0 ** (2.0 / _PER_OCTAVE)  # of the neighbours on either side, between which the bandwidth reaches half way
    lengths = (ratio + 1.0) / (ratio - 1.0) * rate / frequencies
    size = 2 ** int(np.ceil(np.log2(lengths.max())))
    kernels = np.zeros((_PER_OCTAVE, size), np.complex128)
    for kernel, frequency, length in zip(kernels, frequencies, lengths, strict=True):
        times = np.arange(-length // 2, length // 2)
        wave = periodic_hann(len(times)) * np.exp(2j * np.pi * frequency * times / rate)
        first = (size - len(times)) // 2
        kernel[first : first + len(times)] = wave / np.abs(wave).sum() * length / size
    spectra = scipy.fft.fft(kernels)[:, : size // 2 + 1]
    magnitudes = np.abs(spectra)
    order = np.sort(magnitudes, axis=1)
    below = np.cumsum(order / order.sum(axis=1, keepdims=True), axis=1) < _SPARSITY
    least = np.take_along_axis(order, np.argmin(below, axis=1)[:, None], axis=1)
    spectra[magnitudes < least] = 0.0
    # The product of spectra is one of samples and the transform of the filter's spectrum.
    responses = scipy.fft.fft(spectra, size).T
    filters = np.concatenate([responses.real, responses.imag], axis=1)
    return np.ascontiguousarray(filters, np.float32), lengths.astype(np.float32)


def estimate_tuning(samples: FloatArray, rate: int) -> float:
    """Return how far the music is from A = 440 Hz, in bins of the transform.

    The peaks of spectra between 150 and 4,000 Hz, at least a tenth as strong as the strongest of their frame, are
    located by parabolas. Of the stronger half, the most frequent deviation from the bins, in steps of 0.01, is
    returned.

    Args:
        samples: Mono (t,) float32.
        rate: Sample rate in Hz.

    Returns:
        -0.5 to 0.49 thirds of a semitone; 0 without peaks.

    Example:
        >>> estimate_tuning(np.sin(2 * np.pi * 442.5 * np.arange(66150) / 22050).astype(np.float32), 22050)
        0.29
    """
    frames = centred_frames(np.asarray(samples, np.float32), _TUNING, _TUNING // 4)
    magnitudes = np.abs(scipy.fft.rfft(frames * periodic_hann(_TUNING)))
    low, high = (int(np.ceil(pitch * _TUNING / rate)) for pitch in _PITCHES)
    high = min(high, _TUNING // 2)
    audible = np.where(magnitudes > 0.1 * magnitudes.max(axis=1, keepdims=True), magnitudes, 0.0)
    here = audible[:, low:high]
    frame, peak = np.nonzero((here > audible[:, low - 1 : high - 1]) & (here >= audible[:, low + 1 : high + 1]))
    peak += low
    left, middle, right = (magnitudes[frame, peak + step].astype(np.float64) for step in (-1, 0, 1))
    slope, bend = (right - left) / 2, left + right - 2 * middle
    shift = np.where(np.abs(slope) < np.abs(bend), -slope / np.where(bend == 0.0, 1.0, bend), 0.0)
    strength = middle + 0.5 * slope * shift
    if not len(peak):
        return 0.0
    strong = strength >= np.median(strength)
    deviation = _PER_OCTAVE * np.log2((peak + shift)[strong] * rate / _TUNING / 440.0) % 1.0
    deviation[deviation >= 0.5] -= 1.0
    counts, edges = np.histogram(deviation, np.linspace(-0.5, 0.5, 101))
    return float(edges[np.argmax(counts)])
