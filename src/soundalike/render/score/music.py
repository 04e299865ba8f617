"""What a scene is made of: melody, chords, rhythm and sound, and the nuisances that should not matter.

Times inside musical material are beats, always quarter notes, counted from a bar line; pitches and roots are semitones
above the tonic. A `Performance` is what is really played: seconds from the clip's start and MIDI notes.
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

# Quarter notes in a bar, and in what the foot taps to. 2/4 and 2/2 are read as 4/4, 12/8 as 6/8.
BAR: Mapping[str, float] = {"4/4": 4.0, "3/4": 3.0, "6/8": 3.0, "9/8": 4.5}
PULSE: Mapping[str, float] = {"4/4": 1.0, "3/4": 1.0, "6/8": 1.5, "9/8": 1.5}
METERS = tuple(BAR)

# The scale of each mode, semitones above the tonic.
MODES: Mapping[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10),
}

# Kinds of chord, under their names in Harte's syntax ("Symbolic Representation of Musical Chords", 2005), as semitones
# above the root.
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
    """One melody note: `start` and `length` in beats, `pitch` in semitones above the tonic, MIDI velocity."""

    start: float
    length: float
    pitch: int
    velocity: int = 96


@dataclass(frozen=True, slots=True)
class Melody:
    """A tune, or some bars of one: `beats` beats from a bar line on, monophonic, in order of time.

    `name` is the work, what splits go by; `setting` is the version of it that this was read from.
    """

    name: str
    setting: str
    meter: str
    mode: str
    beats: float
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord from beat `start` for `length` beats; `root` in semitones above the tonic (0 to 11), `kind` of CHORDS."""

    start: float
    length: float
    root: int
    kind: str


@dataclass(frozen=True, slots=True)
class Progression:
    """Chords that fill `beats` beats, whole bars of `meter`, without a gap. `name` is what splits go by."""

    name: str
    meter: str
    mode: str
    beats: float
    chords: tuple[Chord, ...]

    def at(self, beat: float) -> Chord:
        """The chord that sounds at `beat`, which may lie beyond the loop."""
        return max((c for c in self.chords if c.start <= beat % self.beats + 1e-6), key=lambda c: c.start)


@dataclass(frozen=True, slots=True)
class Hit:
    """One stroke: `start` in beats, `drum` a General MIDI percussion note (35 to 81), MIDI velocity."""

    start: float
    drum: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Groove:
    """A drum pattern of whole bars that loops.

    `source` is what splits go by: a drummer, or a pattern of the grammar. `tempo` is how fast it was played (quarter
    notes a minute), where that is known. `swing` says where the other players put their off-beat eighth: 0.5 straight,
    0.667 triplet; the hits themselves stand where they are written.
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
    """A groove, and the names of the patterns in which chords and bass are played to it."""

    groove: Groove
    comp: str
    bass: str


@dataclass(frozen=True, slots=True)
class Sound:
    """An instrument: `bank` is the short name of a soundfont, "voices" or a kit; `program` its number there."""

    bank: str
    program: int


@dataclass(frozen=True, slots=True)
class Band:
    """Timbre: who plays, how they are balanced, in what room. None for a player who stays silent.

    Levels in dB, by `mixing.loudness`: the lead against all the rest, the drums against all the rest (where both play
    with others, what is left is the rest), the bass against the comping. `room` is 0 (dry) to 1.
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
        """Who plays a role."""
        return {"lead": self.lead, "comp": self.comp, "bass": self.bass, "drums": self.drums}[role]

    @property
    def layout(self) -> tuple[Role, ...]:
        """The roles that sound."""
        return tuple(role for role in ROLES if self.sound(role) is not None)


@dataclass(frozen=True, slots=True)
class Effects:
    """What recordings differ by, besides music.

    `tilt_db` turns the spectrum about 1 kHz (treble minus bass), `highpass` and `lowpass` in Hz or None, `squash` is a
    compressor's ratio (1: none), `hiss_db` the level of noise against the music, negative, or None, `codec` "mp3",
    "ogg" or None with `quality` from 0 (worst) to 1.
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
    """What is played and how: melody x harmony x rhythm x timbre, and nuisances.

    `key` is the tonic in semitones above C (0 to 11), `tempo` in quarter notes a minute, `offset` the beats of music
    before the clip starts, `octave` shifts the lead, `level` is dBFS RMS (less where it would clip), `seed` draws the
    players' small inaccuracies.
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
    """A note as it sounds: seconds from the clip's start (it may end after the clip does), MIDI note and velocity."""

    start: float
    end: float
    note: int
    velocity: int


@dataclass(frozen=True, slots=True)
class SoundingChord:
    """A chord as it sounds: seconds, cut to the clip; `root` a pitch class (0 is C), `kind` of CHORDS."""

    start: float
    end: float
    root: int
    kind: str


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat of the clip: its time in seconds, and its place in the bar, from 1 (a pulse of the meter)."""

    time: float
    place: int


@dataclass(frozen=True, slots=True)
class Performance:
    """What is played in a clip of `seconds` seconds: notes by role (drums: percussion notes), chords, beats."""

    seconds: float
    parts: Mapping[Role, tuple[Played, ...]]
    chords: tuple[SoundingChord, ...]
    beats: tuple[Beat, ...]


@dataclass(frozen=True, slots=True)
class Clip:
    """A rendered scene.

    `samples` (t,) float32 at `rate`; `stems` {role: (t,) float32} as they lie in the mix, before effects; `levels` the
    measured dB of each stem against the sum of the others (inf where it is alone).
    """

    samples: FloatArray
    rate: int
    stems: Mapping[Role, FloatArray]
    levels: Mapping[Role, float]
    performance: Performance


def part_of(name: str) -> SplitPart:
    """The part of the split that a source belongs to: a tenth each to test and validation, by the hash of its name."""
    tenth = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[0] * 10 // 256
    return "test" if tenth == 0 else "validation" if tenth == 1 else "train"
