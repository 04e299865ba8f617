"""Passages of melodies, thinned melodies, and how alike two melodies, progressions or grooves are.

Likeness is compared bar by bar on a grid of twelfths of a beat, which holds sixteenths and triplets. Loops start
anywhere, so that all but `matching_passage` take the rotation by whole bars in which the two are most alike; what is
longer meets the shorter one over and over.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score.music import BAR, PULSE, Groove, Melody, Progression
from soundalike.render.score.patterns import VOICES, voice

__all__ = ["chord_likeness", "excerpt", "groove_likeness", "likeness", "matching_passage", "thin"]

_GRID = 12  # steps in a beat
_REST = -1


def excerpt(melody: Melody, first_bar: int, bars: int) -> Melody:
    """So many bars from bar `first_bar` (0 is the first) on, as a melody of its own; notes are cut at its end.

    Raises UsageError if the melody does not have these bars.
    """
    bar = BAR[melody.meter]
    has = _bars(melody)
    if bars < 1 or first_bar < 0 or first_bar + bars > has:
        raise UsageError(f"{melody.name} has {has} bars; expected some of them, got {bars} from {first_bar} on")
    first, beats = first_bar * bar, bars * bar
    notes = tuple(
        replace(note, start=note.start - first, length=min(note.length, first + beats - note.start))
        for note in melody.notes
        if first <= note.start < first + beats
    )
    return replace(melody, beats=beats, notes=notes)


def thin(melody: Melody, rng: np.random.Generator) -> Melody:
    """The melody at about the pace at which people sing.

    Notes off the pulse go first, then some on it, the first of a bar last; those that stay hold on into the gap, at
    most for two beats.
    """
    bar, pulse = BAR[melody.meter], PULSE[melody.meter]
    on_pulse, on_eighth, elsewhere = rng.uniform(0, 0.1), rng.uniform(0.3, 0.9), 0.9

    def stays(start: float) -> bool:
        place = start % pulse
        chance = on_pulse if place == 0 else on_eighth if place % 0.5 == 0 else elsewhere
        return bool(rng.random() >= chance * (1.0 if start % bar else 0.3))

    kept = [note for note in melody.notes if stays(note.start)] or list(melody.notes[:1])
    ends = [*(note.start for note in kept[1:]), melody.beats]
    hold = rng.uniform(0.75, 2.0)
    held = tuple(
        replace(note, length=min(end - note.start, max(note.length, hold)))
        for note, end in zip(kept, ends, strict=True)
    )
    return replace(melody, notes=held)


def likeness(a: Melody, b: Melody) -> float:
    """Share of the time in which either sounds that both sound the same pitch class above the tonic, 0 to 1.

    0 where the meters differ.
    """
    if a.meter != b.meter:
        return 0.0
    same, heard = _agreement(_pitch_classes(a), _pitch_classes(b))
    return float(_share(_turns(same), _turns(heard)).max())


def chord_likeness(a: Progression, b: Progression) -> float:
    """Share of the time in which both have the same root, 0 to 1; 0 where the meters differ."""
    if a.meter != b.meter:
        return 0.0
    same, heard = _agreement(_roots(a), _roots(b))
    return float(_share(_turns(same), _turns(heard)).max())


def groove_likeness(a: Groove, b: Groove) -> float:
    """Mean over the voices (low, snare, hat) of the F-measure of their onsets, 0 to 1; 0 where the meters differ.

    Onsets agree if they are no more than a twelfth of a beat apart. A voice that neither has does not count.
    """
    if a.meter != b.meter:
        return 0.0
    onsets_a, onsets_b = _onsets(a), _onsets(b)
    found_a, found_b = _pairs(onsets_a, _widened(onsets_b)), _pairs(_widened(onsets_a), onsets_b)
    all_a, all_b = _pairs(onsets_a, np.ones_like(onsets_b)), _pairs(np.ones_like(onsets_a), onsets_b)
    scores = []
    for k in range(len(VOICES)):
        if onsets_a[k].any() or onsets_b[k].any():
            precision = _share(_turns(found_a[k]), _turns(all_a[k]))
            recall = _share(_turns(found_b[k]), _turns(all_b[k]))
            scores.append(_share(2 * precision * recall, precision + recall))
    return float(np.mean(scores, axis=0).max()) if scores else 0.0


def matching_passage(melody: Melody, setting: Melody, bars: int) -> tuple[Melody, float]:
    """The `bars` bars of another setting that are most like `melody`, bar upon bar, and how alike they are (0 to 1).

    Likeness as in `likeness`, but without rotation, so that the passage begins where the melody does. Where nothing can
    match, in another meter or with fewer bars, the setting as it is, and 0.
    """
    last = _bars(setting) - bars
    if melody.meter != setting.meter or last < 0:
        return setting, 0.0
    same, heard = _agreement(_pitch_classes(melody), _pitch_classes(setting))
    meets, places = np.arange(bars) % _bars(melody), np.arange(last + 1)[:, None] + np.arange(bars)
    shares = _share(same[meets, places].sum(axis=1), heard[meets, places].sum(axis=1))
    first = int(shares.argmax())
    return excerpt(setting, first, bars), float(shares[first])


def _bars(one: Melody | Progression | Groove) -> int:
    """Whole bars; what is left of a last one does not count."""
    return int(one.beats / BAR[one.meter] + 1e-6)


def _grid(one: Melody | Progression | Groove) -> tuple[int, int]:
    """The shape of its grid: bars, steps in a bar."""
    return _bars(one), round(BAR[one.meter] * _GRID)


def _pitch_classes(melody: Melody) -> IntArray:
    """(bars, steps) of what sounds, in semitones above the tonic, or _REST."""
    bars, steps = _grid(melody)
    cells = np.full(bars * steps, _REST)
    for note in melody.notes:
        cells[round(note.start * _GRID) : round((note.start + note.length) * _GRID)] = note.pitch % 12
    return cells.reshape(bars, steps)


def _roots(progression: Progression) -> IntArray:
    """(bars, steps) of the root in semitones above the tonic."""
    bars, steps = _grid(progression)
    cells = np.full(bars * steps, _REST)
    for chord in progression.chords:
        cells[round(chord.start * _GRID) : round((chord.start + chord.length) * _GRID)] = chord.root
    return cells.reshape(bars, steps)


def _onsets(groove: Groove) -> FloatArray:
    """(voices, bars, steps) of 0 and 1; a stroke just before the bar line of the loop counts on it."""
    bars, steps = _grid(groove)
    cells = np.zeros((len(VOICES), bars * steps), np.float32)
    for hit in groove.hits:
        cells[VOICES.index(voice(hit.drum)), round(hit.start * _GRID) % (bars * steps)] = 1.0
    return cells.reshape(len(VOICES), bars, steps)


def _widened(onsets: FloatArray) -> FloatArray:
    """Onsets of (voices, bars, steps) and the steps on either side of them."""
    loop = onsets.reshape(len(onsets), -1)
    wide = np.maximum(loop, np.maximum(np.roll(loop, 1, axis=1), np.roll(loop, -1, axis=1)))
    return wide.reshape(onsets.shape)


def _pairs(a: FloatArray, b: FloatArray) -> FloatArray:
    """(voices, bars of a, bars of b): in how many steps both have something."""
    return a @ b.transpose(0, 2, 1)


def _agreement(a: IntArray, b: IntArray) -> tuple[FloatArray, FloatArray]:
    """For every bar of `a` and of `b`: in how many steps they are the same, and in how many either sounds."""
    sounds = (a[:, None] != _REST) | (b[None] != _REST)
    same = (a[:, None] == b[None]) & sounds
    return same.sum(axis=2).astype(np.float64), sounds.sum(axis=2).astype(np.float64)


def _turns(pairs: FloatArray) -> FloatArray:
    """Sums over the bars that meet, for every rotation of one loop against the other.

    Loops of m and n bars, played until both begin again, let bar i meet bar j once if j - i is the rotation modulo
    their greatest common divisor, and never otherwise.
    """
    m, n = pairs.shape
    divisor = math.gcd(m, n)
    rotation = (np.arange(n)[None] - np.arange(m)[:, None]) % divisor
    sums = np.zeros(divisor)
    np.add.at(sums, rotation, pairs)
    return sums


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """`part` of `whole`, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
