"""Excerpts of melodies, thinned melodies, and the similarity of melodies, progressions and grooves.

Similarities are computed bar by bar on a grid of twelfths of a beat, which represents sixteenths and triplets. A loop
may start at any bar. All measures except `matching_passage` therefore use the rotation by whole bars with the highest
similarity. If the lengths differ, both loops repeat until they start together again.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score.music import BAR, PULSE, Groove, Melody, Progression
from soundalike.render.score.patterns import VOICES, voice

__all__ = ["chord_similarity", "excerpt", "groove_similarity", "matching_passage", "melody_similarity", "thin"]

_GRID = 12  # steps per beat
_REST = -1


def excerpt(melody: Melody, first_bar: int, bars: int) -> Melody:
    """Return consecutive bars of a melody as a new melody.

    Args:
        melody: The melody.
        first_bar: The index of the first bar, from 0.
        bars: The number of bars, at least 1.

    Returns:
        The notes that start in these bars. They end with the last bar at the latest.

    Raises:
        UsageError: The melody does not have these bars.

    Example:
        >>> excerpt(melody, first_bar=4, bars=4).beats
        16.0
    """
    bar = BAR[melody.meter]
    available = _bars(melody)
    if bars < 1 or first_bar < 0 or first_bar + bars > available:
        raise UsageError(
            f"{melody.name} has {available} bars, but {bars} from bar {first_bar} were requested; "
            "choose bars within the melody"
        )
    first, beats = first_bar * bar, bars * bar
    notes = tuple(
        replace(note, start=note.start - first, length=min(note.length, first + beats - note.start))
        for note in melody.notes
        if first <= note.start < first + beats
    )
    return replace(melody, beats=beats, notes=notes)


def thin(melody: Melody, rng: np.random.Generator) -> Melody:
    """Remove notes at random until the melody has a typical singing pace.

    Notes off the pulse are most likely to be removed, and the first note of a bar is least likely. The remaining notes
    are extended into the gaps, up to two beats.

    Args:
        melody: The melody.
        rng: The random generator.

    Returns:
        The thinned melody. It has at least one note if `melody` has any.

    Example:
        >>> len(thin(melody, np.random.default_rng(0)).notes) <= len(melody.notes)
        True
    """
    bar, pulse = BAR[melody.meter], PULSE[melody.meter]
    on_pulse, on_eighth, elsewhere = rng.uniform(0, 0.1), rng.uniform(0.3, 0.9), 0.9

    def is_removed(start: float) -> bool:
        position = start % pulse
        probability = on_pulse if position == 0 else on_eighth if position % 0.5 == 0 else elsewhere
        return bool(rng.random() < probability * (1.0 if start % bar else 0.3))

    remaining = [note for note in melody.notes if not is_removed(note.start)] or list(melody.notes[:1])
    ends = [*(note.start for note in remaining[1:]), melody.beats]
    hold = rng.uniform(0.75, 2.0)
    extended = tuple(
        replace(note, length=min(end - note.start, max(note.length, hold)))
        for note, end in zip(remaining, ends, strict=True)
    )
    return replace(melody, notes=extended)


def melody_similarity(a: Melody, b: Melody) -> float:
    """Return how similar two melodies are.

    Returns:
        The time in which both sound the same pitch class above the tonic, as a share of the time in which either
        sounds, 0 to 1. 0 if the meters differ.

    Example:
        >>> melody_similarity(melody, melody)
        1.0
    """
    if a.meter != b.meter:
        return 0.0
    same, sounding = _agreement(_pitch_classes(a), _pitch_classes(b))
    return float(_share(_rotation_sums(same), _rotation_sums(sounding)).max())


def chord_similarity(a: Progression, b: Progression) -> float:
    """Return the share of the time in which two progressions have the same root, 0 to 1. 0 if the meters differ.

    Example:
        >>> chord_similarity(progression, progression)
        1.0
    """
    if a.meter != b.meter:
        return 0.0
    same, sounding = _agreement(_roots(a), _roots(b))
    return float(_share(_rotation_sums(same), _rotation_sums(sounding)).max())


def groove_similarity(a: Groove, b: Groove) -> float:
    """Return how similar two grooves are.

    Returns:
        The mean F-measure of the onsets over the voices (low, snare, hat), 0 to 1. Onsets match if they are at most a
        twelfth of a beat apart. A voice without onsets in both grooves is ignored. 0 if the meters differ.

    Example:
        >>> groove_similarity(groove, groove)
        1.0
    """
    if a.meter != b.meter:
        return 0.0
    onsets_a, onsets_b = _onsets(a), _onsets(b)
    found_a, found_b = _pairs(onsets_a, _widened(onsets_b)), _pairs(_widened(onsets_a), onsets_b)
    all_a, all_b = _pairs(onsets_a, np.ones_like(onsets_b)), _pairs(np.ones_like(onsets_a), onsets_b)
    scores = []
    for k in range(len(VOICES)):
        if onsets_a[k].any() or onsets_b[k].any():
            precision = _share(_rotation_sums(found_a[k]), _rotation_sums(all_a[k]))
            recall = _share(_rotation_sums(found_b[k]), _rotation_sums(all_b[k]))
            scores.append(_share(2 * precision * recall, precision + recall))
    return float(np.mean(scores, axis=0).max()) if scores else 0.0


def matching_passage(melody: Melody, setting: Melody, bars: int) -> tuple[Melody, float]:
    """Find the passage of another setting that is most similar to a melody.

    The measure is that of `melody_similarity`, but without rotation: the passage must begin where the melody does.

    Args:
        melody: The melody to match.
        setting: The setting to search.
        bars: The length of the passage in bars.

    Returns:
        The passage, and its similarity from 0 to 1. If the meters differ or the setting is too short, the complete
        setting and 0.

    Example:
        >>> passage, similarity = matching_passage(melody, setting, bars=4)
    """
    last = _bars(setting) - bars
    if melody.meter != setting.meter or last < 0:
        return setting, 0.0
    same, sounding = _agreement(_pitch_classes(melody), _pitch_classes(setting))
    rows, columns = np.arange(bars) % _bars(melody), np.arange(last + 1)[:, None] + np.arange(bars)
    shares = _share(same[rows, columns].sum(axis=1), sounding[rows, columns].sum(axis=1))
    first = int(shares.argmax())
    return excerpt(setting, first, bars), float(shares[first])


def _bars(loop: Melody | Progression | Groove) -> int:
    """Return the number of complete bars."""
    return int(loop.beats / BAR[loop.meter] + 1e-6)


def _grid(loop: Melody | Progression | Groove) -> tuple[int, int]:
    """Return the shape of the grid: bars, steps per bar."""
    return _bars(loop), round(BAR[loop.meter] * _GRID)


def _pitch_classes(melody: Melody) -> IntArray:
    """Return the (bars, steps) pitch classes above the tonic, _REST in rests."""
    bars, steps = _grid(melody)
    cells = np.full(bars * steps, _REST)
    for note in melody.notes:
        cells[round(note.start * _GRID) : round((note.start + note.length) * _GRID)] = note.pitch % 12
    return cells.reshape(bars, steps)


def _roots(progression: Progression) -> IntArray:
    """Return the (bars, steps) roots in semitones above the tonic."""
    bars, steps = _grid(progression)
    cells = np.full(bars * steps, _REST)
    for chord in progression.chords:
        cells[round(chord.start * _GRID) : round((chord.start + chord.length) * _GRID)] = chord.root
    return cells.reshape(bars, steps)


def _onsets(groove: Groove) -> FloatArray:
    """Return the (voices, bars, steps) onsets, 0 or 1. A stroke just before the end of the loop counts as its start."""
    bars, steps = _grid(groove)
    cells = np.zeros((len(VOICES), bars * steps), np.float32)
    for hit in groove.hits:
        cells[VOICES.index(voice(hit.drum)), round(hit.start * _GRID) % (bars * steps)] = 1.0
    return cells.reshape(len(VOICES), bars, steps)


def _widened(onsets: FloatArray) -> FloatArray:
    """Return (voices, bars, steps) onsets extended by one step to either side."""
    loop = onsets.reshape(len(onsets), -1)
    wide = np.maximum(loop, np.maximum(np.roll(loop, 1, axis=1), np.roll(loop, -1, axis=1)))
    return wide.reshape(onsets.shape)


def _pairs(a: FloatArray, b: FloatArray) -> FloatArray:
    """Count the steps in which both have an onset: (voices, bars of a, bars of b)."""
    return a @ b.transpose(0, 2, 1)


def _agreement(a: IntArray, b: IntArray) -> tuple[FloatArray, FloatArray]:
    """Count, for each pair of bars, the steps in which both sound the same and those in which either sounds."""
    sounds = (a[:, None] != _REST) | (b[None] != _REST)
    same = (a[:, None] == b[None]) & sounds
    return same.sum(axis=2).astype(np.float64), sounds.sum(axis=2).astype(np.float64)


def _rotation_sums(pairs: FloatArray) -> FloatArray:
    """Return, for every rotation of one loop against the other, the sum over the pairs of bars that coincide.

    Two loops of m and n bars are repeated until both start together again. Bars i and j then coincide once if j - i
    equals the rotation modulo gcd(m, n), and otherwise never.
    """
    m, n = pairs.shape
    divisor = math.gcd(m, n)
    rotation = (np.arange(n)[None] - np.arange(m)[:, None]) % divisor
    sums = np.zeros(divisor)
    np.add.at(sums, rotation, pairs)
    return sums


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return `part` / `whole`, and 0 where `whole` is 0."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
