"""The elements of a song: parts, themes and sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from soundalike.render.score.music import BAR, Groove, Melody, Progression, Sound, SplitPart

__all__ = [
    "STEM_CLASSES",
    "Bus",
    "Channel",
    "Function",
    "Part",
    "Section",
    "SectionKind",
    "Song",
    "StemClass",
    "Theme",
    "ThemeName",
    "class_of",
]

StemClass: TypeAlias = Literal["drums", "bass", "piano", "guitar", "vocals", "residuals"]
Function: TypeAlias = Literal["drums", "bass", "comp", "pad", "lead", "vocals"]
SectionKind: TypeAlias = Literal["intro", "verse", "chorus", "bridge", "outro"]
ThemeName: TypeAlias = Literal["verse", "chorus", "bridge"]

STEM_CLASSES: tuple[StemClass, ...] = ("drums", "bass", "piano", "guitar", "vocals", "residuals")


def class_of(program: int) -> StemClass:
    """Return the class of a General MIDI program as in Slakh2100: 128 stands for drum kits.

    Example:
        >>> class_of(30)
        'guitar'
    """
    if program == 128:
        return "drums"
    ranges: Mapping[StemClass, range] = {"piano": range(8), "guitar": range(24, 32), "bass": range(32, 40)}
    return next((name for name, programs in ranges.items() if program in programs), "residuals")


@dataclass(frozen=True, slots=True)
class Channel:
    """The channel of a part in the mixing desk.

    Attributes:
        level_db: Loudness of the part relative to the others in LU.
        pan: Position from -1 (left) to 1 (right). The mix is mono, so that the position only lowers the level.
        highpass: Cutoff of a high-pass filter in Hz.
        tilt_db: Gain of the treble minus gain of the bass.
        send: Amount of reverberation, from 0 (dry) to 1.
    """

    level_db: float
    pan: float
    highpass: float
    tilt_db: float
    send: float


@dataclass(frozen=True, slots=True)
class Bus:
    """The treatment of the sum of all parts.

    Attributes:
        room: Size of the reverberation, from 0 to 1.
        ratio: Ratio of the compressor, from 1 (none).
        loudness: Integrated loudness of the mix in LUFS. It is lower if the limiter would otherwise work too hard.
        fades: Whether the song fades out. Otherwise it ends on a chord.
    """

    room: float
    ratio: float
    loudness: float
    fades: bool


@dataclass(frozen=True, slots=True)
class Part:
    """An instrument of a song, which becomes one stem.

    Attributes:
        name: The name of the stem, such as "S03".
        stem_class: One of `STEM_CLASSES`.
        function: What it plays.
        sound: The sound.
        program: The General MIDI program; 128 for drums.
        styles: The comping or bass style in each theme. Empty for other functions.
        octave: Shift in octaves.
        channel: Level, position, filters and reverberation.
    """

    name: str
    stem_class: StemClass
    function: Function
    sound: Sound
    program: int
    styles: Mapping[ThemeName, str]
    octave: int
    channel: Channel


@dataclass(frozen=True, slots=True)
class Theme:
    """The music of a kind of section, which returns whenever the section does.

    Attributes:
        melodies: The melody, and its variations for later occurrences.
        progression: The chords.
        groove: The drum pattern.
    """

    melodies: tuple[Melody, ...]
    progression: Progression
    groove: Groove


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a song.

    Attributes:
        kind: The kind of section.
        theme: The theme that it plays.
        take: The number of earlier sections of the same kind.
        first_bar: The bar in which it starts, from 0.
        bars: Its length in bars.
        playing: The names of the parts that play.
        energy: Factor on the velocities, about 0.8 to 1.05.
    """

    kind: SectionKind
    theme: ThemeName
    take: int
    first_bar: int
    bars: int
    playing: frozenset[str]
    energy: float


@dataclass(frozen=True, slots=True)
class Song:
    """Everything that determines a song.

    Attributes:
        number: The number of the song in its set, from 1.
        part: The part of the split that all of its sources belong to.
        seed: Seed of timing, velocities and reverberation.
        seconds: The length in seconds. The last section ends before it, and the last notes ring on.
        tempo: Quarter notes per minute.
        key: The tonic in semitones above C (0 to 11).
        meter: The meter of all themes.
        mode: The mode of all themes.
        parts: The instruments.
        themes: The themes by name.
        sections: The sections in order of time, without gaps.
        bus: The treatment of the mix.
    """

    number: int
    part: SplitPart
    seed: int
    seconds: float
    tempo: float
    key: int
    meter: str
    mode: str
    parts: tuple[Part, ...]
    themes: Mapping[ThemeName, Theme]
    sections: tuple[Section, ...]
    bus: Bus

    @property
    def bar_seconds(self) -> float:
        """The length of a bar in seconds."""
        return BAR[self.meter] * 60 / self.tempo

    def span(self, section: Section) -> tuple[float, float]:
        """Return the start and end of a section in seconds."""
        return section.first_bar * self.bar_seconds, (section.first_bar + section.bars) * self.bar_seconds
