"""Mel frames of a stream, as pretrained networks take them, and the rows of windows from such a network.

Frame k is centred on sample `k * hop`. The stream is continued by reflection at both ends, as librosa and `torch.stft`
do by default. Memory grows by the size of the stored frames alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy  # loads scipy.fft on first use: models open without it

from soundalike.audio.dsp import rechunk
from soundalike.backbones.analysis.spectra import FrameList
from soundalike.backbones.base import Features, WindowGrid, window_bounds
from soundalike.core.types import AnyArray, Descriptors, FloatArray

__all__ = [
    "Levels",
    "MelFrames",
    "MelSettings",
    "embed_windows",
    "htk_mel_matrix",
    "kaldi_mel_matrix",
    "mel_frames",
    "mel_triangles",
    "slaney_mel_edges",
    "slaney_mel_matrix",
]

_SILENT = 1e-7  # mean square below which a window is silent: -70 dBFS
_HOPS = 320  # hops per piece that is processed at a time
_BATCH = 64  # frames per Fourier transform: they fit into the CPU cache


@dataclass(frozen=True, slots=True)
class Levels:
    """Evenly spaced levels that store values in two bytes, with errors of at most (high - low) / 131,070.

    Attributes:
        low: The smallest value; smaller ones are stored as this one.
        high: The largest value; larger ones are stored as this one.

    Example:
        >>> levels = Levels(0.0, 65535.0)
        >>> levels.decode(levels.encode(np.array([-3.0, 7.4]))).tolist()
        [0.0, 7.0]
    """

    low: float
    high: float

    def encode(self, values: FloatArray) -> AnyArray:
        """Return `values` of any shape as uint16."""
        scaled = (values - self.low) * (65535.0 / (self.high - self.low))
        return np.clip(np.rint(scaled), 0, 65535).astype(np.uint16)

    def decode(self, stored: AnyArray) -> FloatArray:
        """Return stored values of any shape as float32."""
        return np.asarray(stored * ((self.high - self.low) / 65535.0) + self.low, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class MelSettings:
    """How the frames of a network are computed.

    Attributes:
        rate: Sample rate in Hz.
        window: (size,) window of a frame; `size` is the length of the Fourier transform.
        hop: Samples between frames, at most half of `size`.
        matrix: (size // 2 + 1, m) from power spectra to bands.
        store: Returns what is kept of frames (f, m) of power.
        preemphasis: c in y[t] = x[t + 1] - c x[t], which is applied first and drops one sample; 0 leaves it out.
    """

    rate: int
    window: FloatArray
    hop: int
    matrix: FloatArray
    store: Callable[[FloatArray], AnyArray]
    preemphasis: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class MelFrames:
    """The frames of a stream.

    Attributes:
        frames: (f, m) stored frames.
        variances: (h,) float32 variance of the samples of each hop.
        rate: Frames per second.
        duration: Length of the stream in seconds.
    """

    frames: AnyArray
    variances: FloatArray
    rate: float
    duration: float

    def between(self, start: float, end: float) -> AnyArray:
        """Return the frames centred from `start` to `end` seconds, both included; at least one if there are any."""
        first = min(int(np.ceil(start * self.rate - 1e-6)), max(len(self.frames) - 1, 0))
        return self.frames[first : max(int(np.floor(end * self.rate + 1e-6)), first) + 1]

    def silent(self, start: float, end: float) -> bool:
        """Whether the window from `start` to `end` seconds contains no sound above -70 dBFS, or no frame."""
        first = min(int(start * self.rate), max(len(self.variances) - 1, 0))
        inside = self.variances[first : max(int(np.ceil(end * self.rate - 1e-6)), first + 1)]
        return not len(self.frames) or not len(inside) or float(inside.mean()) < _SILENT


def mel_frames(blocks: Iterable[FloatArray], settings: MelSettings) -> MelFrames:
    """Compute the frames of a stream.

    Args:
        blocks: Mono (t,) float32 blocks of any lengths, read once.
        settings: How frames are computed.

    Returns:
        1 + n // hop frames, where n counts the samples after pre-emphasis; none if n is 0.

    Example:
        >>> mel_frames([np.zeros(48_000, np.float32)], settings).frames.shape
        (101, 64)
    """
    stream, frames, variances, count = _FrameStream(settings), FrameList(), FrameList(), 0
    for piece in rechunk(blocks, _HOPS * settings.hop):
        count += len(piece)
        variances.append(_hop_variances(piece, settings.hop))
        frames.append(stream.push(piece))
    frames.append(stream.finish())
    return MelFrames(
        frames.joined(), variances.joined().astype(np.float32), settings.rate / settings.hop, count / settings.rate
    )


class _FrameStream:
    """Computes frames from pieces; each piece but the last is much longer than a frame."""

    def __init__(self, settings: MelSettings) -> None:
        self._settings = settings
        self._half = len(settings.window) // 2
        self._held: FloatArray = np.zeros(0)
        self._tail: FloatArray = np.zeros(0)
        self._last: FloatArray = np.zeros(0)  # the last sample before pre-emphasis

    def push(self, piece: FloatArray) -> AnyArray:
        """Add samples (t,) and return the frames that they complete."""
        samples: FloatArray = piece.astype(np.float64)
        if self._settings.preemphasis:
            joined = np.concatenate([self._last, samples])
            self._last, samples = joined[-1:], joined[1:] - self._settings.preemphasis * joined[:-1]
        if not len(samples):
            return self._frames(samples)
        extended = samples if len(self._tail) else np.pad(samples, (self._half, 0), mode="reflect")
        self._tail = np.concatenate([self._tail, samples])[-self._half - 1 :]
        return self._frames(np.concatenate([self._held, extended]))

    def finish(self) -> AnyArray:
        """Return the last frames."""
        if not len(self._tail):
            return self._frames(self._held)
        end = np.pad(self._tail, (0, self._half), mode="reflect")[len(self._tail) :]
        return self._frames(np.concatenate([self._held, end]))

    def _frames(self, samples: FloatArray) -> AnyArray:
        """Return the complete frames of `samples`, and hold the rest."""
        settings = self._settings
        size, hop = len(settings.window), settings.hop
        count = max(0, (len(samples) - size) // hop + 1)
        self._held = samples[count * hop :].copy()
        if not count:
            return settings.store(np.zeros((0, settings.matrix.shape[1])))
        view = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop][:count]
        parts = []
        for start in range(0, count, _BATCH):
            spectrum = scipy.fft.rfft(view[start : start + _BATCH] * settings.window)
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            parts.append(settings.store(power @ settings.matrix))
        return np.concatenate(parts)


def _hop_variances(piece: FloatArray, hop: int) -> FloatArray:
    """Return the variance of the samples of each hop of a piece (t,); the last hop may be shorter."""
    whole = len(piece) // hop * hop
    variances = piece[:whole].reshape(-1, hop).var(axis=1, dtype=np.float64)
    if whole < len(piece):
        variances = np.append(variances, piece[whole:].var(dtype=np.float64))
    return np.asarray(variances, np.float32)


def embed_windows(
    frames: MelFrames,
    grid: WindowGrid,
    feature: str,
    dim: int,
    prepare: Callable[[AnyArray], list[AnyArray]],
    network: Callable[[AnyArray], FloatArray],
    *,
    batch: int = 8,
) -> Features:
    """Embed every audible window: its row is the mean of the embeddings of its patches.

    Args:
        frames: The frames of the stream.
        grid: Called with the duration. Returns the windows.
        feature: Name of the feature.
        dim: Size D of an embedding.
        prepare: Divides the frames (f, m) of one window, f at least 1, into patches (p, m).
        network: Embeds a batch of equally long patches (n, p, m) as (n, D).
        batch: Most patches in one call of `network`.

    Returns:
        The features. Windows at or below -70 dBFS are inaudible.
    """
    windows = window_bounds(grid, frames.duration)
    audible = np.array([not frames.silent(start, end) for start, end in windows], np.bool_)
    rows = np.zeros((len(windows), dim), np.float32)
    counts = np.zeros(len(windows), np.int64)
    pending: list[tuple[int, AnyArray]] = []

    def flush() -> None:
        if pending:
            for (index, _), row in zip(pending, network(np.stack([patch for _, patch in pending])), strict=True):
                rows[index] += row
            pending.clear()

    for index in np.flatnonzero(audible).tolist():
        patches = prepare(frames.between(*windows[index]))
        for patch in patches:
            if len(pending) == batch or (pending and pending[0][1].shape != patch.shape):
                flush()
            pending.append((index, patch))
        counts[index] = len(patches)
    flush()
    rows /= np.maximum(counts, 1)[:, None]
    return Features(windows, {feature: rows}, {feature: audible}, Descriptors(), frames.duration)


def kaldi_mel_matrix(size: int, rate: int, bands: int, low: float, high: float) -> FloatArray:
    """Return the mel filters of Kaldi: triangles of peak 1 that are straight in mel 1127 ln(1 + f / 700).

    The bin at half the sample rate belongs to no filter.

    Args:
        size: FFT size.
        rate: Sample rate in Hz.
        bands: Number of bands.
        low: Lower edge of the first band in Hz.
        high: Upper edge of the last band in Hz.

    Returns:
        (size // 2 + 1, bands) float64.

    Example:
        >>> kaldi_mel_matrix(1024, 32_000, 128, 0.0, 15_000.0).shape
        (513, 128)
    """
    edges = np.linspace(_htk_mel(np.array(low)), _htk_mel(np.array(high)), bands + 2)
    matrix = mel_triangles(_htk_mel(np.arange(size // 2 + 1) * rate / size), edges)
    matrix[-1] = 0.0
    return matrix


def htk_mel_matrix(size: int, rate: int, bands: int) -> FloatArray:
    """Return the mel filters of torchaudio's default: triangles of peak 1 that are straight in Hz, on HTK's mel scale.

    The bands reach from 0 to half the sample rate.

    Args:
        size: FFT size.
        rate: Sample rate in Hz.
        bands: Number of bands.

    Returns:
        (size // 2 + 1, bands) float64.

    Example:
        >>> htk_mel_matrix(2048, 24_000, 128).shape
        (1025, 128)
    """
    mels = np.linspace(0.0, _htk_mel(np.array(rate / 2)), bands + 2)
    return mel_triangles(np.arange(size // 2 + 1) * rate / size, 700.0 * np.expm1(mels / 1127.0))


def slaney_mel_matrix(size: int, rate: int, bands: int, low: float, high: float) -> FloatArray:
    """Return the mel filters of librosa's default: triangles of unit area on Slaney's mel scale.

    The scale is linear below 1 kHz and logarithmic above (Slaney, Auditory Toolbox, 1998).

    Args:
        size: FFT size.
        rate: Sample rate in Hz.
        bands: Number of bands.
        low: Lower edge of the first band in Hz.
        high: Upper edge of the last band in Hz.

    Returns:
        (size // 2 + 1, bands) float64.

    Example:
        >>> slaney_mel_matrix(512, 16_000, 96, 0.0, 8_000.0).shape
        (257, 96)
    """
    edges = slaney_mel_edges(bands, low, high)
    filters = mel_triangles(np.arange(size // 2 + 1) * rate / size, edges)
    return np.asarray(filters * 2.0 / (edges[2:] - edges[:-2]))


def slaney_mel_edges(bands: int, low: float, high: float) -> FloatArray:
    """Return the edges and peaks of bands that are equally wide on Slaney's mel scale: (bands + 2,) in Hz.

    Example:
        >>> slaney_mel_edges(1, 0.0, 1000.0).tolist()
        [0.0, 500.0, 1000.0]
    """
    mels = np.linspace(_slaney_mel(low), _slaney_mel(high), bands + 2)
    return np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp((mels - 15.0) * np.log(6.4) / 27.0))


def mel_triangles(points: FloatArray, edges: FloatArray) -> FloatArray:
    """Return triangles of peak 1 between every three neighbouring edges (b + 2,), at points (n,): (n, b).

    Example:
        >>> mel_triangles(np.array([0.5, 1.0]), np.array([0.0, 1.0, 2.0])).tolist()
        [[0.5], [1.0]]
    """
    at = points[:, None]
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def _htk_mel(frequency: FloatArray) -> FloatArray:
    return np.asarray(1127.0 * np.log1p(frequency / 700.0))


def _slaney_mel(frequency: float) -> float:
    """Return a frequency in Hz on Slaney's mel scale: 3 / 200 mel per Hz below 1 kHz, 27 mel per factor 6.4 above."""
    return (
        frequency * 3.0 / 200.0 if frequency < 1000.0 else 15.0 + 27.0 * float(np.log(frequency / 1000.0) / np.log(6.4))
    )
