"""Analysis of rendered clips from their audio: pitch, onsets, chords and timbre.

The analysis uses only audio. The scene contributes only how seconds map to beats, and the tonic. f frames of 10 ms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from soundalike.core.errors import AudioError
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score import PULSE, Clip, Scene

__all__ = ["HOP", "SHORTEST", "TRIAD_ROOTS", "ClipAnalysis", "Source", "Transcript", "Triads", "analyse"]

Source: TypeAlias = Literal["stems", "mix"]

HOP = 0.01  # seconds between frames
SHORTEST = 0.5  # seconds: the minimum for a comparison
TRIAD_ROOTS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

_DRUM_BANDS = ((40.0, 160.0), (250.0, 2500.0), (5000.0, 12000.0))  # Hz: kick, snare, cymbals
_RATE = 25600  # Hz, the sampling rate of the analysis: a frame is 256 samples
_STEP = round(HOP * _RATE)
_PER_OCTAVE = 36  # bands of log-frequency spectra, three per semitone
_QUIET = 1e-4  # power relative to the loudest frame, below which a frame is silent

# YIN: window in samples, range in Hz, and thresholds of the normalised difference. The period is the first dip below
# `_PERIODIC` or within `_AS_DEEP` of the deepest dip. A frame whose dip is above `_VOICED` is unvoiced.
_PITCH_WINDOW, _LOWEST, _HIGHEST = 1024, 60.0, 2300.0
_PERIODIC, _AS_DEEP, _VOICED = 0.15, 0.15, 0.5

# In units of the cosine between chroma and template: the cost of a change of chord, which ignores passing notes; the
# cost of a seventh, which overtones resemble; and the score of "no chord".
_CHANGE, _SEVENTH, _SILENCE = 0.15, 0.05, 0.45


@dataclass(frozen=True, slots=True, eq=False)
class Triads:
    """A sequence of chords.

    Attributes:
        intervals: Start and end in seconds, (n, 2).
        numbers: (n,); 0 to 11 are the major triads from C up, 12 to 23 the minor triads, and 24 is no chord.
    """

    intervals: FloatArray
    numbers: IntArray

    def labels(self, semitones: int = 0) -> list[str]:
        """Return the labels in Harte's syntax, transposed up by `semitones`."""
        names = [f"{TRIAD_ROOTS[(n + semitones) % 12]}:{'maj' if n < 12 else 'min'}" for n in range(24)]
        return [(*names, "N")[n] for n in self.numbers]


@dataclass(frozen=True, slots=True, eq=False)
class Transcript:
    """The analysis of one source. A part that does not play has None or no entry.

    Attributes:
        pitch: MIDI pitch of the lead, (f,); NaN where unvoiced.
        onsets: Onsets of the drums in a low, a middle and a high band, (n,) seconds each.
        chords: Chords of comping and bass.
        timbre: By role, or under "mix": weighted mean and standard deviation of MFCCs 1 to 12 in dB, (24,).
    """

    pitch: FloatArray | None
    onsets: tuple[FloatArray, ...] | None
    chords: Triads | None
    timbre: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class ClipAnalysis:
    """The analysis of a clip, and the tempo, position and tonic of its scene.

    Attributes:
        seconds: The duration of the clip.
        offset: Beats of the music before the clip starts.
        tempo: Quarter notes per minute.
        key: The tonic in semitones above C.
        sources: The analysis of the stems and of the mix.
    """

    seconds: float
    offset: float
    tempo: float
    key: int
    sources: Mapping[Source, Transcript]


def analyse(clip: Clip, scene: Scene) -> ClipAnalysis:
    """Extract pitch, onsets, chords and timbre from the stems and from the mix of a clip.

    In the mix, the pitch of the lead is the predominant pitch (by harmonic summation), and there is one timbre.

    Args:
        clip: The clip with its stems.
        scene: The scene of the clip; its tempo, offset, key and meter are used.

    Returns:
        The analysis.

    Raises:
        AudioError: The clip is shorter than half a second.

    Example:
        >>> pitch = analyse(clip, scene).sources["stems"].pitch
    """
    import soxr

    seconds = len(clip.samples) / clip.rate
    if seconds < SHORTEST:
        raise AudioError(f"the clip is {seconds:.2f} s long, expected at least {SHORTEST} s; render it longer")
    mix = soxr.resample(clip.samples, clip.rate, _RATE)
    stems = {role: soxr.resample(samples, clip.rate, _RATE) for role, samples in clip.stems.items()}
    backing = [stems[role] for role in ("comp", "bass") if role in stems]
    edges = _pulses(scene, seconds)
    separate = Transcript(
        pitch=_pitch(stems["lead"]) if "lead" in stems else None,
        onsets=_onsets(stems["drums"]) if "drums" in stems else None,
        chords=_chords(np.sum(backing, axis=0), edges) if backing else None,
        timbre={str(role): _timbre(samples) for role, samples in stems.items()},
    )
    mixed = Transcript(
        pitch=_predominant_pitch(mix) if "lead" in stems else None,
        onsets=_onsets(mix) if "drums" in stems else None,
        chords=_chords(mix, edges) if backing else None,
        timbre={"mix": _timbre(mix)},
    )
    return ClipAnalysis(seconds, scene.offset, scene.tempo, scene.key, {"stems": separate, "mix": mixed})


def _pulses(scene: Scene, seconds: float) -> FloatArray:
    """Times (k,) of the start of the clip, of its pulses, and of its end."""
    pulse = PULSE[scene.melody.meter]
    first, last = scene.offset / pulse, (scene.offset + seconds * scene.tempo / 60.0) / pulse
    times = (np.arange(math.ceil(first), math.ceil(last)) * pulse - scene.offset) * 60.0 / scene.tempo
    return np.array([0.0, *times[(times > 0.05) & (times < seconds - 0.05)], seconds])


def _power(samples: FloatArray, size: int, hop: int) -> FloatArray:
    """Power spectra (f, size // 2 + 1) float32."""
    from soundalike.audio import SpectrumStream

    stream = SpectrumStream(size, hop)
    return np.concatenate([stream.push(samples), stream.finish()])


def _log_spectrum(samples: FloatArray, size: int, hop: int, low: float, octaves: int) -> FloatArray:
    """Magnitudes (f, octaves * _PER_OCTAVE) of log-frequency bands from `low` Hz up."""
    from soundalike.audio import log_frequency_matrix

    bands = log_frequency_matrix(size, _RATE, octaves * _PER_OCTAVE, low, _PER_OCTAVE)
    return np.sqrt(_power(samples, size, hop) @ bands)


def _pitch(samples: FloatArray) -> FloatArray:
    """MIDI pitch (f,) of a monophonic part by YIN and a median filter of 50 ms; NaN where unvoiced.

    De Cheveigné and Kawahara, "YIN, a fundamental frequency estimator for speech and music", 2002, steps 1 to 5.
    """
    from scipy import fft, ndimage

    window, lags = _PITCH_WINDOW, int(_RATE / _LOWEST) + 2
    size = fft.next_fast_len(window + lags, real=True)
    padded = np.pad(samples, (window + lags) // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window + lags)[::_STEP]
    spectrum = fft.rfft(frames, size, axis=1) * fft.rfft(frames[:, :window], size, axis=1).conj()
    product = fft.irfft(spectrum, size, axis=1)[:, :lags]
    total = np.pad(np.cumsum(np.square(padded, dtype=np.float64)), (1, 0))
    starts = _STEP * np.arange(len(frames))[:, None] + np.arange(lags)
    energy = total[starts + window] - total[starts]
    difference = np.maximum(energy[:, :1] + energy - 2.0 * product, 0.0)
    usual = np.cumsum(difference, axis=1) / np.maximum(np.arange(lags), 1)
    normal = difference / np.maximum(usual, 1e-12)
    shortest = int(_RATE / _HIGHEST)
    middle = normal[:, shortest:-1]
    dips = (middle <= normal[:, shortest - 1 : -2]) & (middle < normal[:, shortest + 1 :])
    dips &= middle < np.maximum(_PERIODIC, middle.min(axis=1, keepdims=True) + _AS_DEEP)
    lag = np.where(dips.any(axis=1), dips.argmax(axis=1), middle.argmin(axis=1)) + shortest
    before, at, after = (normal[np.arange(len(normal)), lag + step] for step in (-1, 0, 1))
    curve = before - 2.0 * at + after
    exact = lag + np.clip(0.5 * (before - after) / np.where(curve > 1e-9, curve, np.inf), -0.5, 0.5)
    pitch = ndimage.median_filter(69.0 + 12.0 * np.log2(_RATE / exact / 440.0), 5)
    pitch[(at > _VOICED) | (energy[:, 0] <= _QUIET * energy[:, 0].max())] = np.nan
    return pitch


def _predominant_pitch(samples: FloatArray) -> FloatArray:
    """Predominant MIDI pitch (f,) of a mix: the largest harmonic sum from A2 (45) up, smoothed over 90 ms."""
    from scipy import ndimage

    from soundalike.audio import harmonic_sum, whiten

    spectrum = _log_spectrum(samples, 4096, _STEP, 110.0, 8)
    salience = harmonic_sum(whiten(np.log1p(1e3 * spectrum), 18), _PER_OCTAVE, 8, 0.8)[:, : 5 * _PER_OCTAVE]
    strongest = ndimage.uniform_filter1d(salience, 9, axis=0).argmax(axis=1)
    pitch = 45.0 + 12.0 / _PER_OCTAVE * ndimage.median_filter(strongest, 5)
    level = np.square(spectrum).sum(axis=1)
    pitch[level <= _QUIET * level.max()] = np.nan
    return pitch


def _onsets(samples: FloatArray) -> tuple[FloatArray, ...]:
    """Onset times (n,) in each band: peaks of the rise of log power that clearly exceed the local mean."""
    from scipy import ndimage

    from soundalike.audio import mel_matrix, onset_strength

    power, found = _power(samples, 1024, _STEP), []
    for low, high in _DRUM_BANDS:
        bands = power @ mel_matrix(1024, _RATE, max(3, round((high - low) / 500.0)), low, high)
        rise = onset_strength(np.log(bands + 1e-3 * bands.max() + 1e-12), lag=2).mean(axis=1)
        peaks = (rise == ndimage.maximum_filter1d(rise, 7)) & (rise > ndimage.uniform_filter1d(rise, 41) + 0.4)
        found.append(HOP * np.flatnonzero(peaks))
    return tuple(found)


def _chords(samples: FloatArray, edges: FloatArray) -> Triads:
    """The most likely triad, or none, in each interval between the (k,) edges in seconds."""
    hop, octaves = 4 * _STEP, 4  # C2 to C6: band 0 is C, and above C6 there are mostly overtones
    # Only the bands at the exact pitches. The parts are in tune, and this reduces leakage from neighbouring notes.
    semitones = _log_spectrum(samples, 8192, hop, 65.4, octaves)[:, :: _PER_OCTAVE // 12]
    frames = np.round(edges * _RATE / hop).astype(int)
    pieces = np.array([semitones[a : max(b, a + 1)].mean(axis=0) for a, b in itertools.pairwise(frames)])
    chroma = pieces.reshape(len(pieces), octaves, 12).sum(axis=1)
    norm = np.linalg.norm(chroma, axis=1, keepdims=True)
    chroma = np.where(norm > 0.02 * norm.max(), chroma / np.maximum(norm, 1e-12), 0.0)
    scores = (chroma @ _templates().T).reshape(len(pieces), 24, 3) - np.array([0.0, _SEVENTH, _SEVENTH])
    path = _likeliest(np.column_stack([scores.max(axis=2), np.full(len(pieces), _SILENCE)]))
    return Triads(np.column_stack([edges[:-1], edges[1:]]), path)


def _templates() -> FloatArray:
    """(72, 12) unit rows: the chroma of 12 major and 12 minor triads, each plain and with its two sevenths."""
    rows = np.zeros((24, 3, 12))
    for triad in range(24):
        root, third = triad % 12, 4 if triad < 12 else 3
        rows[triad][:, [root, (root + third) % 12, (root + 7) % 12]] = 1.0
        rows[triad][[1, 2], [(root + 10) % 12, (root + 11) % 12]] = 0.6
    return (rows / np.linalg.norm(rows, axis=2, keepdims=True)).reshape(72, 12)


def _likeliest(scores: FloatArray) -> IntArray:
    """The path (k,) of the highest total score through (k, states), with a cost `_CHANGE` per change (Viterbi)."""
    total, origins = scores[0], []
    for row in scores[1:]:
        best = int(total.argmax())
        origins.append(np.where(total >= total[best] - _CHANGE, np.arange(len(total)), best))
        total = np.maximum(total, total[best] - _CHANGE) + row
    path = [int(total.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1])


def _timbre(samples: FloatArray) -> FloatArray:
    """Mean and standard deviation (24,) of MFCCs 1 to 12, in dB, over the frames that are not silent; zeros if all are.

    The n-th is weighted by the square root of n, because higher coefficients vary less and separate instruments better.
    """
    from scipy.fft import dct

    from soundalike.audio import mel_matrix

    power = _power(samples, 1024, _STEP)
    level = power.sum(axis=1)
    sounding = power[level >= 0.01 * level.max()]
    bands = 10.0 * np.log10(sounding @ mel_matrix(1024, _RATE, 40, 100.0, 12000.0) + 1e-6 * sounding.max() + 1e-15)
    coefficients = dct(bands, axis=1, norm="ortho")[:, 1:13] * np.sqrt(np.arange(1, 13))
    return np.concatenate([coefficients.mean(axis=0), coefficients.std(axis=0)])
