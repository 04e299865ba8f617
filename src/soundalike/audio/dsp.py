"""Signal primitives: spectra of a stream, frequency maps, onsets, salience, lag correlations, loudness.

Streams come as mono float32 blocks of any lengths; every result is independent of how a stream was cut.
t samples, f frames, b frequency bins, m bands, p semitones. Frequencies in Hz, times in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft

from soundalike.core.types import FloatArray

__all__ = [
    "SpectrumStream",
    "autocorrelation_2d",
    "cross_correlation",
    "fold_semitones",
    "gated_loudness",
    "harmonic_sum",
    "k_weighting",
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
    """Cut a stream of (t,) blocks into pieces of exactly `length` samples, the last one shorter, as float32.

    What follows then sees the same pieces however the stream was cut, so its results are equal to the bit.
    """
    held: list[FloatArray] = []
    count = 0
    for block in blocks:
        rest = np.asarray(block, dtype=np.float32)
        while count + len(rest) >= length:
            piece, rest = rest[: length - count], rest[length - count :]
            yield np.concatenate([*held, piece]) if held else piece
            held, count = [], 0
        if len(rest):
            held.append(rest.copy())  # the caller may use its buffer again
            count += len(rest)
    if held:
        yield np.concatenate(held)


class SpectrumStream:
    """Power spectra of a stream: frame k is centred on sample `k * hop` and `size` samples long.

    Periodic Hann window, scaled so that a full-scale sine has power 1 at its peak. The two ends are padded
    with the first and the last sample, so that a constant stays a constant, and bins 0 and 1, which are all
    that a constant reaches under a Hann window, are set to zero. `hop` divides `size / 2`.
    """

    def __init__(self, size: int, hop: int) -> None:
        self.size, self.hop = size, hop
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        self._window = (hann * (4 / size)).astype(np.float32)
        self._held: FloatArray | None = None
        self._last = np.float32(0.0)

    def push(self, piece: FloatArray) -> FloatArray:
        """Take (t,) float32 samples, return the (f, size // 2 + 1) frames that are complete by now."""
        if len(piece) == 0:
            return np.zeros((0, self.size // 2 + 1), np.float32)
        if self._held is None:
            self._held = np.full(self.size // 2, piece[0], np.float32)
        self._last = piece[-1]
        return self._frames(np.concatenate([self._held, piece]))

    def finish(self) -> FloatArray:
        """The frames centred on the last samples; call once, at the end of the stream."""
        if self._held is None:
            return np.zeros((0, self.size // 2 + 1), np.float32)
        return self._frames(np.concatenate([self._held, np.full(self.size // 2, self._last, np.float32)]))

    def _frames(self, samples: FloatArray) -> FloatArray:
        count = max(0, (len(samples) - self.size) // self.hop + 1)
        self._held = samples[count * self.hop :].copy()
        power = np.zeros((count, self.size // 2 + 1), np.float32)
        if count == 0:
            return power
        view = np.lib.stride_tricks.sliding_window_view(samples, self.size)[:: self.hop][:count]
        for start in range(0, count, 64):  # so that a batch of frames stays in the processor's cache
            spectrum = scipy.fft.rfft(view[start : start + 64] * self._window)
            power[start : start + 64] = np.square(spectrum.real) + np.square(spectrum.imag)
        power[:, :2] = 0.0
        return power


def mel_matrix(size: int, rate: int, bands: int, low: float, high: float) -> FloatArray:
    """(size // 2 + 1, bands) float32: triangles of unit sum, evenly spaced in mel 2595 log10(1 + f / 700)."""
    edges = 700.0 * (10.0 ** (np.linspace(_mel(low), _mel(high), bands + 2) / 2595.0) - 1.0)
    frequency = (np.arange(size // 2 + 1) * rate / size)[:, None]
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return _unit_sum(np.maximum(0.0, np.minimum(rising, falling)), frequency, edges[1:-1])


def _mel(frequency: float) -> float:
    return float(2595.0 * np.log10(1.0 + frequency / 700.0))


def log_frequency_matrix(size: int, rate: int, bands: int, low: float, per_octave: int) -> FloatArray:
    """(size // 2 + 1, bands) float32: triangles of unit sum, centred on `low * 2 ** (band / per_octave)`.

    A triangle is two bands wide, or two bins where bands are narrower than bins (the constant-Q idea as far
    as one window length allows; Brown and Puckette, "An efficient algorithm for the calculation of a constant
    Q transform", 1992).
    """
    frequency = (np.arange(size // 2 + 1) * rate / size)[:, None]
    centres = low * 2.0 ** (np.arange(bands) / per_octave)
    half = np.maximum(centres * (2.0 ** (1.0 / per_octave) - 1.0), rate / size)
    return _unit_sum(np.maximum(0.0, 1.0 - np.abs(frequency - centres) / half), frequency, centres)


def _unit_sum(weights: FloatArray, frequency: FloatArray, centres: FloatArray) -> FloatArray:
    empty = weights.sum(axis=0) <= 0.0
    nearest = np.argmin(np.abs(frequency - centres), axis=0)
    weights[nearest[empty], np.flatnonzero(empty)] = 1.0  # a band that no bin reaches takes the nearest one
    return np.asarray(weights / weights.sum(axis=0), np.float32)


def moving_mean(values: FloatArray, half: int) -> FloatArray:
    """Mean over `2 * half + 1` neighbours along the last axis, fewer at the ends. Same shape, float32."""
    count = values.shape[-1]
    total = np.zeros((*values.shape[:-1], count + 1), np.float64)
    np.cumsum(values, axis=-1, out=total[..., 1:])
    low = np.clip(np.arange(count) - half, 0, count)
    high = np.clip(np.arange(count) + half + 1, 0, count)
    return np.asarray((total[..., high] - total[..., low]) / (high - low), np.float32)


def whiten(spectrum: FloatArray, half: int) -> FloatArray:
    """Peaks above the local mean, over the local spread: (f, b) to (f, b) float32, free of level and colour.

    The mean reaches over `half` bins either side and the spread twice as far, along frequency; a floor of a
    thousandth of the strongest peak keeps near-silent frames from being blown up. After the whitening of
    Klapuri, "Multiple fundamental frequency estimation by summing harmonic amplitudes", 2006.
    """
    peaks = np.maximum(0.0, spectrum - moving_mean(spectrum, half))
    floor = 1e-3 * float(peaks.max(initial=0.0)) + 1e-9
    spread = np.sqrt(np.maximum(moving_mean(np.square(peaks), 2 * half), 0.0))
    return np.asarray(peaks / (spread + floor), np.float32)


def harmonic_sum(spectrum: FloatArray, per_octave: int, harmonics: int, decay: float) -> FloatArray:
    """Salience of each bin: sum over h of decay^(h-1) times the bin of its h-th harmonic. (f, b) to (f, b).

    Hermes' subharmonic summation ("Measurement of pitch by subharmonic summation", 1988, eq. 5) on a
    logarithmic axis, where a harmonic is a shift.
    """
    total = spectrum.astype(np.float32, copy=True)
    bins = spectrum.shape[-1]
    for harmonic in range(2, harmonics + 1):
        shift = round(per_octave * np.log2(harmonic))
        if shift < bins:
            total[..., : bins - shift] += np.float32(decay ** (harmonic - 1)) * spectrum[..., shift:]
    return total


def tuning(spectrum: FloatArray, per_semitone: int) -> float:
    """How far the peaks of (f, b) lie above the grid, in semitones, -0.5 to 0.5.

    The angle of the circular mean over position within the semitone (Dressler and Streich, "Tuning frequency
    estimation using circular statistics", 2007).
    """
    energy = spectrum.sum(axis=0, dtype=np.float64)
    turn = np.exp(2j * np.pi * np.arange(len(energy)) / per_semitone)
    return float(np.angle(np.sum(energy * turn)) / (2 * np.pi))


def fold_semitones(spectrum: FloatArray, per_semitone: int, offset: float) -> FloatArray:
    """Gather bins into semitones: (f, p * per_semitone) to (f, p); `offset` is what `tuning` said."""
    shift = per_semitone // 2 - round(offset * per_semitone)
    moved = np.roll(spectrum, shift, axis=-1)
    count = spectrum.shape[-1] // per_semitone
    folded = moved[..., : count * per_semitone].reshape(*spectrum.shape[:-1], count, per_semitone)
    return np.asarray(folded.sum(axis=-1), np.float32)


def onset_strength(log_power: FloatArray, lag: int = 1) -> FloatArray:
    """How far each band of (f, m) rises above itself and its neighbours `lag` frames ago: (f, m) >= 0.

    The maximum over neighbours keeps vibrato and glides from counting (SuperFlux: Böck and Widmer, "Maximum
    filter vibrato suppression for onset detection", 2013, eq. 4). The first `lag` frames are zero.
    """
    before = log_power.copy()
    np.maximum(before[:, 1:], log_power[:, :-1], out=before[:, 1:])
    np.maximum(before[:, :-1], log_power[:, 1:], out=before[:, :-1])
    rise = np.zeros_like(log_power)
    np.maximum(log_power[lag:] - before[:-lag], 0.0, out=rise[lag:])
    return rise


def lag_bands(frames: int, period: float, low: float, high: float, count: int, width: float) -> FloatArray:
    """(count, frames) float32 of unit sum: lags 0, `period`, 2 `period`, ... into `count` log-spaced bands.

    Band centres run from `low` to `high` seconds; a band is a triangle reaching `width` steps either side, so
    that a small change of tempo, which is a shift on this axis, changes little. Bands beyond the last frame
    are zero.
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
    """Mean over t of first[t, i] * second[t + lag, i]: (f, m), (f, m) to (f, m), rows are lags.

    Divided by the number of products, but by no less than half the frames, so that the few products of the
    longest lags do not shout.
    """
    frames = len(first)
    size = scipy.fft.next_fast_len(2 * frames, real=True)
    spectrum = scipy.fft.rfft(second, size, axis=0) * scipy.fft.rfft(first, size, axis=0).conj()
    return np.asarray(scipy.fft.irfft(spectrum, size, axis=0)[:frames] / _pairs(frames), np.float32)


def autocorrelation_2d(image: FloatArray, intervals: int, circular: bool = False) -> FloatArray:
    """Mean over t of the sum over p of image[t, p] * image[t + lag, p + i]: (f, p) to (f, columns).

    Rows are lags, columns i = -intervals ... intervals, or with `circular` i = 0 ... p - 1, modulo p. Transposing the
    image or delaying it changes nothing. Divided as in `cross_correlation`.
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
    return np.maximum(frames - np.arange(frames), 0.5 * frames).astype(np.float32)[:, None]


def k_weighting(frequency: FloatArray) -> FloatArray:
    """Power gain of the K-weighting filter at `frequency` Hz, same shape.

    ITU-R BS.1770-4, Annex 1, tables 1 and 2: the two stages at 48 kHz, evaluated on the unit circle.
    """
    z = np.exp(-2j * np.pi * np.asarray(frequency, np.float64) / 48000.0)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1.0 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1.0 - 2.0 * z + z**2) / (1.0 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return np.asarray(np.square(np.abs(shelf * high_pass)), np.float64)


def gated_loudness(energy: FloatArray, period: float) -> float | None:
    """Integrated loudness in LUFS of K-weighted mean squares (f,), one every `period` seconds.

    None where nothing passes the gates.
    ITU-R BS.1770-4, Annex 1, eq. 2 to 7: blocks of 0.4 s every 0.1 s, absolute gate -70 LUFS, relative gate
    10 LU below the mean of what is left. Sound shorter than a block counts as one block.
    """
    if len(energy) == 0:
        return None
    total = np.concatenate([[0.0], np.cumsum(energy, dtype=np.float64)])
    seconds = len(energy) * period
    starts = np.arange(0.0, max(seconds - 0.4, 0.0) + 1e-9, 0.1)
    ends = np.minimum(starts + 0.4, seconds)
    grid = np.arange(len(total)) * period
    blocks = (np.interp(ends, grid, total) - np.interp(starts, grid, total)) * period / (ends - starts)
    blocks = blocks[blocks > 10.0 ** ((-70.0 + 0.691) / 10.0)]
    if len(blocks) == 0:
        return None
    blocks = blocks[blocks > 0.1 * blocks.mean()]
    return float(-0.691 + 10.0 * np.log10(blocks.mean()))
