"""How two passages line up: an exhaustive search over transposition, tempo ratio and offset.

For each tempo ratio the match is resampled to the tempo of the query. One two-dimensional circular correlation of the
two chroma sequences then scores every transposition and every offset (optimal transposition index, Serrà, Gómez,
Herrera and Serra, "Chroma binary similarity and local alignment applied to cover song identification", 2008). The
correlation of onset strengths is added; it decides alone where nothing has pitch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.fft

from soundalike.audio import MonoStream, dsp
from soundalike.backbones.analysis import descriptors
from soundalike.core.types import Alignment, FloatArray, Span

__all__ = ["AlignmentFrames", "align", "align_frames", "alignment_frames"]

_RATE = 22050
_HOP = 512
_PITCH_SIZE, _ONSET_SIZE = 4096, 1024
_RATIOS = np.exp(np.linspace(np.log(0.8), np.log(1.25), 91))
"""The tempo ratios to try: 0.8 to 1.25 in steps of 0.5 %."""
_LEAST_OVERLAP = 0.4
"""As a share of the shorter passage; with less overlap, anything lines up with anything."""


@dataclass(frozen=True, slots=True, eq=False)
class AlignmentFrames:
    """What a passage is aligned by, every 23 ms.

    Attributes:
        chroma: Pitch classes from A, (f, 12), with zero mean and unit energy per frame.
        onsets: Onset strength (f, m), likewise.
        profile: The share of each pitch class (12,) in the passage; zero without pitch.
    """

    chroma: FloatArray
    onsets: FloatArray
    profile: FloatArray


def align(query: Span, match: Span) -> Alignment | None:
    """Find how `match` lines up with `query`.

    Returns:
        The best alignment; None where neither recording has pitch or onsets to align by.

    Raises:
        AudioError: A recording cannot be read.

    Example:
        >>> align(Span("a.wav", 0, 10), Span("b.wav", 0, 10)).semitones
        3
    """
    return align_frames(alignment_frames(query), alignment_frames(match))


def align_frames(first: AlignmentFrames, second: AlignmentFrames, ratios: FloatArray = _RATIOS) -> Alignment | None:
    """Find how the frames of a match line up with those of a query; see `align`.

    Args:
        first: The frames of the query.
        second: The frames of the match.
        ratios: The tempo ratios to try, that of the match by that of the query.

    Example:
        >>> align_frames(alignment_frames(Span("a.wav", 0, 10)), alignment_frames(Span("b.wav", 0, 10))).semitones
        3
    """
    if not (first.chroma.any() and second.chroma.any()) and not (first.onsets.any() and second.onsets.any()):
        return None
    best = (-np.inf, 0, 1.0, 0.0)
    for ratio in ratios:
        paced = replace(second, chroma=_resample(second.chroma, ratio), onsets=_resample(second.onsets, ratio))
        table = _correlate(first, paced)
        shift, lag = divmod(int(table.argmax()), table.shape[1])
        if table[shift, lag] > best[0]:
            offset = (lag - (len(first.chroma) - 1)) * _HOP / _RATE / ratio
            best = (float(table[shift, lag]), shift, float(ratio), float(offset))
    agreement, shift, ratio, offset = best
    semitones = (shift + 6) % 12 - 6
    return Alignment(semitones, round(ratio, 3), round(offset, 2), round(min(max(agreement, -1.0), 1.0), 3))


def alignment_frames(span: Span) -> AlignmentFrames:
    """Compute what a passage is aligned by.

    Raises:
        AudioError: The recording cannot be read.

    Example:
        >>> alignment_frames(Span("a.wav", 0, 10)).chroma.shape
        (431, 12)
    """
    pitch, onset = dsp.SpectrumStream(_PITCH_SIZE, _HOP), dsp.SpectrumStream(_ONSET_SIZE, _HOP)
    stream = MonoStream(Path(span.track), _RATE, start=span.start, end=span.end)
    samples = np.concatenate(list(stream))
    fine = np.concatenate([pitch.push(samples), pitch.finish()])
    quick = np.concatenate([onset.push(samples), onset.finish()])
    bands = dsp.log_frequency_matrix(
        _PITCH_SIZE, _RATE, descriptors.PITCH_BANDS, descriptors.PITCH_LOW, descriptors.PER_OCTAVE
    )
    peaks = descriptors.pitch_peaks(np.sqrt(np.sqrt(fine) @ bands))
    offset = dsp.tuning(peaks, descriptors.PER_OCTAVE // 12)
    chroma = descriptors.chroma(peaks, offset)
    mel = dsp.mel_matrix(_ONSET_SIZE, _RATE, 12, 30.0, _RATE / 2)
    onsets = dsp.onset_strength(np.log(quick @ mel + 1e-7))
    total = chroma.sum(axis=0)
    return AlignmentFrames(_standard(chroma), _standard(onsets), total / max(float(total.sum()), 1e-9))


def _standard(frames: FloatArray) -> FloatArray:
    """Remove the mean of each column and scale to unit energy per frame; zero where nothing changes."""
    centred = frames - frames.mean(axis=0)
    energy = float(np.sqrt(np.mean(np.square(centred).sum(axis=1))))
    return (centred / energy).astype(np.float32) if energy > 1e-6 else np.zeros_like(centred)


def _resample(frames: FloatArray, ratio: float) -> FloatArray:
    """Slow (f, m) down by `ratio`, linearly: (round(f * ratio), m)."""
    count = max(1, round(len(frames) * ratio))
    at = np.minimum(np.arange(count) / ratio, len(frames) - 1)
    low = np.minimum(at.astype(int), max(len(frames) - 2, 0))
    part = (at - low)[:, None]
    return frames[low] * (1 - part) + frames[np.minimum(low + 1, len(frames) - 1)] * part


def _correlate(first: AlignmentFrames, second: AlignmentFrames) -> FloatArray:
    """(12, lags): mean agreement for each transposition of `second` and each lag -(f - 1) ... g - 1, in frames."""
    frames, others = len(first.chroma), len(second.chroma)
    size = scipy.fft.next_fast_len(frames + others - 1, real=True)
    pitch = scipy.fft.fft(scipy.fft.rfft(first.chroma, size, axis=0), axis=1).conj()
    pitch = pitch * scipy.fft.fft(scipy.fft.rfft(second.chroma, size, axis=0), axis=1)
    tones = scipy.fft.irfft(scipy.fft.ifft(pitch, axis=1), size, axis=0)
    beats = scipy.fft.rfft(first.onsets, size, axis=0).conj() * scipy.fft.rfft(second.onsets, size, axis=0)
    pulse = scipy.fft.irfft(beats.sum(axis=1), size, axis=0)
    lags = np.arange(-(frames - 1), others)
    present = [
        bool(one.any() and two.any()) for one, two in ((first.chroma, second.chroma), (first.onsets, second.onsets))
    ]
    total = (tones * present[0] + (pulse * present[1])[:, None]) / max(1, sum(present))
    overlap = np.minimum(frames, others - lags) - np.maximum(0, -lags)
    enough = overlap >= _LEAST_OVERLAP * min(frames, others)
    table = np.where(enough[:, None], total[lags % size] / np.maximum(overlap, 1)[:, None], -np.inf)
    # A mean over a long overlap counts for more than the same mean over a short one.
    return (table * np.where(enough, np.sqrt(overlap / min(frames, others)), 1.0)[:, None]).T
