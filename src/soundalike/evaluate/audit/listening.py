"""The audit's ears: what is heard in a clip's audio, how alike two clips are by it, and whether it is the truth.

Only audio is listened to. A scene says how seconds relate to beats and where the tonic is, nothing else; the
performance is looked at by `check_truth` alone. f frames of 10 ms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from soundalike.core.errors import AudioError
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score import PULSE, Clip, Performance, Scene

__all__ = [
    "HOP",
    "ClipAnalysis",
    "PairScores",
    "Source",
    "Transcript",
    "Triads",
    "TruthScores",
    "alike",
    "analyse",
    "check_truth",
]

Source: TypeAlias = Literal["stems", "mix"]

HOP = 0.01  # seconds between frames

_DRUM_BANDS = ((40.0, 160.0), (250.0, 2500.0), (5000.0, 12000.0))  # Hz: kick, snare, cymbals
_RATE = 25600  # at which everything is heard: a frame is then 256 samples
_STEP = round(HOP * _RATE)
_PER_OCTAVE = 36  # bands of spectra on a logarithmic axis, three a semitone
_SHORTEST = 0.5  # seconds: less has nothing to compare
_QUIET = 1e-4  # in power, of the loudest frame: below it nobody plays

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")

# YIN, in samples, Hz, and the normalised difference: a dip below `_PERIODIC`, or about as deep as the deepest, is a
# period; with no dip below `_VOICED` there is no pitch.
_PITCH_WINDOW, _LOWEST, _HIGHEST = 1024, 60.0, 2300.0
_PERIODIC, _AS_DEEP, _VOICED = 0.15, 0.15, 0.5

# In units of the cosine between chroma and template: what a change of chord costs, so that a passing note is none, what
# a seventh costs, for overtones resemble one, and what silence scores.
_CHANGE, _SEVENTH, _SILENCE = 0.15, 0.05, 0.45


@dataclass(frozen=True, slots=True, eq=False)
class Triads:
    """Chords one after the other: `intervals` (n, 2) seconds; `numbers` (n,), 0 to 11 the major triads from C up, 12
    to 23 the minor ones, 24 no chord.
    """

    intervals: FloatArray
    numbers: IntArray

    def labels(self, semitones: int = 0) -> list[str]:
        """Labels in Harte's syntax, transposed."""
        names = [f"{_NAMES[(n + semitones) % 12]}:{'maj' if n < 12 else 'min'}" for n in range(24)]
        return [(*names, "N")[n] for n in self.numbers]


@dataclass(frozen=True, slots=True, eq=False)
class Transcript:
    """What is heard in one source; None or no entry for what nobody plays.

    `pitch` (f,) MIDI pitch of the lead, NaN where unvoiced; `onsets` of the drums, (n,) seconds in a low, a middle
    and a high band; `chords` of comping and bass; `timbre` (24,) by role, or under "mix": weighted mean and spread of
    MFCCs 1 to 12, in dB.
    """

    pitch: FloatArray | None
    onsets: tuple[FloatArray, ...] | None
    chords: Triads | None
    timbre: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class ClipAnalysis:
    """What is heard in a clip of `seconds`, by source, and the scene's clock and tonic.

    `offset` beats of music come before the clip, `tempo` is in quarter notes a minute, `key` in semitones above C.
    """

    seconds: float
    offset: float
    tempo: float
    key: int
    sources: Mapping[Source, Transcript]


@dataclass(frozen=True, slots=True)
class PairScores:
    """How alike two clips are, each 0 to 1; NaN where one of them lacks the part or nothing of it overlaps."""

    melody: float
    rhythm: float
    timbre: float
    harmony: float


@dataclass(frozen=True, slots=True)
class TruthScores:
    """What is heard against what is played, each 0 to 1; NaN where nobody plays the part.

    `pitch` and `chroma` are the raw pitch and raw chroma accuracy of the lead, `onsets` the F-measure of the drums'
    strokes, `chords` the share of time with the right triad (mir_eval's majmin: other kinds of chord do not count).
    """

    pitch: float
    chroma: float
    onsets: float
    chords: float


def analyse(clip: Clip, scene: Scene) -> ClipAnalysis:
    """Listen to a clip: pitch, onsets, chords and timbre, from its stems and from its mix.

    In the mix, the lead is what stands out (a harmonic sum), and the mix itself has one timbre. Raises AudioError if
    the clip is shorter than half a second.
    """
    import soxr

    seconds = len(clip.samples) / clip.rate
    if seconds < _SHORTEST:
        raise AudioError(f"the clip is {seconds:.2f} s long, expected at least {_SHORTEST} s; render it longer")
    mix = soxr.resample(clip.samples, clip.rate, _RATE)
    stems = {role: soxr.resample(samples, clip.rate, _RATE) for role, samples in clip.stems.items()}
    backing = [stems[role] for role in ("comp", "bass") if role in stems]
    edges = _pulses(scene, seconds)
    own = Transcript(
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
    return ClipAnalysis(seconds, scene.offset, scene.tempo, scene.key, {"stems": own, "mix": mixed})


def alike(a: ClipAnalysis, b: ClipAnalysis, source: Source = "stems") -> PairScores:
    """How alike two clips are where both sound on the musical clock: the same beat is the same place in the music.

    melody: raw chroma accuracy of b's pitch, moved to a's tonic, with a's as the reference. rhythm: F-measure of
    onsets within 50 ms of a's time, the mean over the bands in which either has any. harmony: share of time with the
    same triad above the tonic. timbre: exp(-distance / 60 dB), the distance being Euclidean over mean and spread of
    the MFCCs; the mean over the roles that both have.
    """
    ours, theirs = a.sources[source], b.sources[source]
    stretch = b.tempo / a.tempo  # a's seconds in one of b's
    shift = (b.offset - a.offset) * 60.0 / a.tempo  # b's start on a's clock
    start, end = max(0.0, shift), min(a.seconds, shift + b.seconds * stretch)
    melody = rhythm = harmony = math.nan
    if end - start >= _SHORTEST:
        if ours.pitch is not None and theirs.pitch is not None:
            frames = np.arange(math.ceil(start / HOP), min(int(end / HOP), len(ours.pitch)))
            at = np.clip(np.round((frames - shift / HOP) / stretch).astype(int), 0, len(theirs.pitch) - 1)
            melody = _pitch_accuracy(ours.pitch[frames], theirs.pitch[at] + (a.key - b.key), fold_octaves=True)
        if ours.onsets is not None and theirs.onsets is not None:
            rhythm = _onset_agreement(ours.onsets, [x * stretch + shift for x in theirs.onsets], start, end)
        if ours.chords is not None and theirs.chords is not None:
            reference = ours.chords.intervals, ours.chords.labels()
            estimate = theirs.chords.intervals * stretch + shift, theirs.chords.labels(a.key - b.key)
            harmony = _chord_agreement(*reference, *estimate, start, end)
    both = [role for role in ours.timbre if role in theirs.timbre]
    distances = [np.linalg.norm(ours.timbre[role] - theirs.timbre[role]) for role in both]
    timbre = float(np.mean([math.exp(-distance / 60.0) for distance in distances])) if distances else math.nan
    return PairScores(melody, rhythm, timbre, harmony)


def check_truth(clip: Clip, heard: ClipAnalysis, source: Source = "stems") -> TruthScores:
    """What `hear` heard of this clip against its performance."""
    transcript, played = heard.sources[source], clip.performance
    pitch = chroma = onsets = chords = math.nan
    if transcript.pitch is not None:
        truth = _played_pitch(played, len(transcript.pitch))
        pitch = _pitch_accuracy(truth, transcript.pitch, fold_octaves=False)
        chroma = _pitch_accuracy(truth, transcript.pitch, fold_octaves=True)
    if transcript.onsets is not None:
        strokes = _distinct(np.array([stroke.start for stroke in played.parts.get("drums", ())]))
        onsets = _onset_agreement([strokes], [_distinct(np.concatenate(transcript.onsets))], 0.0, heard.seconds)
    if transcript.chords is not None and played.chords:
        intervals = np.array([(chord.start, chord.end) for chord in played.chords])
        labels = [f"{_NAMES[chord.root]}:{chord.kind}" for chord in played.chords]
        estimate = transcript.chords.intervals, transcript.chords.labels()
        chords = _chord_agreement(intervals, labels, *estimate, 0.0, heard.seconds)
    return TruthScores(pitch, chroma, onsets, chords)


def _pitch_accuracy(reference: FloatArray, estimate: FloatArray, *, fold_octaves: bool) -> float:
    """Raw pitch or raw chroma accuracy of MIDI pitch (f,) within 50 cents; NaN where the reference never sounds."""
    from mir_eval import melody

    voiced, found = ~np.isnan(reference), ~np.isnan(estimate)
    if not voiced.any() or not found.any():
        return 0.0 if voiced.any() else math.nan
    measure = melody.raw_chroma_accuracy if fold_octaves else melody.raw_pitch_accuracy
    # Cents from far below, for mir_eval takes 0 as unvoiced.
    cents = [100.0 * np.nan_to_num(pitch + 120.0) for pitch in (reference, estimate)]
    return float(measure(voiced.astype(float), cents[0], found.astype(float), cents[1]))


def _onset_agreement(ours: Sequence[FloatArray], theirs: Sequence[FloatArray], start: float, end: float) -> float:
    """Mean F-measure, from `start` to `end` seconds, over the bands in which either has an onset; NaN if none has."""
    from mir_eval import onset

    scores = []
    for pair in zip(ours, theirs, strict=True):
        first, second = (times[(times >= start) & (times < end)] for times in pair)
        if len(first) and len(second):
            scores.append(onset.f_measure(first, second, window=0.05)[0])
        elif len(first) or len(second):
            scores.append(0.0)
    return float(np.mean(scores)) if scores else math.nan


def _chord_agreement(
    reference: FloatArray, labels: list[str], estimate: FloatArray, heard: list[str], start: float, end: float
) -> float:
    """Share of the time from `start` to `end` with the same major or minor triad; NaN if the reference has none."""
    from mir_eval import chord, util

    reference, labels = util.adjust_intervals(reference, labels, start, end, "N", "N")
    estimate, heard = util.adjust_intervals(estimate, heard, start, end, "N", "N")
    pieces, labels, heard = util.merge_labeled_intervals(reference, labels, estimate, heard)
    same = chord.majmin(labels, heard)
    if not (same >= 0).any():  # -1: the reference is neither major nor minor there
        return math.nan
    return float(chord.weighted_accuracy(same, util.intervals_to_durations(pieces)))


def _played_pitch(played: Performance, frames: int) -> FloatArray:
    """The lead's MIDI pitch (f,); where notes overlap, the later one."""
    pitch = np.full(frames, np.nan)
    for note in sorted(played.parts.get("lead", ()), key=lambda note: note.start):
        pitch[math.ceil(note.start / HOP) : math.ceil(note.end / HOP)] = note.note
    return pitch


def _distinct(times: FloatArray) -> FloatArray:
    """Times (n,) in order, without those less than 30 ms after another: strokes that nobody hears apart."""
    times = np.sort(times)
    return times[np.diff(times, prepend=-np.inf) > 0.03]


def _pulses(scene: Scene, seconds: float) -> FloatArray:
    """Times (k,) of the clip's start, its pulses and its end."""
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
    """Magnitudes (f, octaves * _PER_OCTAVE) from `low` Hz up."""
    from soundalike.audio import log_frequency_matrix

    bands = log_frequency_matrix(size, _RATE, octaves * _PER_OCTAVE, low, _PER_OCTAVE)
    return np.sqrt(_power(samples, size, hop) @ bands)


def _pitch(samples: FloatArray) -> FloatArray:
    """MIDI pitch (f,) of a monophonic part, NaN where unvoiced, by YIN and a median over 50 ms.

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
    """MIDI pitch (f,) of what stands out of a mix: the strongest harmonic sum from A2 (45) up, over 90 ms."""
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
    """Onset times (n,) in each band: where log power rises clearly more than is usual around it."""
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
    """The likeliest triad, or none, between each two of the (k,) edges in seconds."""
    hop, octaves = 4 * _STEP, 4  # from C2, so that band 0 is C; above C6 there are mostly overtones
    # The bands on the notes alone: who plays is in tune, and so less of a neighbour leaks in.
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
    """The path (k,) through (k, states) of most score, where each change of state costs `_CHANGE` (Viterbi)."""
    total, came = scores[0], []
    for row in scores[1:]:
        best = int(total.argmax())
        came.append(np.where(total >= total[best] - _CHANGE, np.arange(len(total)), best))
        total = np.maximum(total, total[best] - _CHANGE) + row
    path = [int(total.argmax())]
    for back in reversed(came):
        path.append(int(back[path[-1]]))
    return np.array(path[::-1])


def _timbre(samples: FloatArray) -> FloatArray:
    """Mean and spread (24,) of MFCCs 1 to 12, in dB, over the frames that sound; zeros for silence.

    The n-th is weighted by the root of n: the fine ones vary less and tell instruments apart better.
    """
    from scipy.fft import dct

    from soundalike.audio import mel_matrix

    power = _power(samples, 1024, _STEP)
    level = power.sum(axis=1)
    sounding = power[level >= 0.01 * level.max()]
    bands = 10.0 * np.log10(sounding @ mel_matrix(1024, _RATE, 40, 100.0, 12000.0) + 1e-6 * sounding.max() + 1e-15)
    coefficients = dct(bands, axis=1, norm="ortho")[:, 1:13] * np.sqrt(np.arange(1, 13))
    return np.concatenate([coefficients.mean(axis=0), coefficients.std(axis=0)])
