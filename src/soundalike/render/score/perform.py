"""Perform a scene: the notes, chords and beats of a clip, with small deviations in timing and velocity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import BAR, PULSE, ROLES, Beat, Performance, Played, Role, Scene, SoundingChord
from soundalike.render.score.styles import Event, bass_notes, comp_notes

__all__ = ["perform"]

_JITTER, _MOST_JITTER = 0.004, 0.012  # seconds; standard deviation and limit of the timing deviation
_VELOCITY_JITTER = 4.0  # standard deviation
_LAST_ONSET = 0.02  # seconds before the end of the clip after which no note starts
_LEAST_REMAINDER = 0.12  # seconds that must remain of a note that started before the clip
_SHORTEST = 0.05  # seconds
_STROKE = 0.4  # beats until a drum is damped
_PLAYED_LENGTH = 0.93  # share of the written length that a sustaining instrument plays


def perform(scene: Scene, seconds: float, *, centre_note: int = 72, plucked: bool = False) -> Performance:
    """Perform a scene from beat `scene.offset`. All material loops from beat 0.

    Each role has its own random generator, so that a part does not depend on the other parts.

    Args:
        scene: The scene.
        seconds: The length of the clip, above 0.
        centre_note: The MIDI note near which the lead plays. The melody is transposed by octaves to get there.
        plucked: Whether the lead decays by itself. Its notes then have their full written length.

    Returns:
        The notes of each role of the band, and the chords and beats of the clip. The same scene gives the same
        performance.

    Raises:
        UsageError: The materials differ in meter, a style does not exist in the meter, or `seconds` or the tempo is
            not above 0.

    Example:
        >>> performance = perform(scene, 10.0)
        >>> [note.note for note in performance.parts["lead"]][:3]
        [74, 76, 78]
    """
    meters = (scene.melody.meter, scene.progression.meter, scene.rhythm.groove.meter)
    if len(set(meters)) != 1 or meters[0] not in BAR:
        melody, progression, groove = meters
        raise UsageError(
            f"the melody is in {melody}, the chords in {progression}, the groove in {groove}; "
            f"expected the same meter for all, one of {', '.join(BAR)}"
        )
    if not (seconds > 0 and scene.tempo > 0):
        raise UsageError(f"the length is {seconds:g} s and the tempo {scene.tempo:g}; expected both to be above 0")
    parts: dict[Role, tuple[Played, ...]] = {}
    for role in scene.band.layout:
        rng = np.random.default_rng([scene.seed, ROLES.index(role)])
        parts[role] = _played(scene, role, _events(scene, role, centre_note, plucked), seconds, rng)
    harmony = {"comp", "bass"} & set(scene.band.layout)
    return Performance(seconds, parts, tuple(_chords(scene, seconds)) if harmony else (), tuple(_beats(scene, seconds)))


def _events(scene: Scene, role: Role, centre_note: int, plucked: bool) -> Sequence[Event]:
    """Return one loop of the written notes of a role."""
    if role == "comp":
        return comp_notes(scene.progression, scene.rhythm.comp, scene.key)
    if role == "bass":
        return bass_notes(scene.progression, scene.rhythm.bass, scene.key)
    if role == "drums":
        return [Event(hit.start, _STROKE, hit.drum, hit.velocity) for hit in scene.rhythm.groove.hits]
    notes = scene.melody.notes
    if not notes:
        return []
    tonic, share = 60 + scene.key, 1.0 if plucked else _PLAYED_LENGTH
    median = float(np.median([note.pitch for note in notes]))
    shift = tonic + 12 * (round((centre_note - tonic - median) / 12) + scene.octave)
    return [Event(note.start, share * note.length, note.pitch + shift, note.velocity) for note in notes]


def _loop_beats(scene: Scene, role: Role) -> float:
    """Return the length in beats of the loop of a role."""
    if role == "lead":
        return scene.melody.beats
    return scene.rhythm.groove.beats if role == "drums" else scene.progression.beats


def _played(
    scene: Scene, role: Role, events: Sequence[Event], seconds: float, rng: np.random.Generator
) -> tuple[Played, ...]:
    """Loop, swing and humanise written notes. Return the notes of the clip in order of time."""
    loop, beat = _loop_beats(scene, role), 60.0 / scene.tempo
    first = math.floor(scene.offset / loop)
    last = math.floor((scene.offset + seconds / beat) / loop)
    starts = np.array([event.start for event in events])
    ends = np.array([event.start + event.length for event in events])
    written = np.array([event.velocity for event in events])
    if role != "drums":  # strokes are played as written
        starts, ends = _swung(starts, scene), _swung(ends, scene)
    played = []
    for repeat in range(first, last + 1):
        jitters = np.clip(rng.normal(0, _JITTER, len(events)), -_MOST_JITTER, _MOST_JITTER)
        velocities = np.clip(written + rng.normal(0, _VELOCITY_JITTER, len(events)), 1, 127).astype(np.int64)
        rows = zip(events, starts.tolist(), ends.tolist(), jitters.tolist(), velocities.tolist(), strict=True)
        for event, start, end, jitter, velocity in rows:
            onset, until = ((repeat * loop + at - scene.offset) * beat for at in (start, end))
            sustained = role != "drums" and until > _LEAST_REMAINDER
            if onset >= seconds - _LAST_ONSET or (onset < -1e-6 and not sustained):
                continue
            at = max(onset + jitter, 0.0)
            played.append(Played(at, max(until + jitter, at + _SHORTEST), event.note, velocity))
    return _separate(played)


def _swung(beats: FloatArray, scene: Scene) -> FloatArray:
    """Move the second eighth of every beat to the position of the groove's swing."""
    if PULSE[scene.melody.meter] != 1.0:  # compound meters have groups of three eighths
        return beats
    swing = scene.rhythm.groove.swing
    whole, part = np.divmod(beats, 1.0)
    return whole + np.where(part < 0.5, 2 * part * swing, swing + (2 * part - 1) * (1 - swing))


def _separate(played: Sequence[Played]) -> tuple[Played, ...]:
    """Sort notes by time, and end each before the same note starts again. Otherwise its end would cut off the next."""
    next_start: dict[int, float] = {}
    separate = []
    for note in sorted(played, key=lambda p: (p.start, p.note), reverse=True):
        end = min(note.end, next_start.get(note.note, math.inf))
        if end > note.start:  # otherwise both start at the same time
            separate.append(Played(note.start, end, note.note, note.velocity))
            next_start[note.note] = note.start
    return tuple(reversed(separate))


def _chords(scene: Scene, seconds: float) -> Iterator[SoundingChord]:
    """Yield the chords of the clip without gaps. A chord that continues across the end of the loop is yielded once."""
    chords, beat = scene.progression, 60.0 / scene.tempo
    first = math.floor(scene.offset / chords.beats)
    last = math.floor((scene.offset + seconds / beat) / chords.beats)
    sounding: SoundingChord | None = None
    for repeat in range(first, last + 1):
        for chord in chords.chords:
            start = (repeat * chords.beats + chord.start - scene.offset) * beat
            start, end = max(start, 0.0), min(start + chord.length * beat, seconds)
            if end - start < 1e-6:
                continue
            root = (scene.key + chord.root) % 12
            if sounding and (sounding.root, sounding.kind) == (root, chord.kind):
                sounding = SoundingChord(sounding.start, end, root, chord.kind)
                continue
            if sounding:
                yield sounding
                start = sounding.end  # exactly, without rounding errors
            sounding = SoundingChord(start, end, root, chord.kind)
    if sounding:
        yield SoundingChord(sounding.start, seconds, sounding.root, sounding.kind)


def _beats(scene: Scene, seconds: float) -> Iterator[Beat]:
    """Yield every pulse within the clip."""
    pulse, beat = PULSE[scene.melody.meter], 60.0 / scene.tempo
    pulses = round(BAR[scene.melody.meter] / pulse)
    number = math.ceil(scene.offset / pulse - 1e-9)
    while (time := (number * pulse - scene.offset) * beat) < seconds:
        yield Beat(max(time, 0.0), number % pulses + 1)
        number += 1
