"""Chord progressions as people wrote them: loops from Bach's chorales, which come with music21.

The chorales are in the public domain; their encodings come with music21's corpus (BSD, "distributed with the permission
of the encoders").
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import AudioError
from soundalike.core.executors.processes import run_tasks
from soundalike.core.types import FloatArray
from soundalike.render.score.music import BAR, CHORDS, MODES, Chord, Progression
from soundalike.render.score.names import progression_name
from soundalike.render.sources.cache import cache_path, keep

__all__ = ["chorale_progressions", "find_chords", "loops"]

_VERSION = 1  # of what the cache holds: raise it when reading changes
_BATCH = 24  # chorales to a task: a second of work
_BARS = 4
_LEAST_CHORDS = 3  # different ones, or there is nothing to follow
_LEAST_IN_SCALE = 0.9  # share of the chords' tones; the leading note of minor counts as in the scale
_MOST_CHANGES = 3  # chords in a bar, on average: faster is counterpoint more than harmony
_BASS = 0.3  # what a root in the bass adds to a chord's fit, which is 1 where chord and notes agree
_STAY = 0.25  # what a change of chord has to gain
_SEVENTH = 0.06  # what a chord of four tones has to gain against a triad, since it covers more of anything

_KINDS = tuple(CHORDS)
_CHORDS = [(root, kind) for root in range(12) for kind in _KINDS]
_TEMPLATES = np.array([[(tone - root) % 12 in CHORDS[kind] for tone in range(12)] for root, kind in _CHORDS], float)


@dataclass(frozen=True, slots=True)
class _Chorale:
    """What sounds in a piece: `weights` (beats, 12) the share of a beat in which each pitch class sounds, `bass`
    (beats,) the pitch class of the lowest note at the beat or -1, from the first whole bar on.
    """

    meter: str
    weights: FloatArray
    bass: Sequence[int]


def chorale_progressions() -> tuple[Progression, ...]:
    """Loops of four bars in 4/4 and 3/4, one a chorale, sorted by name; from the cache if they were read before.

    Empty if music21 is not installed.
    """
    if importlib.util.find_spec("music21") is None:
        return ()
    cache = cache_path("chorales.json", _VERSION, version("music21"))
    found = _load(cache)
    if found is None:
        found = _read()
        text = json.dumps([[p.meter, p.mode, [astuple(chord) for chord in p.chords]] for p in found]).encode()
        keep(cache, lambda file: file.write(text))
    return found


def _read() -> tuple[Progression, ...]:
    from music21 import corpus

    names = [str(name) for name in corpus.chorales.Iterator(returnType="filename")]
    batches = [tuple(names[k : k + _BATCH]) for k in range(0, len(names), _BATCH)]
    outcomes: Iterable[Any]
    if multiprocessing.current_process().daemon:  # a worker process may have no workers of its own
        outcomes = map(_read_batch, batches)
    else:
        outcomes = (outcome for _, outcome in run_tasks(_read_batch, batches))
    found: dict[str, Progression] = {}
    for outcome in outcomes:
        if isinstance(outcome, AudioError):
            raise outcome
        found.update((one.name, one) for one in outcome)
    return tuple(found[name] for name in sorted(found))


def _read_batch(names: Sequence[str]) -> list[Progression]:
    from music21 import corpus

    found = []
    for name in names:
        chorale = _sounding(corpus.parse(name))
        choices = loops(chorale.meter, chorale.weights, chorale.bass) if chorale else ()
        if choices:
            found.append(min(choices, key=lambda one: (len(one.chords), one.name)))
    return found


def _sounding(score: Any) -> _Chorale | None:
    """What sounds at each beat of a score; None if it is not in 4/4 or 3/4 throughout."""
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
    """The chord of each beat, as (root above C, kind of CHORDS), by templates and as few changes as they allow.

    `weights` (beats, 12) says for how much of a beat each pitch class sounds, `bass` (beats,) its lowest pitch class
    or -1.
    """
    if len(weights) == 0:
        return []
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    heard = weights / np.maximum(norms, 1e-9)
    fits = heard @ (_TEMPLATES / np.linalg.norm(_TEMPLATES, axis=1, keepdims=True)).T
    roots = np.array([root for root, _ in _CHORDS])
    fits += _BASS * (roots == np.asarray(bass)[:, None]) - _SEVENTH * (_TEMPLATES.sum(axis=1) > 3)
    # The best path through the beats, where a change costs.
    best, came = fits[0], np.zeros(fits.shape, dtype=np.int64)
    for beat in range(1, len(fits)):
        top = int(np.argmax(best))
        moves = best[top] - _STAY > best
        came[beat] = np.where(moves, top, np.arange(len(best)))
        best = np.where(moves, best[top] - _STAY, best) + fits[beat]
    path = [int(np.argmax(best))]
    for beat in range(len(fits) - 1, 0, -1):
        path.append(int(came[beat, path[-1]]))
    return [_CHORDS[k] for k in reversed(path)]


def loops(meter: str, weights: FloatArray, bass: Sequence[int]) -> tuple[Progression, ...]:
    """Four bars each, from every bar line on, in which something happens and most tones lie in the scale.

    The tonic is the bass note that the piece ends on, and it is minor if more of the lower third is heard than of the
    upper; a loop that fits dorian or mixolydian better is in that. Arguments as of `find_chords`, from a bar line on.
    """
    ends = [pitch for pitch in bass if pitch >= 0]
    if not ends:
        return ()
    tonic, heard = ends[-1], weights.sum(axis=0)
    family = ("minor", "dorian") if heard[(tonic + 3) % 12] > heard[(tonic + 4) % 12] else ("major", "mixolydian")
    chords = [((root - tonic) % 12, kind) for root, kind in find_chords(weights, bass)]
    bar = round(BAR[meter])
    made = []
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
            made.append(Progression(progression_name(merged, beats), meter, mode, beats, merged))
    return tuple(made)


def _merged(chords: Sequence[tuple[int, str]]) -> tuple[Chord, ...]:
    """Chords of a beat each, those that go on as one."""
    starts = [k for k, chord in enumerate(chords) if k == 0 or chord != chords[k - 1]]
    return tuple(
        Chord(float(start), float(end - start), *chords[start])
        for start, end in zip(starts, [*starts[1:], len(chords)], strict=True)
    )


def _in_scale(chords: Sequence[tuple[int, str]], mode: str) -> float:
    """The share of all chords' tones that lie in a mode's scale."""
    scale = {*MODES[mode], *((11,) if mode == "minor" else ())}
    inside = [(root + tone) % 12 in scale for root, kind in chords for tone in CHORDS[kind]]
    return sum(inside) / len(inside)


def _load(path: Path) -> tuple[Progression, ...] | None:
    """What the cache holds; None if it holds nothing that can be read."""
    try:
        found = []
        for meter, mode, rows in json.loads(path.read_bytes()):
            chords = tuple(Chord(*row) for row in rows)
            beats = _BARS * BAR[meter]
            found.append(Progression(progression_name(chords, beats), meter, mode, beats, chords))
        return tuple(found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
