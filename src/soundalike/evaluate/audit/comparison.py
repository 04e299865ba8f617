"""Comparisons of analysed clips: the similarity of two clips, and the accuracy of an analysis.

Only `score_transcription` reads the performance, which is the ground truth. f frames of 10 ms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.evaluate.audit.analysis import HOP, SHORTEST, TRIAD_ROOTS, ClipAnalysis, Source
from soundalike.render.score import Clip, Performance

__all__ = ["PairScores", "TranscriptionScores", "compare_clips", "score_transcription"]


@dataclass(frozen=True, slots=True)
class PairScores:
    """Similarities of two clips, 0 to 1; NaN if one clip lacks the part or the clips do not overlap."""

    melody: float
    rhythm: float
    timbre: float
    harmony: float


@dataclass(frozen=True, slots=True)
class TranscriptionScores:
    """Accuracy of an analysis against the performance, 0 to 1; NaN if the part does not play.

    Attributes:
        pitch: Raw pitch accuracy of the lead.
        chroma: Raw chroma accuracy of the lead.
        onsets: F-measure of the drum strokes.
        chords: Share of time with the right triad (majmin of mir_eval, which ignores other kinds of chord).
    """

    pitch: float
    chroma: float
    onsets: float
    chords: float


def compare_clips(a: ClipAnalysis, b: ClipAnalysis, source: Source = "stems") -> PairScores:
    """Compare two clips in the beats of the music that they have in common.

    - melody: raw chroma accuracy of the pitch of `b`, transposed to the tonic of `a`, with `a` as the reference
    - rhythm: F-measure of onsets with a tolerance of 50 ms in the time of `a`, averaged over the bands with onsets
    - harmony: share of time with the same triad relative to the tonic
    - timbre: exp(-distance / 60 dB), averaged over the roles that both clips have; the distance is Euclidean, over mean
      and standard deviation of the MFCCs

    Args:
        a: The first clip, the reference.
        b: The second clip.
        source: Whether to compare the stems or the mixes.

    Example:
        >>> similarity = compare_clips(analyse(clip, scene), analyse(other_clip, other_scene)).melody
    """
    ours, theirs = a.sources[source], b.sources[source]
    stretch = b.tempo / a.tempo  # seconds of a per second of b
    shift = (b.offset - a.offset) * 60.0 / a.tempo  # the start of b in the time of a
    start, end = max(0.0, shift), min(a.seconds, shift + b.seconds * stretch)
    melody = rhythm = harmony = math.nan
    if end - start >= SHORTEST:
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
    shared = [role for role in ours.timbre if role in theirs.timbre]
    distances = [np.linalg.norm(ours.timbre[role] - theirs.timbre[role]) for role in shared]
    timbre = float(np.mean([math.exp(-distance / 60.0) for distance in distances])) if distances else math.nan
    return PairScores(melody, rhythm, timbre, harmony)


def score_transcription(clip: Clip, analysis: ClipAnalysis, source: Source = "stems") -> TranscriptionScores:
    """Compare the analysis of a clip with its performance, the ground truth.

    Args:
        clip: The clip with its performance.
        analysis: The result of `analyse` for this clip.
        source: Whether to score the analysis of the stems or of the mix.
    """
    transcript, played = analysis.sources[source], clip.performance
    pitch = chroma = onsets = chords = math.nan
    if transcript.pitch is not None:
        reference = _played_pitch(played, len(transcript.pitch))
        pitch = _pitch_accuracy(reference, transcript.pitch, fold_octaves=False)
        chroma = _pitch_accuracy(reference, transcript.pitch, fold_octaves=True)
    if transcript.onsets is not None:
        strokes = _distinct(np.array([stroke.start for stroke in played.parts.get("drums", ())]))
        onsets = _onset_agreement([strokes], [_distinct(np.concatenate(transcript.onsets))], 0.0, analysis.seconds)
    if transcript.chords is not None and played.chords:
        intervals = np.array([(chord.start, chord.end) for chord in played.chords])
        labels = [f"{TRIAD_ROOTS[chord.root]}:{chord.kind}" for chord in played.chords]
        estimate = transcript.chords.intervals, transcript.chords.labels()
        chords = _chord_agreement(intervals, labels, *estimate, 0.0, analysis.seconds)
    return TranscriptionScores(pitch, chroma, onsets, chords)


def _pitch_accuracy(reference: FloatArray, estimate: FloatArray, *, fold_octaves: bool) -> float:
    """Raw pitch or raw chroma accuracy of MIDI pitch (f,) within 50 cents; NaN if the reference is unvoiced."""
    from mir_eval import melody

    voiced, found = ~np.isnan(reference), ~np.isnan(estimate)
    if not voiced.any() or not found.any():
        return 0.0 if voiced.any() else math.nan
    measure = melody.raw_chroma_accuracy if fold_octaves else melody.raw_pitch_accuracy
    # Shifted up by ten octaves, because mir_eval treats 0 cents as unvoiced.
    cents = [100.0 * np.nan_to_num(pitch + 120.0) for pitch in (reference, estimate)]
    return float(measure(voiced.astype(float), cents[0], found.astype(float), cents[1]))


def _onset_agreement(ours: Sequence[FloatArray], theirs: Sequence[FloatArray], start: float, end: float) -> float:
    """Mean F-measure, from `start` to `end` seconds, over the bands with an onset in either; NaN if there is none."""
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
    reference: FloatArray, labels: list[str], estimate: FloatArray, estimated: list[str], start: float, end: float
) -> float:
    """Share of the time from `start` to `end` with the same major or minor triad; NaN if the reference has none.

    The intervals of the reference have `labels`, those of the estimate have the labels `estimated`.
    """
    from mir_eval import chord, util

    reference, labels = util.adjust_intervals(reference, labels, start, end, "N", "N")
    estimate, estimated = util.adjust_intervals(estimate, estimated, start, end, "N", "N")
    pieces, labels, estimated = util.merge_labeled_intervals(reference, labels, estimate, estimated)
    same = chord.majmin(labels, estimated)
    if not (same >= 0).any():  # -1: the reference is neither major nor minor
        return math.nan
    return float(chord.weighted_accuracy(same, util.intervals_to_durations(pieces)))


def _played_pitch(played: Performance, frames: int) -> FloatArray:
    """MIDI pitch (f,) of the lead; where notes overlap, the later one counts."""
    pitch = np.full(frames, np.nan)
    for note in sorted(played.parts.get("lead", ()), key=lambda note: note.start):
        pitch[math.ceil(note.start / HOP) : math.ceil(note.end / HOP)] = note.note
    return pitch


def _distinct(times: FloatArray) -> FloatArray:
    """Sorted times (n,) without those less than 30 ms after another, which are heard as one stroke."""
    times = np.sort(times)
    return times[np.diff(times, prepend=-np.inf) > 0.03]
