"""Signal-processing primitives: spectra of a stream, frequency maps, onsets, salience, lag correlations.

A stream is a sequence of mono float32 blocks of any lengths. Results do not depend on how a stream is divided into
blocks. Frequencies are in Hz and times in seconds. In shapes, t counts samples, f frames, b frequency bins, m bands and
p semitones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import scipy  # loads scipy.fft on first use: models open without it

from soundalike.core.types import FloatArray

__all__ = [
    "SpectrumStream",
    "autocorrelation_2d",
    "cross_correlation",
    "fold_semitones",
    "harmonic_sum",
    "lag_bands",
    "log_frequency_matrix",
    "mel_matrix",
    "moving_mean",
    "onset_strength",
    "rechunk",
    "tuning",
    "whiten",
]


def rechunk(blocks: Iterable[FloatArray], length: int) -> Iterator[FloatArray]:
    """Divide a stream into pieces of a fixed length.

    The pieces do not depend on the blocks of the stream, so later results are identical bit for bit.

    Args:
        blocks: Mono (t,) blocks of any lengths.
        length: Samples per piece.

    Yields:
        (length,) float32 pieces; the last one may be shorter.

    Example:
        >>> [len(piece) for piece in rechunk([np.zeros(5), np.zeros(5)], 4)]
        [4, 4, 2]
    """
    pending: list[FloatArray] = []
    count = 0
    for block in blocks:
        rest = np.asarray(block, dtype=np.float32)
        while count + len(rest) >= length:
            piece, rest = rest[: length - count], rest[length - count :]
            yield np.concatenate([*pending, piece]) if pending else piece
            pending, count = [], 0
        if len(rest):
            pending.append(rest.copy())  # the caller may reuse its buffer
            count += len(rest)
    if pending:
        yield np.concatenate(pending)


class SpectrumStream:
    """Power spectra of a stream. Frame k is centred on sample `k * hop`.

    The window is a periodic Hann window, scaled so that a full-scale sine has power 1 at its peak. The stream is padded
    with its first and last samples, so that a constant stays constant. Bins 0 and 1, which contain all power of a
    constant under a Hann window, are set to zero.

    Args:
        size: Samples per frame.
        hop: Samples between frames; it divides `size / 2`.

    Example:
        >>> stream = SpectrumStream(1024, 256)
        >>> frames = np.concatenate([stream.push(np.zeros(4096, np.float32)), stream.finish()])
        >>> frames.shape
        (17, 513)
    """

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop = size, hop
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        self._window = (hann * (4 / size)).astype(np.float32)
        self._held: FloatArray | None = None
        self._last = np.float32(0.0)

    def push(self, piece: FloatArray) -> FloatArray:
        """Add (t,) float32 samples and return the frames (f, size // 2 + 1) that they complete."""
        if len(piece) == 0:
            return np.zeros((0, self.size // 2 + 1), np.float32)
        if self._held is None:
            self._held = np.full(self.size // 2, piece[0], np.float32)
        self._last = piece[-1]
        return self._frames(np.concatenate([self._held, piece]))

    def finish(self) -> FloatArray:
        """Return the last frames. Call this once, at the end of the stream."""
        if self._held is None:
            return np.zeros((0, self.size // 2 + 1), np.float32)
        return self._frames(np.concatenate([self._held, np.full(self.size // 2, self._last, np.float32)]))

    def _frames(self, samples: FloatArray) -> FloatArray:
        """Return the complete frames of `samples` (t,), and keep the remaining samples."""
        count = max(0, (len(samples) - self.size) // self.hop + 1)
        self._held = samples[count * self.hop :].copy()
        power = np.zeros((count, self.size // 2 + 1), np.float32)
        if count == 0:
            return power
        view = np.lib.stride_tricks.sliding_window_view(samples, self.size)[:: self.hop][:count]
        for start in range(0, count, 64):  # a batch of frames fits into the CPU cache
            spectrum = scipy.fft.rfft(view[start : start + 64] * self._window)
            power[start : start + 64] = np.square(spectrum.real) + np.square(spectrum.imag)
        power[:, :2] = 0.0
        return power


def mel_matrix(size: int, rate: int, bands: int, low: float, high: float) -> FloatArray:
    """Return a matrix from FFT bins to mel bands: triangles of unit sum, evenly spaced in mel 2595 log10(1 + f / 700).

    Args:
        size: FFT size.
        rate: Sample rate in Hz.
        bands: Number of bands.
        low: Lower edge of the first band in Hz.
        high: Upper edge of the last band in Hz.

    Returns:
        (size // 2 + 1, bands) float32.

    Example:
        >>> mel_matrix(1024, 22050, 32, 30.0, 11000.0).shape
        (513, 32)
    """
    edges = 700.0 * (10.0 ** (np.linspace(_mel(low), _mel(high), bands + 2) / 2595.0) - 1.0)
    frequency = (np.arange(size // 2 + 1) * rate / size)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return _unit_sum(np.maximum(0.0, np.minimum(rising, falling)), frequency, edges[1:-1])


def _mel(frequency: float) -> float:
    """Return a frequency in Hz on the mel scale."""
    return float(2595.0 * np.log10(1.0 + frequency / 700.0))


def log_frequency_matrix(size: int, rate: int, bands: int, low: float, per_octave: int) -> FloatArray:
    """Return a matrix from FFT bins to logarithmically spaced bands: triangles of unit sum.

    Band k is centred on `low * 2 ** (k / per_octave)`. A triangle is two bands wide, or two bins where bands are
    narrower than bins. This approximates a constant-Q transform with a single window length (Brown and Puckette, "An
    efficient algorithm for the calculation of a constant Q transform", 1992).

    Args:
        size: FFT size.
        rate: Sample rate in Hz.
        bands: Number of bands.
        low: Centre of the first band in Hz.
        per_octave: Bands per octave.

    Returns:
        (size // 2 + 1, bands) float32.

    Example:
        >>> log_frequency_matrix(4096, 22050, 252, 55.0, 36).shape
        (2049, 252)
    """
    frequency = (np.arange(size // 2 + 1) * rate / size)[:, None]
    centres = low * 2.0 ** (np.arange(bands) / per_octave)
    half = np.maximum(centres * (2.0 ** (1.0 / per_octave) - 1.0), rate / size)
    return _unit_sum(np.maximum(0.0, 1.0 - np.abs(frequency - centres) / half), frequency, centres)


def _unit_sum(weights: FloatArray, frequency: FloatArray, centres: FloatArray) -> FloatArray:
    """Scale each column to sum 1."""
    empty = weights.sum(axis=0) <= 0.0
    nearest = np.argmin(np.abs(frequency - centres), axis=0)
    weights[nearest[empty], np.flatnonzero(empty)] = 1.0  # a band without a bin takes the nearest bin
    return np.asarray(weights / weights.sum(axis=0), np.float32)


def moving_mean(values: FloatArray, half: int) -> FloatArray:
    """Return the mean over `2 * half + 1` neighbours along the last axis, fewer at the ends.

    Args:
        values: Array (..., n).
        half: Neighbours on either side.

    Returns:
        Array (..., n) of float32.

    Example:
        >>> moving_mean(np.array([1.0, 2.0, 6.0]), 1).tolist()
        [1.5, 3.0, 4.0]
    """
    count = values.shape[-1]
    total = np.zeros((*values.shape[:-1], count + 1), np.float64)
    np.cumsum(values, axis=-1, out=total[..., 1:])
    low = np.clip(np.arange(count) - half, 0, count)
    high = np.clip(np.arange(count) + half + 1, 0, count)
    return np.asarray((total[..., high] - total[..., low]) / (high - low), np.float32)


def whiten(spectrum: FloatArray, half: int) -> FloatArray:
    """Whiten spectra: divide the excess over the local mean by the local root mean square.

    The result does not depend on level or spectral envelope. A floor of a thousandth of the strongest peak prevents
    near-silent frames from being amplified. After the whitening of Klapuri, "Multiple fundamental frequency estimation
    by summing harmonic amplitudes", 2006.

    Args:
        spectrum: Spectra (f, b).
        half: Bins on either side for the mean; the root mean square uses twice as many.

    Returns:
        Whitened spectra (f, b) float32, at least 0.
    """
    peaks = np.maximum(0.0, spectrum - moving_mean(spectrum, half))
    floor = 1e-3 * float(peaks.max(initial=0.0)) + 1e-9
    rms = np.sqrt(np.maximum(moving_mean(np.square(peaks), 2 * half), 0.0))
    return np.asarray(peaks / (rms + floor), np.float32)


def harmonic_sum(spectrum: FloatArray, per_octave: int, harmonics: int, decay: float) -> FloatArray:
    """Return the salience of each bin: the sum over h of decay^(h - 1) times the bin of its h-th harmonic.

    This is the subharmonic summation of Hermes ("Measurement of pitch by subharmonic summation", 1988, eq. 5) on a
    logarithmic frequency axis, where a harmonic is a shift.

    Args:
        spectrum: Spectra (f, b) on a logarithmic axis.
        per_octave: Bins per octave.
        harmonics: Number of harmonics, including the fundamental.
        decay: Weight of each harmonic relative to the one before.

    Returns:
        Salience (f, b) float32.
    """
    total = spectrum.astype(np.float32, copy=True)
    bins = spectrum.shape[-1]
    for harmonic in range(2, harmonics + 1):
        shift = round(per_octave * np.log2(harmonic))
        if shift < bins:
            total[..., : bins - shift] += np.float32(decay ** (harmonic - 1)) * spectrum[..., shift:]
    return total


def tuning(spectrum: FloatArray, per_semitone: int) -> float:
    """Estimate the tuning: how far the peaks of spectra lie above the semitone grid.

    The estimate is the angle of the circular mean over the position within the semitone (Dressler and Streich, "Tuning
    frequency estimation using circular statistics", 2007).

    Args:
        spectrum: Spectra (f, b) on a logarithmic axis.
        per_semitone: Bins per semitone.

    Returns:
        The deviation in semitones, -0.5 to 0.5.
    """
    energy = spectrum.sum(axis=0, dtype=np.float64)
    turn = np.exp(2j * np.pi * np.arange(len(energy)) / per_semitone)
    return float(np.angle(np.sum(energy * turn)) / (2 * np.pi))


def fold_semitones(spectrum: FloatArray, per_semitone: int, offset: float) -> FloatArray:
    """Sum bins into semitones.

    Args:
        spectrum: Spectra (f, p * per_semitone).
        per_semitone: Bins per semitone.
        offset: The deviation that `tuning` estimated, in semitones.

    Returns:
        Spectra (f, p) float32.
    """
    shift = per_semitone // 2 - round(offset * per_semitone)
    moved = np.roll(spectrum, shift, axis=-1)
    count = spectrum.shape[-1] // per_semitone
    folded = moved[..., : count * per_semitone].reshape(*spectrum.shape[:-1], count, per_semitone)
    return np.asarray(folded.sum(axis=-1), np.float32)


def onset_strength(log_power: FloatArray, lag: int = 1) -> FloatArray:
    """Return the onset strength: by how much each band rises above itself and its neighbours `lag` frames earlier.

    The maximum over neighbours suppresses vibrato and glides (SuperFlux: Böck and Widmer, "Maximum filter vibrato
    suppression for onset detection", 2013, eq. 4).

    Args:
        log_power: Logarithmic power (f, m).
        lag: Distance in frames.

    Returns:
        Onset strength (f, m), at least 0. The first `lag` frames are zero.
    """
    before = log_power.copy()
    np.maximum(before[:, 1:], log_power[:, :-1], out=before[:, 1:])
    np.maximum(before[:, :-1], log_power[:, 1:], out=before[:, :-1])
    rise = np.zeros_like(log_power)
    np.maximum(log_power[lag:] - before[:-lag], 0.0, out=rise[lag:])
    return rise


def lag_bands(frames: int, period: float, low: float, high: float, count: int, width: float) -> FloatArray:
    """Return a matrix from lags to logarithmically spaced lag bands: triangles of unit sum.

    A change of tempo is a shift on the logarithmic axis. Because the bands overlap, a small shift changes little.

    Args:
        frames: Number of lags: 0, `period`, 2 `period`, ...
        period: Seconds between frames.
        low: Centre of the first band in seconds.
        high: Centre of the last band in seconds.
        count: Number of bands.
        width: Half-width of a triangle, in bands.

    Returns:
        (count, frames) float32. Bands beyond the last lag are zero.
    """
    centres = np.geomspace(low, high, count)
    step = np.log(centres[1] / centres[0])
    lags = np.arange(frames) * period
    distance = np.abs(np.log(np.maximum(lags, 1e-9)) - np.log(centres)[:, None]) / step
    weights = np.maximum(0.0, 1.0 - distance / width)
    empty = (weights.sum(axis=1) <= 0.0) & (centres <= (frames - 1) * period)
    nearest = np.round(centres / period).astype(int)
    weights[empty, nearest[empty]] = 1.0
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9), np.float32)


def cross_correlation(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the cross-correlation of each column: the mean over t of first[t, i] * second[t + lag, i].

    The sum is divided by the number of products, but by no less than half the frames. Otherwise the long lags, which
    have few products, would be too noisy.

    Args:
        first: Signals (f, m).
        second: Signals (f, m).

    Returns:
        (f, m) float32; row k is lag k.
    """
    frames = len(first)
    size = scipy.fft.next_fast_len(2 * frames, real=True)
    spectrum = scipy.fft.rfft(second, size, axis=0) * scipy.fft.rfft(first, size, axis=0).conj()
    return np.asarray(scipy.fft.irfft(spectrum, size, axis=0)[:frames] / _pairs(frames), np.float32)


def autocorrelation_2d(image: FloatArray, intervals: int, circular: bool = False) -> FloatArray:
    """Return the 2-D autocorrelation: the mean over t of the sum over p of image[t, p] * image[t + lag, p + i].

    It is invariant to transposition and delay of the image. Sums are divided as in `cross_correlation`.

    Args:
        image: Time by pitch (f, p).
        intervals: Largest interval i.
        circular: Whether pitches wrap around, as pitch classes do; `intervals` is then ignored.

    Returns:
        (f, 2 * intervals + 1) float32 for i = -intervals ... intervals, or (f, p) for i = 0 ... p - 1 if `circular`.
        Row k is lag k.
    """
    frames, pitches = image.shape
    rows = scipy.fft.next_fast_len(2 * frames)
    columns = pitches if circular else scipy.fft.next_fast_len(pitches + intervals)
    spectrum = scipy.fft.rfft(image, columns, axis=1)
    spectrum = scipy.fft.fft(spectrum, rows, axis=0)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    table = scipy.fft.irfft(scipy.fft.ifft(power, axis=0)[:frames], columns, axis=1)
    table = table / _pairs(frames)
    if not circular:
        table = np.concatenate([table[:, -intervals:], table[:, : intervals + 1]], axis=1)
    return np.asarray(table, np.float32)


def _pairs(frames: int) -> FloatArray:
    """Return the divisor (frames, 1) per lag: the number of products, at least half of `frames`."""
    return np.maximum(frames - np.arange(frames), 0.5 * frames).astype(np.float32)[:, None]
