"""Styles of comping and bass in every meter, and their application to a progression.

A style is a pattern of sixteenths, with a space between pulses. It repeats until the chords end.

- In all styles, `-` holds the previous stroke, and `.` is silent.
- In comping styles, `x` is the chord, `l` its lowest note, `u` its other notes, `a` the next note of an arpeggio up and
  down the chord, and `b` the next note of a broken chord.
- In bass styles, `1`, `3` and `5` are the first three tones of the chord (root, third, fifth), `8` is the octave of the
  root, and `w` is the next step of a walking bass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.render.score.music import CHORDS, METERS, PULSE, Chord, Progression

__all__ = ["Event", "bass_notes", "bass_styles", "comp_notes", "comp_styles"]

_STEP = 0.25  # beats
_PAD = "pad"  # holds each chord for its full length and has no pattern
_RING = 1.0  # longest length in beats of the single notes of a chord

_COMP: Mapping[str, Mapping[str, str]] = {
    "4/4": {
        _PAD: "",
        "arpeggio": "a.a.",
        "broken": "bbbb",
        "halves": "x--- ---.",
        "quarters": "x--.",
        "offbeats": "..x.",
        "backbeats": ".... x-..",
        "charleston": "x--- -.x- .... ....",
        "push": "x--- -.x- ---- -.x-",
        "bossa": "x--- ..x. ..x- --x.",
        "strum": "x--. x.x. ..x. x.x.",
        "boom-chick": "l-.. u.u.",
        "tresillo": "x--- -.x- --.. x--.",
        "dotted": "x-.x -.x- .x-. x-..",
        "gallop": "x.xx",
    },
    "3/4": {
        _PAD: "",
        "arpeggio": "a.a.",
        "broken": "bbbb",
        "waltz": "l--. u-.. u-..",
        "afterbeats": ".... x-.. x-..",
        "offbeats": "..x.",
        "charleston": "x--- -.x- --..",
        "push": "x--- ..x- ..x-",
        "strum": "x--. x.x. ..x.",
        "hemiola": "x--- ---. x--- ---. x--- ---.",
        "gallop": "x.xx",
    },
    "6/8": {
        _PAD: "",
        "arpeggio": "a.a.a.",
        "broken": "bbbbbb",
        "pulses": "x----.",
        "jig": "l--.u.",
        "afterbeats": "..x.x.",
        "offbeats": "....x-",
        "push": "x----. x---x-",
        "hemiola": "x--. x--. x--.",
        "lilt": "x----- ----x-",
        "gallop": "x-.xx.",
    },
    "9/8": {
        _PAD: "",
        "arpeggio": "a.a.a.",
        "broken": "bbbbbb",
        "pulses": "x----.",
        "jig": "l--.u.",
        "afterbeats": "..x.x.",
        "offbeats": "....x-",
        "waltz": "l----. ..u.u. ..u.u.",
        "long-short": "x----- -----. x----.",
        "push": "x----- ----x- ---.x-",
        "gallop": "x-.xx.",
    },
}
_BASS: Mapping[str, Mapping[str, str]] = {
    "4/4": {
        "whole": "1--- ---- ---- ---.",
        "two-beat": "1--- --.. 5--- --..",
        "walking": "w---",
        "eighths": "1-1-",
        "offbeats": "..1-",
        "gallop": "1.88",
        "tresillo": "1--- -.5- ---. 8--.",
        "bossa": "1--- -.5- 5--- -.1-",
        "rock": "1--. ..1- ..1- 5-..",
        "motown": "1--. 1-5- ..8- 5-3-",
        "funk": "1..1 ..8. .5.. 1.8.",
        "reggae": "..1- 3-5- ..1- ....",
    },
    "3/4": {
        "downbeats": "1--- ---- --..",
        "waltz": "1--- ---. 5--.",
        "walking": "w---",
        "eighths": "1-1-",
        "offbeats": "..1-",
        "dotted": "1--- -.5- --..",
        "hemiola": "1--- ---. 5--- ---. 1--- ---.",
        "gallop": "1.88",
    },
    "6/8": {
        "downbeats": "1----- ----..",
        "pulses": "1----. 5----.",
        "walking": "w--.w.",
        "eighths": "1-1-1-",
        "offbeats": "....1-",
        "push": "1----. 5---1-",
        "hemiola": "1--- 5--- 8---",
        "lilt": "1----- ----5-",
        "gallop": "1-.11.",
    },
    "9/8": {
        "downbeats": "1----- ------ ---...",
        "pulses": "1----. 5----. 3----.",
        "walking": "w--.w.",
        "eighths": "1-1-1-",
        "offbeats": "....1-",
        "long-short": "1----- -----. 5----.",
        "push": "1----- ----5- ---.1-",
        "gallop": "1-.11.",
    },
}


@dataclass(frozen=True, slots=True)
class Event:
    """A written note: `start` and `length` in beats, MIDI `note` and `velocity`."""

    start: float
    length: float
    note: int
    velocity: int


@dataclass(frozen=True, slots=True)
class _Stroke:
    """A stroke of a style: `start` and `length` in beats, and its `mark`."""

    start: float
    length: float
    mark: str


def comp_styles(meter: str) -> tuple[str, ...]:
    """Return the names of the comping styles in a meter.

    Raises:
        UsageError: The meter is unknown.

    Example:
        >>> "waltz" in comp_styles("3/4")
        True
    """
    return tuple(_styles(_COMP, meter))


def bass_styles(meter: str) -> tuple[str, ...]:
    """Return the names of the bass styles in a meter.

    Raises:
        UsageError: The meter is unknown.

    Example:
        >>> "walking" in bass_styles("4/4")
        True
    """
    return tuple(_styles(_BASS, meter))


def comp_notes(progression: Progression, style: str, key: int) -> tuple[Event, ...]:
    """Write the chords of a progression in a comping style.

    The voicings are near middle C, and each is close to the one before. Every chord is struck at least once.

    Args:
        progression: The progression.
        style: One of `comp_styles(progression.meter)`.
        key: The tonic in semitones above C.

    Returns:
        The notes in order of time.

    Raises:
        UsageError: The meter has no such style.

    Example:
        >>> events = comp_notes(progression, "arpeggio", key=2)
    """
    pattern = _pattern(_COMP, progression.meter, style, "comping")
    events = []
    for chord, voicing in zip(progression.chords, _voicings(progression, key), strict=True):
        if style == _PAD:
            strokes = [_Stroke(chord.start, chord.length, "x")]
        else:
            strokes = _strokes(pattern, chord) or [_Stroke(chord.start, min(1.0, chord.length), "x")]
        for k, stroke in enumerate(strokes):
            velocity = 80 if _on_pulse(stroke.start, progression.meter) else 72
            events += [
                Event(stroke.start, 0.97 * stroke.length, n, velocity) for n in _notes_of(stroke.mark, k, voicing)
            ]
            if stroke.mark in "ab":
                ring = 0.97 * min(_RING, chord.start + chord.length - stroke.start)
                events[-1] = replace(events[-1], length=ring)
    return _separate(events)


def bass_notes(progression: Progression, style: str, key: int) -> tuple[Event, ...]:
    """Write the bass line of a progression in a style.

    The first note of every chord is its root. A root is added if the style has no stroke within the first pulse.

    Args:
        progression: The progression.
        style: One of `bass_styles(progression.meter)`.
        key: The tonic in semitones above C.

    Returns:
        The notes in order of time. The roots are between E1 and D#2.

    Raises:
        UsageError: The meter has no such style.

    Example:
        >>> events = bass_notes(progression, "walking", key=2)
    """
    pattern = _pattern(_BASS, progression.meter, style, "bass")
    events = []
    for chord in progression.chords:
        strokes = _strokes(pattern, chord)
        if not strokes or strokes[0].start >= chord.start + min(PULSE[progression.meter], chord.length) - 1e-6:
            until = strokes[0].start if strokes else chord.start + chord.length
            strokes.insert(0, _Stroke(chord.start, min(1.0, until - chord.start), "1"))
        root, tones = _low(key + chord.root), CHORDS[chord.kind]
        walk = [root + tone for tone in tones]
        line = [walk[k % len(walk)] for k in range(len(strokes))]
        if len(line) > 1:  # the last step of a walk leads to the next root by a semitone
            next_root = _low(key + progression.at(chord.start + chord.length).root)
            line[-1] = next_root + (1 if next_root <= line[-2] else -1)
        intervals = {"1": 0, "3": tones[1], "5": tones[2], "8": 12}
        for k, stroke in enumerate(strokes):
            note = line[k] if stroke.mark == "w" else root + (intervals[stroke.mark] if k else 0)
            velocity = 94 if _on_pulse(stroke.start, progression.meter) else 88
            events.append(Event(stroke.start, 0.95 * stroke.length, note, velocity))
    return _separate(events)


def _styles(table: Mapping[str, Mapping[str, str]], meter: str) -> Mapping[str, str]:
    if meter not in table:
        raise UsageError(f"no meter {meter!r}; expected one of {', '.join(METERS)}")
    return table[meter]


def _pattern(table: Mapping[str, Mapping[str, str]], meter: str, style: str, part: str) -> str:
    styles = _styles(table, meter)
    if style not in styles:
        raise UsageError(f"no {part} style {style!r} in {meter}; expected one of {', '.join(styles)}")
    return styles[style].replace(" ", "")


def _strokes(pattern: str, chord: Chord) -> list[_Stroke]:
    """Return the strokes of a style during a chord. None extends beyond it. The pattern starts at beat 0."""
    strokes: list[_Stroke] = []
    for step in range(round(chord.start / _STEP), round((chord.start + chord.length) / _STEP)):
        mark = pattern[step % len(pattern)]
        if mark == "-" and strokes and strokes[-1].start + strokes[-1].length == step * _STEP:
            strokes[-1] = replace(strokes[-1], length=strokes[-1].length + _STEP)
        elif mark not in "-.":
            strokes.append(_Stroke(step * _STEP, _STEP, mark))
    return strokes


def _voicings(progression: Progression, key: int) -> Iterator[list[int]]:
    """Yield the MIDI notes of each chord: the inversion near middle C that moves least from the previous chord."""
    centre = 60.0
    for chord in progression.chords:
        tones = [60 + (key + chord.root) % 12 + tone for tone in CHORDS[chord.kind]]
        inversions = [
            sorted(tone + 12 * (octave + (k < turn)) for k, tone in enumerate(tones))
            for turn in range(len(tones))
            for octave in (-2, -1, 0)
        ]
        voicing = min(inversions, key=lambda v: abs(sum(v) / len(v) - centre) + 0.5 * abs(sum(v) / len(v) - 60))
        centre = sum(voicing) / len(voicing)
        yield voicing


def _notes_of(mark: str, k: int, voicing: list[int]) -> list[int]:
    """Return the notes that the `k`th stroke of a chord plays."""
    if mark == "l":
        return voicing[:1]
    if mark == "u":
        return voicing[1:]
    if mark == "a":
        order = [*voicing, *voicing[-2:0:-1]]
        return [order[k % len(order)]]
    if mark == "b":
        order = [voicing[0], voicing[-1], *voicing[1:-1]]
        return [order[k % len(order)]]
    return voicing


def _low(pitch: int) -> int:
    """Transpose a pitch to the octave from E1, the lowest string of a bass, to D#2."""
    return 28 + (pitch - 4) % 12


def _on_pulse(beat: float, meter: str) -> bool:
    return beat % PULSE[meter] == 0


def _separate(events: Sequence[Event]) -> tuple[Event, ...]:
    """Sort notes by time, and end each before the same note starts again."""
    next_start: dict[int, float] = {}
    separate = []
    for event in sorted(events, key=lambda e: (-e.start, -e.note)):
        until = next_start.get(event.note, np.inf)
        separate.append(replace(event, length=min(event.length, float(until) - event.start)))
        next_start[event.note] = event.start
    return tuple(reversed(separate))
