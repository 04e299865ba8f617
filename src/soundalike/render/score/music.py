"""The elements of a scene: melody, chords, rhythm, sound and nuisance variables.

In musical material, times are in beats from a bar line, and a beat is always a quarter note. Pitches and roots are in
semitones above the tonic. In a `Performance`, times are in seconds from the start of the clip, and pitches are MIDI
notes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from soundalike.core.types import FloatArray

__all__ = [
    "BAR",
    "CHORDS",
    "FACTORS",
    "METERS",
    "MODES",
    "PULSE",
    "ROLES",
    "SPLIT",
    "Band",
    "Beat",
    "Chord",
    "Clip",
    "Effects",
    "Groove",
    "Hit",
    "Melody",
    "Note",
    "Performance",
    "Played",
    "Progression",
    "Rhythm",
    "Role",
    "Scene",
    "Sound",
    "SoundingChord",
    "SplitPart",
    "part_of",
]

Role: TypeAlias = Literal["lead", "comp", "bass", "drums"]
SplitPart: TypeAlias = Literal["train", "validation", "test"]

FACTORS = ("melody", "rhythm", "timbre", "harmony")
ROLES: tuple[Role, ...] = ("lead", "comp", "bass", "drums")
SPLIT: tuple[SplitPart, ...] = ("train", "validation", "test")

# Quarter notes per bar and per pulse. 2/4 and 2/2 are read as 4/4, and 12/8 as 6/8.
BAR: Mapping[str, float] = {"4/4": 4.0, "3/4": 3.0, "6/8": 3.0, "9/8": 4.5}
PULSE: Mapping[str, float] = {"4/4": 1.0, "3/4": 1.0, "6/8": 1.5, "9/8": 1.5}
METERS = tuple(BAR)

# The scale of each mode, in semitones above the tonic.
MODES: Mapping[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10),
}

# The tones of each kind of chord, in semitones above the root. The names follow the syntax of Harte et al. ("Symbolic
# Representation of Musical Chords", 2005).
CHORDS: Mapping[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "sus4": (0, 5, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "hdim7": (0, 3, 6, 10),
}


@dataclass(frozen=True, slots=True)
class Note:
    """A melody note: `start` and `length` in beats, `pitch` in semitones above the tonic, MIDI `velocity`."""

    start: float
    length: float
    pitch: int
    velocity: int = 96


@dataclass(frozen=True, slots=True)
class Melody:
    """A tune, or an excerpt of one. It is monophonic and starts at a bar line.

    Attributes:
        name: The name of the work. The split assigns melodies to parts by it.
        setting: The name of the version of the work.
        meter: One of METERS.
        mode: One of MODES.
        beats: The length in beats, a multiple of the bar.
        notes: The notes in order of time.
    """

    name: str
    setting: str
    meter: str
    mode: str
    beats: float
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord: `start` and `length` in beats, `root` in semitones above the tonic (0 to 11), `kind` of CHORDS."""

    start: float
    length: float
    root: int
    kind: str


@dataclass(frozen=True, slots=True)
class Progression:
    """A loop of chords without gaps.

    Attributes:
        name: The name of the loop (see `progression_name`). The split assigns progressions to parts by it.
        meter: One of METERS.
        mode: One of MODES.
        beats: The length in beats, a multiple of the bar.
        chords: The chords in order of time.
    """

    name: str
    meter: str
    mode: str
    beats: float
    chords: tuple[Chord, ...]

    def at(self, beat: float) -> Chord:
        """Return the chord that sounds at a beat. The loop repeats after its end."""
        return max((c for c in self.chords if c.start <= beat % self.beats + 1e-6), key=lambda c: c.start)


@dataclass(frozen=True, slots=True)
class Hit:
    """A drum stroke: `start` in beats, `drum` as a General MIDI percussion note (35 to 81), MIDI `velocity`."""

    start: float
    drum: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Groove:
    """A looping drum pattern of complete bars.

    Attributes:
        name: The name of the groove.
        source: The drummer, or the pattern of the grammar. The split assigns grooves to parts by it.
        meter: One of METERS.
        beats: The length in beats.
        hits: The strokes in order of time. They are played as written, without `swing`.
        swing: Position of the off-beat eighths of the other parts within the beat: 0.5 is straight, 0.667 triplet.
        tempo: The original tempo in quarter notes per minute. None if it is unknown.
    """

    name: str
    source: str
    meter: str
    beats: float
    hits: tuple[Hit, ...]
    swing: float = 0.5
    tempo: float | None = None


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A groove, and the names of the styles in which chords and bass are played to it."""

    groove: Groove
    comp: str
    bass: str


@dataclass(frozen=True, slots=True)
class Sound:
    """An instrument.

    Attributes:
        bank: The short name of a soundfont, "voices", "singers", or the name of a sampled kit.
        program: The number of the instrument within the bank.
    """

    bank: str
    program: int


@dataclass(frozen=True, slots=True)
class Band:
    """The timbre of a scene: instruments, levels and reverberation.

    Levels are in dB as measured by `mixing.loudness`.

    Attributes:
        lead: The sound of the lead. None if there is no lead. The same holds for the other roles.
        comp: The sound of the comping.
        bass: The sound of the bass.
        drums: The sound of the drums.
        lead_db: Level of the lead relative to the sum of all other parts.
        drums_db: Level of the drums relative to the sum of all other parts.
        bass_db: Level of the bass relative to the comping.
        room: Amount of reverberation, from 0 (dry) to 1.
    """

    lead: Sound | None = None
    comp: Sound | None = None
    bass: Sound | None = None
    drums: Sound | None = None
    lead_db: float = 0.0
    drums_db: float = 0.0
    bass_db: float = 0.0
    room: float = 0.15

    def sound(self, role: Role) -> Sound | None:
        """Return the sound of a role, or None if the role is silent."""
        return {"lead": self.lead, "comp": self.comp, "bass": self.bass, "drums": self.drums}[role]

    @property
    def layout(self) -> tuple[Role, ...]:
        """The roles that have a sound."""
        return tuple(role for role in ROLES if self.sound(role) is not None)


@dataclass(frozen=True, slots=True)
class Effects:
    """The properties of a recording that do not belong to the music.

    Attributes:
        tilt_db: Spectral tilt around 1 kHz: gain of the treble minus gain of the bass.
        highpass: Cutoff of a high-pass filter in Hz, or None.
        lowpass: Cutoff of a low-pass filter in Hz, or None.
        squash: Ratio of a compressor. 1 is no compression.
        hiss_db: Level of noise relative to the music, negative, or None.
        codec: "mp3", "ogg" or None.
        quality: Quality of the codec, from 0 (worst) to 1.
    """

    tilt_db: float = 0.0
    highpass: float | None = None
    lowpass: float | None = None
    squash: float = 1.0
    hiss_db: float | None = None
    codec: str | None = None
    quality: float = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that determines a clip: the four factors and the nuisance variables.

    Attributes:
        melody: The melody factor.
        progression: The harmony factor.
        rhythm: The rhythm factor.
        band: The timbre factor.
        key: The tonic in semitones above C (0 to 11).
        tempo: Quarter notes per minute.
        offset: Beats of music before the clip starts.
        octave: Shift of the lead in octaves.
        level: RMS level in dBFS. It is reduced if the clip would otherwise exceed the peak limit.
        effects: The properties of the recording.
        seed: Seed of the small deviations in timing and velocity, of the reverberation and of the hiss.

    Example:
        >>> scene = Scene(melody, progression, rhythm, Band(lead=Sound("fluidr3", 73)), key=2, tempo=96.0)
    """

    melody: Melody
    progression: Progression
    rhythm: Rhythm
    band: Band
    key: int = 0
    tempo: float = 120.0
    offset: float = 0.0
    octave: int = 0
    level: float = -16.0
    effects: Effects = Effects()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """A performed note: seconds from the start of the clip, MIDI note and velocity. It may end after the clip."""

    start: float
    end: float
    note: int
    velocity: int


@dataclass(frozen=True, slots=True)
class SoundingChord:
    """A performed chord: seconds within the clip, `root` as a pitch class (0 is C), `kind` of CHORDS."""

    start: float
    end: float
    root: int
    kind: str


@dataclass(frozen=True, slots=True)
class Beat:
    """A pulse of the meter: its `time` in seconds, and its `place` within the bar, counted from 1."""

    time: float
    place: int


@dataclass(frozen=True, slots=True)
class Performance:
    """Everything that is played in a clip.

    Attributes:
        seconds: The length of the clip.
        parts: The notes of each role, in order of time. Drum notes are General MIDI percussion notes.
        chords: The chords without gaps. Empty if neither comping nor bass plays.
        beats: The pulses in order of time.
    """

    seconds: float
    parts: Mapping[Role, tuple[Played, ...]]
    chords: tuple[SoundingChord, ...]
    beats: tuple[Beat, ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """A rendered scene.

    Attributes:
        samples: (t,) float32 samples.
        rate: Sample rate in Hz.
        stems: (t,) float32 samples of each role, at the level of the mix and before effects. Empty unless requested.
        levels: Measured level of each part in dB relative to the sum of the others. It is inf for a single part.
        performance: The notes, chords and beats.
    """

    samples: FloatArray
    rate: int
    stems: Mapping[Role, FloatArray]
    levels: Mapping[Role, float]
    performance: Performance


def part_of(name: str) -> SplitPart:
    """Return the part of the split that a source belongs to, by the hash of its name.

    About a tenth of all names belong to test, a tenth to validation, and the rest to train.

    Example:
        >>> part_of("tune:cooley's") in SPLIT
        True
    """
    tenth = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] * 10 // 256
    return "test" if tenth == 0 else "validation" if tenth == 1 else "train"
