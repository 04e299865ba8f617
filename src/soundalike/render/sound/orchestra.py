"""Who can play: every sound of the soundfonts, of our own synthesis and of sampled kits, by role and part of the split.

What is tested on is unlike what is learnt from: sounds of the train part are heard in validation too, those of the test
part nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import ROLES, Band, Played, Role, Sound, SplitPart
from soundalike.render.sound.effects import amplified
from soundalike.render.sound.fluid import DRUM_BANK, SYNTH_RATE, Player, read_presets
from soundalike.render.sound.soundfonts import Soundfont, split_soundfonts

if TYPE_CHECKING:
    from soundalike.render.sound.kits import Kit

__all__ = ["PROGRAMS", "VOICES", "Orchestra"]

VOICES, SINGERS = "voices", "singers"  # the banks of our own synthesis

# General MIDI programs by role (drums: GS drum kits), and how often each is drawn.
PROGRAMS: Mapping[Role, Mapping[int, int]] = {
    "lead": {
        **dict.fromkeys((0, 1, 4, 5, 11, 12, 16, 18, 21, 22, *range(24, 31), 41, 42, 48, 57, 59, 60, 61, 62, 64), 1),
        **dict.fromkeys((66, 67, 68, 71, 74, 75, 78, 79, *range(80, 88), 104, 105, 110), 1),
        **dict.fromkeys((40, 52, 53, 54, 56, 65, 73), 2),
        85: 3,
    },
    "comp": {
        **dict.fromkeys((1, 2, 3, 6, 7, 11, 12, 15, 16, 17, 18, 19, 21, 26, 28, 46, 49, 50, 51, 52, 53), 1),
        **dict.fromkeys((61, 62, 63, *range(88, 96), 105, 107), 1),
        **dict.fromkeys((0, 4, 5, 24, 25, 27, 48), 2),
        **dict.fromkeys((29, 30), 3),
    },
    "bass": {**dict.fromkeys((34, 35, 36, 37, 43, 58), 1), **dict.fromkeys((32, 33, 38, 39), 2)},
    "drums": {**dict.fromkeys((24, 25, 32, 40), 1), **dict.fromkeys((0, 8, 16), 2)},
}

# dB of drive, for soundfonts hold single notes of overdriven guitars, and what makes a chord of one is how its notes
# distort each other.
_DRIVE: Mapping[int, float] = {29: 12.0, 30: 24.0}

# How often a sound comes from where, in proportion; among soundfonts, or among kits, each is as likely as the others.
_SHARES: Mapping[Role, Mapping[str, float]] = {
    "lead": {"soundfonts": 0.5, "voices": 0.15, "singers": 0.35},
    "comp": {"soundfonts": 0.75, "voices": 0.2},
    "bass": {"soundfonts": 0.75, "voices": 0.2},
    "drums": {"soundfonts": 0.65, "voices": 0.1, "kits": 0.25},
}

# Measured on every program of the known soundfonts over the range of its role: what is silent in half of it (Whistle),
# and kits whose drums are bit for bit those of another one (Jazz is Standard).
_UNUSABLE: Mapping[str, frozenset[tuple[Role, int]]] = {
    "timgm6mb": frozenset({("lead", 78), ("drums", 32)}),
    "csound": frozenset({("drums", 32)}),
}

# Where a lead is at home: the MIDI note that its tunes centre on, else _HOME.
_HOMES: Mapping[int, int] = {
    **dict.fromkeys(range(24, 32), 66),
    **dict.fromkeys((42, 43), 55),
    **dict.fromkeys((52, 53, 54), 67),
    **dict.fromkeys((57, 58), 56),
    **dict.fromkeys((64, 65, 66), 64),
    **dict.fromkeys(range(72, 80), 79),
    **{40: 74, 41: 66, 60: 62, 67: 55, 70: 54},
}
_HOME = 72
_VIBRATO = {*range(40, 44), *range(52, 55), *range(64, 69), *range(71, 76), 80, 81, 85}
_PLUCKED = {*range(16), *range(24, 32), 45, 46, *range(104, 109), 112, 114}
_PLUCKED_KINDS = {"plucked", "mallet"}

_KITS = {0: "Standard", 8: "Room", 16: "Power", 24: "Electronic", 25: "TR-808", 32: "Jazz", 40: "Brush"}

# General MIDI Level 1, programs 0 to 127.
_GENERAL_MIDI = """
    Acoustic Grand Piano,Bright Acoustic Piano,Electric Grand Piano,Honky-tonk Piano,Electric Piano 1,Electric Piano 2,
    Harpsichord,Clavi,Celesta,Glockenspiel,Music Box,Vibraphone,Marimba,Xylophone,Tubular Bells,Dulcimer,Drawbar Organ,
    Percussive Organ,Rock Organ,Church Organ,Reed Organ,Accordion,Harmonica,Tango Accordion,Acoustic Guitar (nylon),
    Acoustic Guitar (steel),Electric Guitar (jazz),Electric Guitar (clean),Electric Guitar (muted),Overdriven Guitar,
    Distortion Guitar,Guitar Harmonics,Acoustic Bass,Electric Bass (finger),Electric Bass (pick),Fretless Bass,
    Slap Bass 1,Slap Bass 2,Synth Bass 1,Synth Bass 2,Violin,Viola,Cello,Contrabass,Tremolo Strings,Pizzicato Strings,
    Orchestral Harp,Timpani,String Ensemble 1,String Ensemble 2,Synth Strings 1,Synth Strings 2,Choir Aahs,Voice Oohs,
    Synth Voice,Orchestra Hit,Trumpet,Trombone,Tuba,Muted Trumpet,French Horn,Brass Section,Synth Brass 1,Synth Brass 2,
    Soprano Sax,Alto Sax,Tenor Sax,Baritone Sax,Oboe,English Horn,Bassoon,Clarinet,Piccolo,Flute,Recorder,Pan Flute,
    Blown Bottle,Shakuhachi,Whistle,Ocarina,Lead 1 (square),Lead 2 (sawtooth),Lead 3 (calliope),Lead 4 (chiff),
    Lead 5 (charang),Lead 6 (voice),Lead 7 (fifths),Lead 8 (bass + lead),Pad 1 (new age),Pad 2 (warm),
    Pad 3 (polysynth),Pad 4 (choir),Pad 5 (bowed),Pad 6 (metallic),Pad 7 (halo),Pad 8 (sweep),FX 1 (rain),
    FX 2 (soundtrack),FX 3 (crystal),FX 4 (atmosphere),FX 5 (brightness),FX 6 (goblins),FX 7 (echoes),FX 8 (sci-fi),
    Sitar,Banjo,Shamisen,Koto,Kalimba,Bagpipe,Fiddle,Shanai,Tinkle Bell,Agogo,Steel Drums,Woodblock,Taiko Drum,
    Melodic Tom,Synth Drum,Reverse Cymbal,Guitar Fret Noise,Breath Noise,Seashore,Bird Tweet,Telephone Ring,Helicopter,
    Applause,Gunshot
"""
_NAMES = tuple(name.strip() for name in _GENERAL_MIDI.split(","))


class Orchestra:
    """All players. `problems` are lines for the user about what is missing, `licences` those of the banks.

    Soundfonts are loaded when they first play, once a process; a pickled orchestra takes none along. `voices` and
    `kits` say whether our own synthesis and the installed sampled kits may be drawn. Raises UsageError if a soundfont
    is missing or damaged.
    """

    def __init__(self, soundfonts: Sequence[Soundfont], voices: bool = True, kits: bool = True) -> None:
        from soundalike.render.sound.singers import Singers
        from soundalike.render.sound.voices import Voices

        self._soundfonts = {one.bank: one for one in split_soundfonts(soundfonts)}
        self._own: Mapping[str, Voices | Singers] = {VOICES: Voices(), SINGERS: Singers()}
        self._kits = _find_kits() if kits else {}
        self._players: dict[str, Player] = {}
        presets = {bank: read_presets(one.path) for bank, one in self._soundfonts.items()}
        problems = [line for bank, has in presets.items() for line in _lacking(bank, has)]
        # Without a soundfont to test on, our own sounds are what can be tested on: then nothing else hears them.
        own: SplitPart = "test" if {one.part for one in self._soundfonts.values()} == {"train"} else "train"
        if own == "test" and (voices or kits):
            problems.append(
                "no soundfont is for test: own voices and kits are, and training goes without them; "
                "install csound-soundfont or give --soundfont FILE=test"
            )
        self._pools: dict[tuple[Role, SplitPart], tuple[Sound, ...]] = {}
        for role in ROLES:
            sounds: dict[SplitPart, list[Sound]] = {"train": [], "test": []}
            for bank, one in self._soundfonts.items():
                sounds[one.part or "train"] += [Sound(bank, program) for program in _usable(bank, presets[bank], role)]
            if voices:
                for bank, players in self._own.items():
                    sounds[own] += [Sound(bank, program) for program in players.programs(role)]
            if role == "drums":
                sounds[own] += [Sound(bank, 0) for bank in self._kits]
            if sounds["train"] and not sounds["test"]:
                problems.append(f"no sound is for test in the {role}: those of training are tested on")
            self._pools[role, "train"] = self._pools[role, "validation"] = tuple(sounds["train"])
            self._pools[role, "test"] = tuple(sounds["test"] or sounds["train"])
        self.problems = tuple(problems)
        self.licences: Mapping[str, str] = (
            {bank: one.licence for bank, one in self._soundfonts.items()}
            | {
                bank: f"{kit.licence}, by {kit.author}" if kit.author else kit.licence
                for bank, kit in self._kits.items()
            }
            | (dict.fromkeys(self._own, "own synthesis") if voices else {})
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_players": {}}

    def pool(self, role: Role, part: SplitPart) -> tuple[Sound, ...]:
        """Every sound that may play `role` in `part`."""
        return self._pools[role, part]

    def draw(self, role: Role, part: SplitPart, rng: np.random.Generator, unlike: Sequence[Sound] = ()) -> Sound:
        """A sound for `role`: first where it comes from is drawn, then its program.

        `unlike` are sounds of the same role that it must not resemble. Alike are, for lead and comp, General MIDI
        programs of one family, for the bass and the drums one program (of drums: in soundfonts that share samples), of
        own voices one kind of synthesis, of singers one manner at one height. Where all sounds are like one of these,
        one that is not the same is drawn if there is one. Raises UsageError if no sound plays the role.
        """
        pool = self.pool(role, part)
        if not pool:
            raise UsageError(
                f"no sound for the {role} in {part}: give another --soundfont, or apt install csound-soundfont"
            )
        alike = [max((self._likeness(sound, other, role) for other in unlike), default=0) for sound in pool]
        left = [sound for sound, likeness in zip(pool, alike, strict=True) if likeness == min(alike)]
        weights = self._weights(left, role)
        return left[int(rng.choice(len(left), p=weights / weights.sum()))]

    def play(self, sound: Sound, role: Role, notes: Sequence[Played], seconds: float) -> FloatArray:
        """(t,) float32 mono at SYNTH_RATE, `seconds` long: one part, dry.

        Raises UsageError if the sound's bank or program is not there.
        """
        if own := self._own.get(sound.bank):
            return own.play(sound.program, role, notes, seconds)
        if sound.bank in self._kits:
            return self._kits[sound.bank].play(notes, seconds)
        path = self._soundfont(sound).path
        if sound.bank not in self._players:
            self._players[sound.bank] = Player(path)
        drums = role == "drums"
        vibrato = not drums and self.vibrato(sound)
        out = self._players[sound.bank].play(sound.program, notes, seconds, drums=drums, vibrato=vibrato)
        drive = 0.0 if drums else _DRIVE.get(sound.program, 0.0)
        return amplified(out, drive, SYNTH_RATE) if drive else out

    def describe(self, sound: Sound, role: Role) -> str:
        """Such as "Flute (fluidr3 73)", "Brush Kit (fluidr3 40)". Raises UsageError if the bank is not there."""
        if own := self._own.get(sound.bank):
            return f"{own.describe(sound.program)} ({sound.bank} {sound.program})"
        if sound.bank in self._kits:
            return f"{self._kits[sound.bank].name} (sampled kit)"
        bank = self._soundfont(sound).bank
        name = f"{_KITS.get(sound.program, 'Drum')} Kit" if role == "drums" else _NAMES[sound.program]
        return f"{name} ({bank} {sound.program})"

    def players(self, band: Band) -> dict[Role, str]:
        """`describe` for every role that sounds in a band."""
        return {role: self.describe(sound, role) for role in ROLES if (sound := band.sound(role))}

    def family(self, sound: Sound) -> str:
        """What it shares samples with: a family of soundfonts, "voices", "singers", or the kit itself.

        Raises UsageError if the bank is not there.
        """
        own = sound.bank in self._own or sound.bank in self._kits
        return sound.bank if own else self._soundfont(sound).family

    def range(self, sound: Sound, role: Role) -> int | None:
        """The MIDI note that a lead's tunes centre on; None for the other roles, whose range is their own affair."""
        if role != "lead":
            return None
        own = self._own.get(sound.bank)
        return own.home(sound.program) if own else _HOMES.get(sound.program, _HOME)

    def plucked(self, sound: Sound) -> bool:
        """Whether the notes of a lead, comp or bass ring on by themselves, as plucked and struck ones do."""
        own = self._own.get(sound.bank)
        return own.kind(sound.program) in _PLUCKED_KINDS if own else sound.program in _PLUCKED

    def vibrato(self, sound: Sound) -> bool:
        """Whether a lead, comp or bass of a soundfont is played with vibrato; own voices have theirs built in."""
        return sound.bank not in self._own and sound.program in _VIBRATO

    def _soundfont(self, sound: Sound) -> Soundfont:
        if sound.bank not in self._soundfonts:
            raise UsageError(f"no soundfont or kit is called {sound.bank} here; install it or give --soundfont FILE")
        return self._soundfonts[sound.bank]

    def _likeness(self, sound: Sound, other: Sound, role: Role) -> int:
        """2 for the same sound, 1 for the same instrument, else 0."""
        return 2 if sound == other else int(self._instrument(sound, role) == self._instrument(other, role))

    def _instrument(self, sound: Sound, role: Role) -> tuple[str, Hashable]:
        """What two sounds have in common that are alike."""
        if own := self._own.get(sound.bank):
            return sound.bank, own.kind(sound.program)
        if role == "drums":
            return self.family(sound), sound.program
        return "General MIDI", sound.program if role == "bass" else sound.program // 8

    def _weights(self, sounds: Sequence[Sound], role: Role) -> FloatArray:
        """(n,) how often each is drawn, in proportion."""
        weights = [PROGRAMS[role][one.program] if one.bank in self._soundfonts else 1 for one in sounds]
        in_bank: Counter[str] = Counter()
        for sound, weight in zip(sounds, weights, strict=True):
            in_bank[sound.bank] += weight
        origins = [self._origin(one.bank) for one in sounds]
        banks = Counter(map(self._origin, in_bank))
        shares = np.array([_SHARES[role][origin] / banks[origin] for origin in origins])
        return shares * weights / [in_bank[one.bank] for one in sounds]

    def _origin(self, bank: str) -> str:
        """The key of _SHARES."""
        return bank if bank in self._own else "kits" if bank in self._kits else "soundfonts"


def _find_kits() -> dict[str, Kit]:
    from soundalike.render.sound.kits import find_kits

    return {f"kit:{kit.name}": kit for kit in find_kits()}


def _preset(role: Role, program: int) -> tuple[int, int]:
    return DRUM_BANK if role == "drums" else 0, program


def _usable(bank: str, presets: frozenset[tuple[int, int]], role: Role) -> list[int]:
    """The programs of a soundfont that can play `role`."""
    unusable = _UNUSABLE.get(bank, frozenset())
    return [p for p in sorted(PROGRAMS[role]) if _preset(role, p) in presets and (role, p) not in unusable]


def _lacking(bank: str, presets: frozenset[tuple[int, int]]) -> list[str]:
    """A line for the instruments that a soundfont lacks, and one for the drum kits."""
    lines = []
    for noun, roles in (("instrument", ("lead", "comp", "bass")), ("drum kit", ("drums",))):
        lacks = sorted(
            {p for role in ROLES if role in roles for p in PROGRAMS[role] if _preset(role, p) not in presets}
        )
        if lacks:
            plural = "s" if len(lacks) > 1 else ""
            lines.append(f"{bank} lacks {len(lacks)} {noun}{plural}: {', '.join(map(str, lacks))}")
    return lines
