"""Perform a scene: who plays which note when, with the players' small inaccuracies, and the truth about it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import BAR, PULSE, ROLES, Beat, Performance, Played, Role, Scene, SoundingChord
from soundalike.render.score.styles import Event, bass_notes, comp_notes

__all__ = ["perform"]

_JITTER, _MOST_JITTER = 0.004, 0.012  # seconds: standard deviation and limit
_VELOCITY_JITTER = 4.0
_AUDIBLE = 0.02  # seconds before the clip's end in which no note begins any more
_WORTH_CATCHING = 0.12  # seconds that must be left of a note that began before the clip
_SHORTEST = 0.05
_STROKE = 0.4  # beats until a drum is damped
_PLAYED_LENGTH = 0.93  # of a written note, by an instrument that sustains


def perform(scene: Scene, seconds: float, *, home: int = 72, plucked: bool = False) -> Performance:
    """What is played in `seconds` seconds from beat `scene.offset` on; all material loops from beat 0.

    `home` is the MIDI note about which the lead's tunes lie, `plucked` says that its notes ring on. Each role of the
    band has a generator of its own, so that one part does not change with the others. `chords` is empty if neither
    comping nor bass plays. Raises UsageError if the parts of the scene are not in one meter, if a style is unknown in
    it, or if there is nothing to play (`seconds` or the tempo is not above 0).
    """
    meters = (scene.melody.meter, scene.progression.meter, scene.rhythm.groove.meter)
    if len(set(meters)) != 1 or meters[0] not in BAR:
        melody, progression, groove = meters
        raise UsageError(
            f"the melody is in {melody}, the chords in {progression}, the groove in {groove}; "
            f"expected one meter of {', '.join(BAR)}"
        )
    if not (seconds > 0 and scene.tempo > 0):
        raise UsageError(f"{seconds:g} seconds at tempo {scene.tempo:g}; expected both to be above 0")
    parts: dict[Role, tuple[Played, ...]] = {}
    for role in scene.band.layout:
        rng = np.random.default_rng([scene.seed, ROLES.index(role)])
        parts[role] = _played(scene, role, _events(scene, role, home, plucked), seconds, rng)
    harmony = {"comp", "bass"} & set(scene.band.layout)
    return Performance(seconds, parts, tuple(_chords(scene, seconds)) if harmony else (), tuple(_beats(scene, seconds)))


def _events(scene: Scene, role: Role, home: int, plucked: bool) -> Sequence[Event]:
    """One loop of a role's notes, in beats as they are written."""
    if role == "comp":
        return comp_notes(scene.progression, scene.rhythm.comp, scene.key)
    if role == "bass":
        return bass_notes(scene.progression, scene.rhythm.bass, scene.key)
    if role == "drums":
        return [Event(hit.start, _STROKE, hit.drum, hit.velocity) for hit in scene.rhythm.groove.hits]
    notes = scene.melody.notes
    if not notes:
        return []
    tonic, held = 60 + scene.key, 1.0 if plucked else _PLAYED_LENGTH
    middle = float(np.median([note.pitch for note in notes]))
    shift = tonic + 12 * (round((home - tonic - middle) / 12) + scene.octave)
    return [Event(note.start, held * note.length, note.pitch + shift, note.velocity) for note in notes]


def _loop(scene: Scene, role: Role) -> float:
    """Beats until a role's material begins again."""
    if role == "lead":
        return scene.melody.beats
    return scene.rhythm.groove.beats if role == "drums" else scene.progression.beats


def _played(
    scene: Scene, role: Role, events: Sequence[Event], seconds: float, rng: np.random.Generator
) -> tuple[Played, ...]:
    """Loop, swing and humanise: the notes of the clip in order of time."""
    loop, beat = _loop(scene, role), 60.0 / scene.tempo
    first = math.floor(scene.offset / loop)
    last = math.floor((scene.offset + seconds / beat) / loop)
    starts = np.array([event.start for event in events])
    ends = np.array([event.start + event.length for event in events])
    if role != "drums":  # strokes stand where they are written
        starts, ends = _swung(starts, scene), _swung(ends, scene)
    played = []
    for turn in range(first, last + 1):
        jitters = np.clip(rng.normal(0, _JITTER, len(events)), -_MOST_JITTER, _MOST_JITTER)
        touches = rng.normal(0, _VELOCITY_JITTER, len(events))
        for event, start, end, jitter, touch in zip(events, starts, ends, jitters, touches, strict=True):
            due, until = ((turn * loop + at - scene.offset) * beat for at in (start, end))
            caught = role != "drums" and until > _WORTH_CATCHING
            if due >= seconds - _AUDIBLE or (due < -1e-6 and not caught):
                continue
            at = max(float(due + jitter), 0.0)
            velocity = int(np.clip(event.velocity + touch, 1, 127))
            played.append(Played(at, max(float(until + jitter), at + _SHORTEST), event.note, velocity))
    return _apart(played)


def _swung(beats: FloatArray, scene: Scene) -> FloatArray:
    """Beats with the second eighth of every quarter moved to where the groove has it; quarters stay."""
    if PULSE[scene.melody.meter] != 1.0:  # the eighths of compound meters come in threes
        return beats
    swing = scene.rhythm.groove.swing
    whole, part = np.divmod(beats, 1.0)
    return whole + np.where(part < 0.5, 2 * part * swing, swing + (2 * part - 1) * (1 - swing))


def _apart(played: Sequence[Played]) -> tuple[Played, ...]:
    """In order of time; a note is off before it sounds again, or its end would silence its successor."""
    again: dict[int, float] = {}
    apart = []
    for one in sorted(played, key=lambda p: (p.start, p.note), reverse=True):
        end = min(one.end, again.get(one.note, math.inf))
        if end > one.start:  # else both are struck at once
            apart.append(Played(one.start, end, one.note, one.velocity))
            again[one.note] = one.start
    return tuple(reversed(apart))


def _chords(scene: Scene, seconds: float) -> Iterator[SoundingChord]:
    """The chords of the clip without a gap; one that goes on over the end of the loop is one."""
    chords, beat = scene.progression, 60.0 / scene.tempo
    first = math.floor(scene.offset / chords.beats)
    last = math.floor((scene.offset + seconds / beat) / chords.beats)
    sounding: SoundingChord | None = None
    for turn in range(first, last + 1):
        for chord in chords.chords:
            start = (turn * chords.beats + chord.start - scene.offset) * beat
            start, end = max(start, 0.0), min(start + chord.length * beat, seconds)
            if end - start < 1e-6:
                continue
            root = (scene.key + chord.root) % 12
            if sounding and (sounding.root, sounding.kind) == (root, chord.kind):
                sounding = SoundingChord(sounding.start, end, root, chord.kind)
                continue
            if sounding:
                yield sounding
                start = sounding.end  # to the last bit
            sounding = SoundingChord(start, end, root, chord.kind)
    if sounding:
        yield SoundingChord(sounding.start, seconds, sounding.root, sounding.kind)


def _beats(scene: Scene, seconds: float) -> Iterator[Beat]:
    """Every pulse that falls into the clip."""
    pulse, beat = PULSE[scene.melody.meter], 60.0 / scene.tempo
    pulses = round(BAR[scene.melody.meter] / pulse)
    number = math.ceil(scene.offset / pulse - 1e-9)
    while (time := (number * pulse - scene.offset) * beat) < seconds:
        yield Beat(max(time, 0.0), number % pulses + 1)
        number += 1
