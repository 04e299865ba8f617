"""Chord progressions of Bach's chorales, as loops of four bars.

The chorales are in the public domain. Their encodings are part of music21's corpus (BSD, "distributed with the
permission of the encoders").
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import SoundalikeError
from soundalike.core.executors.base import run_tasks
from soundalike.core.types import FloatArray
from soundalike.render.score.music import BAR, CHORDS, MODES, Chord, Progression
from soundalike.render.score.names import progression_name
from soundalike.render.sources.cache import cache_path, write_cache

__all__ = ["chorale_progressions", "find_chords", "loops"]

_VERSION = 1  # of the cached data; increase it when the reader changes
_BATCH = 24  # chorales per task, about a second of work
_BARS = 4
_LEAST_CHORDS = 3  # different chords per loop; fewer are not a recognisable progression
_LEAST_IN_SCALE = 0.9  # share of chord tones in the scale; the leading tone of minor counts as in the scale
_MOST_CHANGES = 3  # chords per bar, on average; faster changes are counterpoint rather than harmony
_BASS = 0.3  # bonus if the root is in the bass; a chord that matches the notes exactly scores 1
_CHANGE = 0.25  # penalty for a change of chord
_SEVENTH = 0.06  # penalty for four-tone chords, because they fit any set of notes better than triads do

_KINDS = tuple(CHORDS)
_CHORDS = [(root, kind) for root in range(12) for kind in _KINDS]
_TEMPLATES = np.array([[(tone - root) % 12 in CHORDS[kind] for tone in range(12)] for root, kind in _CHORDS], float)


@dataclass(frozen=True, slots=True)
class _Chorale:
    """The notes of a piece from its first complete bar, beat by beat.

    `weights` (beats, 12) is the share of a beat in which each pitch class sounds. `bass` (beats,) is the pitch class of
    the lowest note on the beat, or -1.
    """

    meter: str
    weights: FloatArray
    bass: Sequence[int]


def chorale_progressions() -> tuple[Progression, ...]:
    """Load one loop of four bars per chorale in 4/4 or 3/4.

    The chorales of music21's corpus are read once. Later calls load the loops from the user's cache.

    Returns:
        The loops, sorted by name. Empty if music21 is not installed.

    Example:
        >>> progressions = chorale_progressions()
        >>> progressions[0].meter
        '4/4'
    """
    if importlib.util.find_spec("music21") is None:
        return ()
    cache = cache_path("chorales.json", _VERSION, version("music21"))
    found = _load(cache)
    if found is None:
        found = _read()
        text = json.dumps([[p.meter, p.mode, [astuple(chord) for chord in p.chords]] for p in found]).encode()
        write_cache(cache, lambda file: file.write(text))
    return found


def _read() -> tuple[Progression, ...]:
    from music21 import corpus

    names = [str(name) for name in corpus.chorales.Iterator(returnType="filename")]
    batches = [tuple(names[k : k + _BATCH]) for k in range(0, len(names), _BATCH)]
    outcomes = (outcome for _, outcome in run_tasks(_read_batch, batches))
    found: dict[str, Progression] = {}
    for outcome in outcomes:
        if isinstance(outcome, SoundalikeError):
            raise outcome
        found.update((progression.name, progression) for progression in outcome)
    return tuple(found[name] for name in sorted(found))


def _read_batch(names: Sequence[str]) -> list[Progression]:
    from music21 import corpus

    found = []
    for name in names:
        chorale = _read_beats(corpus.parse(name))
        choices = loops(chorale.meter, chorale.weights, chorale.bass) if chorale else ()
        if choices:
            found.append(min(choices, key=lambda loop: (len(loop.chords), loop.name)))
    return found


def _read_beats(score: Any) -> _Chorale | None:
    """Return the pitch classes of each beat of a score. None if it is not in 4/4 or 3/4 throughout."""
    meters = {signature.ratioString for signature in score.recurse().getElementsByClass("TimeSignature")}
    meter = meters.pop() if len(meters) == 1 else ""
    if meter not in ("4/4", "3/4"):
        return None
    lines = [
        float(measure.offset)
        for measure in score.parts[0].getElementsByClass("Measure")
        if measure.duration.quarterLength == BAR[meter]
    ]
    if not lines:
        return None
    beats = int(float(score.highestTime) - lines[0])
    weights, lowest = np.zeros((beats, 12)), np.full(beats, np.inf)
    for note in score.flatten().notes:
        start = float(note.offset) - lines[0]
        end = start + float(note.quarterLength)
        for beat in range(max(int(start), 0), min(int(np.ceil(end)), beats)):
            share = min(end, beat + 1) - max(start, beat)
            for pitch in note.pitches:
                weights[beat, pitch.pitchClass] += share
                if start <= beat < end:
                    lowest[beat] = min(lowest[beat], pitch.midi)
    bass = [int(note) % 12 if np.isfinite(note) else -1 for note in lowest]
    return _Chorale(meter, weights, bass)


def find_chords(weights: FloatArray, bass: Sequence[int]) -> list[tuple[int, str]]:
    """Estimate the chord of each beat by template matching and a Viterbi path that penalises changes.

    Args:
        weights: (beats, 12) share of each beat in which a pitch class sounds, 0 to 1.
        bass: (beats,) lowest pitch class on each beat, or -1.

    Returns:
        (root in semitones above C, kind of CHORDS) of each beat.

    Example:
        >>> weights = np.zeros((1, 12))
        >>> weights[0, [0, 4, 7]] = 1.0
        >>> find_chords(weights, [0])
        [(0, 'maj')]
    """
    if len(weights) == 0:
        return []
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    directions = weights / np.maximum(norms, 1e-9)
    fits = directions @ (_TEMPLATES / np.linalg.norm(_TEMPLATES, axis=1, keepdims=True)).T
    roots = np.array([root for root, _ in _CHORDS])
    fits += _BASS * (roots == np.asarray(bass)[:, None]) - _SEVENTH * (_TEMPLATES.sum(axis=1) > 3)
    # Viterbi: the best path through the beats, with a penalty for every change.
    best, previous = fits[0], np.zeros(fits.shape, dtype=np.int64)
    for beat in range(1, len(fits)):
        top = int(np.argmax(best))
        changes = best[top] - _CHANGE > best
        previous[beat] = np.where(changes, top, np.arange(len(best)))
        best = np.where(changes, best[top] - _CHANGE, best) + fits[beat]
    path = [int(np.argmax(best))]
    for beat in range(len(fits) - 1, 0, -1):
        path.append(int(previous[beat, path[-1]]))
    return [_CHORDS[k] for k in reversed(path)]


def loops(meter: str, weights: FloatArray, bass: Sequence[int]) -> tuple[Progression, ...]:
    """Find loops of four bars that have enough different chords and mostly tones of the scale.

    The tonic is the last bass note of the piece. The piece is minor if the minor third above the tonic sounds longer
    than the major third. A loop is dorian or mixolydian if it fits that scale better.

    Args:
        meter: "4/4" or "3/4".
        weights: (beats, 12) share of each beat in which a pitch class sounds, starting at a bar line.
        bass: (beats,) lowest pitch class on each beat, or -1.

    Returns:
        The loops, one per bar line at which one starts.

    Example:
        >>> progressions = loops("4/4", weights, bass)
    """
    ends = [pitch for pitch in bass if pitch >= 0]
    if not ends:
        return ()
    tonic, totals = ends[-1], weights.sum(axis=0)
    family = ("minor", "dorian") if totals[(tonic + 3) % 12] > totals[(tonic + 4) % 12] else ("major", "mixolydian")
    chords = [((root - tonic) % 12, kind) for root, kind in find_chords(weights, bass)]
    bar = round(BAR[meter])
    found = []
    for first in range(0, len(chords) - _BARS * bar + 1, bar):
        inside = chords[first : first + _BARS * bar]
        merged = _merged(inside)
        shares = {mode: _in_scale(inside, mode) for mode in family}
        mode = max(family, key=shares.__getitem__)
        if (
            shares[mode] >= _LEAST_IN_SCALE
            and len(set(inside)) >= _LEAST_CHORDS
            and len(merged) <= _MOST_CHANGES * _BARS
        ):
            beats = float(_BARS * bar)
            found.append(Progression(progression_name(merged, beats), meter, mode, beats, merged))
    return tuple(found)


def _merged(chords: Sequence[tuple[int, str]]) -> tuple[Chord, ...]:
    """Merge equal chords on consecutive beats."""
    starts = [k for k, chord in enumerate(chords) if k == 0 or chord != chords[k - 1]]
    return tuple(
        Chord(float(start), float(end - start), *chords[start])
        for start, end in zip(starts, [*starts[1:], len(chords)], strict=True)
    )


def _in_scale(chords: Sequence[tuple[int, str]], mode: str) -> float:
    """Return the share of the chord tones that are in the scale of a mode."""
    scale = {*MODES[mode], *((11,) if mode == "minor" else ())}
    inside = [(root + tone) % 12 in scale for root, kind in chords for tone in CHORDS[kind]]
    return sum(inside) / len(inside)


def _load(path: Path) -> tuple[Progression, ...] | None:
    """Load progressions from the cache. None if they are missing or unreadable."""
    try:
        found = []
        for meter, mode, rows in json.loads(path.read_bytes()):
            chords = tuple(Chord(*row) for row in rows)
            beats = _BARS * BAR[meter]
            found.append(Progression(progression_name(chords, beats), meter, mode, beats, chords))
        return tuple(found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
