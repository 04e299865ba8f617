"""Perform a song: the notes of every part, section by section, with fills and an ending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundalike.render.score.music import (
    BAR,
    MODES,
    PULSE,
    Band,
    Beat,
    Chord,
    Groove,
    Hit,
    Melody,
    Note,
    Played,
    Progression,
    Rhythm,
    Role,
    Scene,
    Sound,
    SoundingChord,
)
from soundalike.render.score.patterns import FILLS
from soundalike.render.score.perform import perform
from soundalike.render.songs.draw import TAIL
from soundalike.render.songs.instruments import role_of
from soundalike.render.songs.song import Part, Section, Song
from soundalike.render.sound.orchestra import Orchestra

__all__ = ["SongPerformance", "perform_song"]

# Velocities and lengths are multiples of these, so that many notes are equal and can share one sound.
_VELOCITY_STEP, _LENGTH_STEP = 6, 0.025  # seconds
_SHORTEST = 2 * _LENGTH_STEP
_STRUM = 0.009  # seconds between the strings of a guitar
_TOGETHER = 0.03  # seconds within which the notes of a strummed chord start
_FILL_SHARE = 0.75  # of the sections that another one with drums follows
_FILL_DRUMS = (38, 38, 48, 45, 41)
_KICK, _CRASH = 36, 49
_FILL, _CHORDS = 9, 8  # random streams of the seed of a song, beside the numbers of the parts


@dataclass(frozen=True, slots=True)
class SongPerformance:
    """Everything that is played in a song.

    Attributes:
        parts: The notes of each part by name, in order of time.
        runs: The times in seconds in which each part plays without pause, as (start, end).
        chords: The chords without gaps.
        beats: The pulses.
    """

    parts: Mapping[str, tuple[Played, ...]]
    runs: Mapping[str, tuple[tuple[float, float], ...]]
    chords: tuple[SoundingChord, ...]
    beats: tuple[Beat, ...]


def perform_song(song: Song, orchestra: Orchestra) -> SongPerformance:
    """Perform a song. The same song gives the same performance.

    Velocities are multiples of 6 and lengths are multiples of 25 ms.

    Args:
        song: The song.
        orchestra: It tells the register of leads, and which sounds decay by themselves.

    Example:
        >>> performance = perform_song(song, orchestra)
        >>> performance.parts["S00"][0].note
        36
    """
    stretches = _stretches(song)
    parts = {}
    for number, part in enumerate(song.parts):
        notes: list[Played] = []
        for k, stretch in enumerate(stretches):
            if part.name in stretch.section.playing:
                following = stretches[k + 1] if k + 1 < len(stretches) else None
                notes += _perform_part(song, part, stretch, following, orchestra, [song.seed, number, k])
        parts[part.name] = _separate(notes)
    chords: list[SoundingChord] = []
    beats: list[Beat] = []
    for stretch in stretches:
        scene = _scene(song, stretch, Band(comp=Sound("", 0)), Rhythm(_no_groove(song), "pad", ""), _CHORDS)
        found = perform(scene, stretch.seconds)
        chords += [replace(c, start=c.start + stretch.start, end=c.end + stretch.start) for c in found.chords]
        beats += [replace(beat, time=beat.time + stretch.start) for beat in found.beats]
    return SongPerformance(parts, _runs(song), tuple(chords), tuple(beats))


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A section, or the last bar of a song that ends on a chord. `start` and `seconds` are in seconds."""

    section: Section
    start: float
    seconds: float
    melody: Melody
    progression: Progression
    groove: Groove
    is_ending: bool = False


def _stretches(song: Song) -> list[_Stretch]:
    found = []
    for section in song.sections:
        theme, (start, end) = song.themes[section.theme], song.span(section)
        melody = theme.melodies[section.take % len(theme.melodies)]
        found.append(_Stretch(section, start, end - start, melody, theme.progression, theme.groove))
    if song.bus.fades or found[-1].section.bars < 2:
        return found
    last, bar = found.pop(), song.bar_seconds
    found.append(replace(last, seconds=last.seconds - bar))
    beats = BAR[song.meter]
    tonic = Chord(0.0, beats, 0, "min" if MODES[song.mode][2] == 3 else "maj")
    return [
        *found,
        _Stretch(
            last.section,
            last.start + last.seconds - bar,
            bar,
            replace(last.melody, beats=beats, notes=(Note(0.0, beats, _final_pitch(last.melody)),)),
            Progression(last.progression.name, song.meter, song.mode, beats, (tonic,)),
            Groove("ending", "", song.meter, beats, (Hit(0.0, _KICK, 108), Hit(0.0, _CRASH, 104))),
            is_ending=True,
        ),
    ]


def _final_pitch(melody: Melody) -> int:
    """Return the tonic that is nearest to the end of a melody."""
    return 12 * round(melody.notes[-1].pitch / 12) if melody.notes else 0


def _perform_part(
    song: Song, part: Part, stretch: _Stretch, following: _Stretch | None, orchestra: Orchestra, seed: Sequence[int]
) -> list[Played]:
    role = role_of(part.function)
    rng = np.random.default_rng(seed)
    style = part.styles.get(stretch.section.theme, "")
    if stretch.is_ending and role == "comp":
        style = "pad"
    groove = stretch.groove
    if role == "drums" and not stretch.is_ending:
        groove = _with_fill(rng, song, part, stretch, following)
    scene = _scene(song, stretch, _band(role, part), Rhythm(groove, style, style), int(rng.integers(2**31)))
    scene = replace(scene, octave=part.octave if role == "lead" else 0)
    found = perform(
        scene,
        stretch.seconds,
        centre_note=orchestra.centre_note(part.sound, role) or 72,
        plucked=role != "drums" and orchestra.plucked(part.sound),
    ).parts[role]
    if stretch.is_ending and role == "bass":
        found = tuple(replace(note, end=stretch.seconds) for note in found[:1])
    if part.stem_class == "guitar" and part.function == "comp":
        found = _strummed(found)
    shift = 12 * part.octave if role == "comp" else 0
    until = stretch.seconds + (TAIL / 2 if stretch.is_ending else 0.0)
    return [_rounded(note, shift, until, stretch) for note in found]


def _scene(song: Song, stretch: _Stretch, band: Band, rhythm: Rhythm, seed: int) -> Scene:
    return Scene(stretch.melody, stretch.progression, rhythm, band, key=song.key, tempo=song.tempo, seed=seed)


def _band(role: Role, part: Part) -> Band:
    fields: dict[str, Sound] = {role: part.sound}
    return Band(**fields)  # type: ignore[arg-type]


def _no_groove(song: Song) -> Groove:
    return Groove("", "", song.meter, BAR[song.meter], ())


def _rounded(note: Played, shift: int, until: float, stretch: _Stretch) -> Played:
    """Return a note of a stretch as a note of the song. It is transposed, and ends at `until` at the latest."""
    velocity = _VELOCITY_STEP * round(note.velocity * stretch.section.energy / _VELOCITY_STEP)
    length = max(_LENGTH_STEP * int((min(note.end, until) - note.start) / _LENGTH_STEP), _SHORTEST)
    onset = stretch.start + note.start
    return Played(onset, onset + length, note.note + shift, min(max(velocity, _VELOCITY_STEP), 126))


def _strummed(notes: Sequence[Played]) -> tuple[Played, ...]:
    """Let the notes of a chord start one after the other, from the lowest to the highest."""
    found: list[Played] = []
    chord: list[Played] = []
    for note in [*notes, None]:
        if chord and (note is None or note.start - chord[0].start > _TOGETHER):
            first = chord[0].start
            for k, one in enumerate(sorted(chord, key=lambda each: each.note)):
                found.append(replace(one, start=first + k * _STRUM, end=max(one.end, first + k * _STRUM + _SHORTEST)))
            chord = []
        if note is not None:
            chord.append(note)
    return tuple(found)


def _with_fill(
    rng: np.random.Generator, song: Song, part: Part, stretch: _Stretch, following: _Stretch | None
) -> Groove:
    """Repeat a groove over a section, with a fill at its end and a crash at its start."""
    beats = round(stretch.seconds * song.tempo / 60 * 4) / 4
    loop = stretch.groove
    hits = [
        replace(hit, start=hit.start + repeat * loop.beats)
        for repeat in range(int(np.ceil(beats / loop.beats)))
        for hit in loop.hits
        if hit.start + repeat * loop.beats < beats - 1e-6
    ]
    is_followed = following is not None and part.name in following.section.playing
    if is_followed and rng.random() < _FILL_SHARE:
        pulse = PULSE[song.meter]
        start = beats - pulse * int(rng.choice([1, 2]))
        hits = [hit for hit in hits if hit.start < start] + _fill(rng, start, beats, pulse, loop.swing)
    if stretch.section.kind in ("chorus", "bridge") or (stretch.section.kind == "verse" and rng.random() < 0.4):
        hits += [Hit(0.0, _CRASH, 100)]
    return replace(loop, beats=beats, hits=tuple(sorted(hits, key=lambda hit: (hit.start, hit.drum))))


def _fill(rng: np.random.Generator, start: float, end: float, pulse: float, swing: float) -> list[Hit]:
    """Draw strokes on snare and toms, from high to low and growing louder."""
    steps = 3 if pulse != 1.0 or swing > 0.58 else 4
    total = round((end - start) / pulse) * steps
    marks = "".join(str(rng.choice(FILLS[steps])) for _ in range(total // steps))
    return [
        Hit(
            start + k * pulse / steps,
            _FILL_DRUMS[min(int(k / total * len(_FILL_DRUMS)), len(_FILL_DRUMS) - 1)],
            int(80 + 28 * k / total),
        )
        for k, mark in enumerate(marks)
        if mark != "."
    ]


def _separate(notes: Sequence[Played]) -> tuple[Played, ...]:
    """Sort notes by time, and end each where the same note starts again. The first of two simultaneous ones stays."""
    starts: dict[int, float] = {}
    found = []
    for note in sorted(notes, key=lambda one: (one.start, one.note), reverse=True):
        following = starts.get(note.note, np.inf)
        if note.end > following:
            length = _LENGTH_STEP * int((following - note.start) / _LENGTH_STEP)
            if length <= 0:
                continue
            note = replace(note, end=note.start + length)
        starts[note.note] = note.start
        found.append(note)
    return tuple(reversed(found))


def _runs(song: Song) -> dict[str, tuple[tuple[float, float], ...]]:
    runs = {}
    for part in song.parts:
        joined: list[tuple[float, float]] = []
        for section in song.sections:
            if part.name in section.playing:
                start, end = song.span(section)
                if joined and abs(joined[-1][1] - start) < 1e-6:
                    start = joined.pop()[0]
                joined.append((start, end))
        runs[part.name] = tuple(joined)
    return runs
