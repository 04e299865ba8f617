"""All available sounds by role and part of the split: soundfonts, synthesised voices and sampled kits.

Test sounds differ from training sounds. The sounds of the train part are also used for validation. The sounds of the
test part are used nowhere else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.render.score.music import ROLES, Band, Played, Role, Sound, SplitPart
from soundalike.render.sound.effects import amplified
from soundalike.render.sound.fluid import DRUM_BANK, SYNTH_RATE, Player, read_presets
from soundalike.render.sound.general_midi import DRUM_PROGRAM, INSTRUMENT_NAMES, KIT_NAMES
from soundalike.render.sound.percussion import play_strokes
from soundalike.render.sound.soundfonts import Soundfont, split_soundfonts
from soundalike.render.sound.synthesis import add

if TYPE_CHECKING:
    from soundalike.render.sound.kits import Kit

__all__ = ["PROGRAMS", "VOICES", "Orchestra"]

VOICES, SINGERS = "voices", "singers"  # the banks of this package's synthesis

# General MIDI programs by role (drums: GS drum kits), and the weight with which each is drawn.
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

# Drive in dB for overdriven guitars. Soundfonts hold single notes, but in a real chord the notes distort one another.
_DRIVE: Mapping[int, float] = {29: 12.0, 30: 24.0}

# Weights of the origins of a sound. All soundfonts are equally likely, and so are all kits.
_SHARES: Mapping[Role, Mapping[str, float]] = {
    "lead": {"soundfonts": 0.5, "voices": 0.15, "singers": 0.35},
    "comp": {"soundfonts": 0.75, "voices": 0.2},
    "bass": {"soundfonts": 0.75, "voices": 0.2},
    "drums": {"soundfonts": 0.65, "voices": 0.1, "kits": 0.25},
}

# Found by measuring every program of the known soundfonts over the range of its role: programs that are silent in half
# of the range (Whistle), and kits that are identical to another one (Jazz is Standard).
_UNUSABLE: Mapping[str, frozenset[tuple[Role, int]]] = {
    "timgm6mb": frozenset({("lead", 78), ("drums", 32)}),
    "csound": frozenset({("drums", 32)}),
}

# The MIDI note around which a lead plays; _CENTRE_NOTE for all other programs.
_CENTRE_NOTES: Mapping[int, int] = {
    **dict.fromkeys(range(24, 32), 66),
    **dict.fromkeys((42, 43), 55),
    **dict.fromkeys((52, 53, 54), 67),
    **dict.fromkeys((57, 58), 56),
    **dict.fromkeys((64, 65, 66), 64),
    **dict.fromkeys(range(72, 80), 79),
    **{40: 74, 41: 66, 60: 62, 67: 55, 70: 54},
}
_CENTRE_NOTE = 72
_STROKE = 0.4  # seconds after which `play_shared` ends a stroke
_VIBRATO = {*range(40, 44), *range(52, 55), *range(64, 69), *range(71, 76), 80, 81, 85}
_PLUCKED = {*range(16), *range(24, 32), 45, 46, *range(104, 109), 112, 114}
_PLUCKED_KINDS = {"plucked", "mallet"}


class Orchestra:
    """All available sounds, and how to play them.

    A soundfont is loaded when it is first played, once per process. Loaded soundfonts are not pickled.

    Args:
        soundfonts: The soundfonts (see `find_soundfonts`).
        voices: Whether to use synthesised voices and singers.
        kits: Whether to use the installed sampled drum kits.

    Attributes:
        problems: Notes for the user about missing instruments and test sounds.
        licences: The licence of each bank.

    Raises:
        UsageError: A soundfont is missing or invalid.

    Example:
        >>> orchestra = Orchestra(find_soundfonts())
        >>> sound = orchestra.draw("lead", "train", np.random.default_rng(0))
        >>> samples = orchestra.play(sound, "lead", [Played(0.0, 1.0, 72, 96)], seconds=2.0)
    """

    def __init__(self, soundfonts: Sequence[Soundfont], voices: bool = True, kits: bool = True) -> None:
        from soundalike.render.sound.singers import Singers
        from soundalike.render.sound.voices import Voices

        self._soundfonts = {soundfont.bank: soundfont for soundfont in split_soundfonts(soundfonts)}
        self._synthesis: Mapping[str, Voices | Singers] = {VOICES: Voices(), SINGERS: Singers()}
        self._voices = voices
        self._kits = _find_kits() if kits else {}
        self._players: dict[str, Player] = {}
        presets = {bank: read_presets(soundfont.path) for bank, soundfont in self._soundfonts.items()}
        problems = [line for bank, found in presets.items() for line in _missing_programs(bank, found)]
        # If no soundfont is for test, voices and kits are used for test, and only for test.
        parts = {soundfont.part for soundfont in self._soundfonts.values()}
        own_part: SplitPart = "test" if parts == {"train"} else "train"
        if own_part == "test" and (voices or kits):
            problems.append(
                "no soundfont is for test, so synthesised voices and kits are used for test and not for training; "
                "install csound-soundfont or give --soundfont FILE=test"
            )
        self._pools: dict[tuple[Role, SplitPart], tuple[Sound, ...]] = {}
        for role in ROLES:
            sounds: dict[SplitPart, list[Sound]] = {"train": [], "test": []}
            for bank, soundfont in self._soundfonts.items():
                programs = _usable(bank, presets[bank], role)
                sounds[soundfont.part or "train"] += [Sound(bank, program) for program in programs]
            if voices:
                for bank, synthesis in self._synthesis.items():
                    sounds[own_part] += [Sound(bank, program) for program in synthesis.programs(role)]
            if role == "drums":
                sounds[own_part] += [Sound(bank, 0) for bank in self._kits]
            if sounds["train"] and not sounds["test"]:
                problems.append(f"no {role} sound is for test, so the test part uses the sounds of training")
            self._pools[role, "train"] = self._pools[role, "validation"] = tuple(sounds["train"])
            self._pools[role, "test"] = tuple(sounds["test"] or sounds["train"])
        self.problems = tuple(problems)
        self.licences: Mapping[str, str] = (
            {bank: soundfont.licence for bank, soundfont in self._soundfonts.items()}
            | {
                bank: f"{kit.licence}, by {kit.author}" if kit.author else kit.licence
                for bank, kit in self._kits.items()
            }
            | (dict.fromkeys(self._synthesis, "own synthesis") if voices else {})
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_players": {}}

    def pool(self, role: Role, part: SplitPart) -> tuple[Sound, ...]:
        """Return all sounds for a role in a part of the split."""
        return self._pools[role, part]

    def own_sounds(self, role: Role) -> tuple[Sound, ...]:
        """Return the synthesised sounds for a role, whatever part of the split they belong to."""
        banks = self._synthesis.items() if self._voices else ()
        return tuple(Sound(bank, program) for bank, synthesis in banks for program in synthesis.programs(role))

    def general_midi(self, sound: Sound, role: Role) -> int:
        """Return the General MIDI program of a sound, `DRUM_PROGRAM` for drum kits.

        Synthesised voices have the program that they resemble most, and singers that of Voice Oohs.
        """
        if role == "drums":
            return DRUM_PROGRAM
        synthesis = self._synthesis.get(sound.bank)
        return synthesis.general_midi(sound.program) if synthesis else sound.program

    def draw(self, role: Role, part: SplitPart, rng: np.random.Generator, unlike: Sequence[Sound] = ()) -> Sound:
        """Draw a sound for a role: first its origin, then its program.

        Two sounds are similar if they have the same General MIDI family (lead and comp), program (bass), program in
        soundfonts that share samples (drums), kind of synthesis (voices), or manner and register (singers).

        Args:
            role: The role.
            part: The part of the split.
            rng: The random generator.
            unlike: Sounds of the same role. The result is not similar to any of them if possible. Otherwise it is at
                least not equal to any of them if possible.

        Raises:
            UsageError: There is no sound for the role.
        """
        pool = self.pool(role, part)
        if not pool:
            raise UsageError(
                f"no sound for the {role} in {part}; give another --soundfont, or apt install csound-soundfont"
            )
        similarities = [max((self._similarity(sound, other, role) for other in unlike), default=0) for sound in pool]
        candidates = [
            sound for sound, similarity in zip(pool, similarities, strict=True) if similarity == min(similarities)
        ]
        weights = self.weights(candidates, role)
        return candidates[int(rng.choice(len(candidates), p=weights / weights.sum()))]

    def play(self, sound: Sound, role: Role, notes: Sequence[Played], seconds: float) -> FloatArray:
        """Play a part without reverberation and effects.

        Args:
            sound: The sound.
            role: The role of the part.
            notes: The notes.
            seconds: The length of the result.

        Returns:
            (t,) float32 mono samples at SYNTH_RATE.

        Raises:
            UsageError: The bank or program of the sound does not exist.
        """
        if synthesis := self._synthesis.get(sound.bank):
            return synthesis.play(sound.program, role, notes, seconds)
        if sound.bank in self._kits:
            return self._kits[sound.bank].play(notes, seconds)
        drums = role == "drums"
        vibrato = not drums and self.vibrato(sound)
        out = self._player(sound).play(sound.program, notes, seconds, drums=drums, vibrato=vibrato)
        drive = 0.0 if drums else _DRIVE.get(sound.program, 0.0)
        return amplified(out, drive, SYNTH_RATE) if drive else out

    def play_shared(self, sound: Sound, role: Role, notes: Sequence[Played], seconds: float) -> FloatArray:
        """Play a part as `play` does, but synthesise equal notes only once.

        Parts of whole songs repeat most of their notes, so this takes a fraction of the time. Starts are not rounded
        to the blocks of FluidSynth, and a closed hi-hat stops an open one.

        Args:
            sound, role, notes, seconds: As for `play`. Notes are equal if their lengths differ by less than 1.5 ms and
                they have the same pitch and velocity. The length of a stroke does not matter.

        Returns:
            (t,) float32 mono samples at SYNTH_RATE.

        Raises:
            UsageError: The bank or program of the sound does not exist.
        """
        if sound.bank in self._synthesis or sound.bank in self._kits:
            return self.play(sound, role, notes, seconds)
        player, drums = self._player(sound), role == "drums"

        def key(note: Played) -> tuple[int, int, int]:
            return note.note, note.velocity, 0 if drums else round(689 * (note.end - note.start))

        distinct = {key(note): note for note in notes}
        held = [replace(note, end=note.start + _STROKE) if drums else note for note in distinct.values()]
        vibrato = not drums and self.vibrato(sound)
        found = dict(zip(distinct, player.sounds(sound.program, held, drums, vibrato), strict=True))
        if drums:
            return play_strokes(notes, seconds, lambda drum, velocity: found[drum, velocity, 0])
        out = np.zeros(round(seconds * SYNTH_RATE), np.float32)
        for note in notes:
            add(out, found[key(note)], round(note.start * SYNTH_RATE))
        drive = _DRIVE.get(sound.program, 0.0)
        return amplified(out, drive, SYNTH_RATE) if drive else out

    def describe(self, sound: Sound, role: Role) -> str:
        """Describe a sound, for example as "Flute (fluidr3 73)" or "Brush Kit (fluidr3 40)".

        Raises:
            UsageError: The bank does not exist.
        """
        if synthesis := self._synthesis.get(sound.bank):
            return f"{synthesis.describe(sound.program)} ({sound.bank} {sound.program})"
        if sound.bank in self._kits:
            return f"{self._kits[sound.bank].name} (sampled kit)"
        bank = self._soundfont(sound).bank
        name = f"{KIT_NAMES.get(sound.program, 'Drum')} Kit" if role == "drums" else INSTRUMENT_NAMES[sound.program]
        return f"{name} ({bank} {sound.program})"

    def describe_band(self, band: Band) -> dict[Role, str]:
        """Describe the sound of every role of a band that has one."""
        return {role: self.describe(sound, role) for role in ROLES if (sound := band.sound(role))}

    def family(self, sound: Sound) -> str:
        """Return the name of the group of sounds that share samples.

        It is a family of soundfonts, "voices", "singers", or the bank of a sampled kit.

        Raises:
            UsageError: The bank does not exist.
        """
        own = sound.bank in self._synthesis or sound.bank in self._kits
        return sound.bank if own else self._soundfont(sound).family

    def centre_note(self, sound: Sound, role: Role) -> int | None:
        """Return the MIDI note around which a lead plays. None for other roles, which have a fixed range."""
        if role != "lead":
            return None
        synthesis = self._synthesis.get(sound.bank)
        if synthesis:
            return synthesis.centre_note(sound.program)
        return _CENTRE_NOTES.get(sound.program, _CENTRE_NOTE)

    def plucked(self, sound: Sound) -> bool:
        """Return whether the notes of a lead, comp or bass decay by themselves, as plucked and struck ones do."""
        synthesis = self._synthesis.get(sound.bank)
        return synthesis.kind(sound.program) in _PLUCKED_KINDS if synthesis else sound.program in _PLUCKED

    def vibrato(self, sound: Sound) -> bool:
        """Return whether FluidSynth adds vibrato to a lead, comp or bass. Synthesised voices have their own."""
        return sound.bank not in self._synthesis and sound.program in _VIBRATO

    def _soundfont(self, sound: Sound) -> Soundfont:
        if sound.bank not in self._soundfonts:
            raise UsageError(f"no soundfont or kit is called {sound.bank}; install it or give --soundfont FILE")
        return self._soundfonts[sound.bank]

    def _player(self, sound: Sound) -> Player:
        path = self._soundfont(sound).path
        if sound.bank not in self._players:
            self._players[sound.bank] = Player(path)
        return self._players[sound.bank]

    def _similarity(self, sound: Sound, other: Sound, role: Role) -> int:
        """Return 2 for equal sounds, 1 for similar sounds, else 0."""
        return 2 if sound == other else int(self._instrument(sound, role) == self._instrument(other, role))

    def _instrument(self, sound: Sound, role: Role) -> tuple[str, Hashable]:
        """Return a key that similar sounds have in common."""
        if synthesis := self._synthesis.get(sound.bank):
            return sound.bank, synthesis.kind(sound.program)
        if role == "drums":
            return self.family(sound), sound.program
        return "General MIDI", sound.program if role == "bass" else sound.program // 8

    def weights(self, sounds: Sequence[Sound], role: Role) -> FloatArray:
        """Return the (n,) weights with which some sounds of a role are drawn."""
        weights = [PROGRAMS[role][sound.program] if sound.bank in self._soundfonts else 1 for sound in sounds]
        in_bank: Counter[str] = Counter()
        for sound, weight in zip(sounds, weights, strict=True):
            in_bank[sound.bank] += weight
        origins = [self._origin(sound.bank) for sound in sounds]
        banks = Counter(map(self._origin, in_bank))
        shares = np.array([_SHARES[role][origin] / banks[origin] for origin in origins])
        return shares * weights / [in_bank[sound.bank] for sound in sounds]

    def _origin(self, bank: str) -> str:
        """Return the key of a bank in _SHARES."""
        return bank if bank in self._synthesis else "kits" if bank in self._kits else "soundfonts"


def _find_kits() -> dict[str, Kit]:
    from soundalike.render.sound.kits import find_kits

    return {f"kit:{kit.name}": kit for kit in find_kits()}


def _preset(role: Role, program: int) -> tuple[int, int]:
    return DRUM_BANK if role == "drums" else 0, program


def _usable(bank: str, presets: frozenset[tuple[int, int]], role: Role) -> list[int]:
    """Return the programs of a soundfont that can play a role."""
    unusable = _UNUSABLE.get(bank, frozenset())
    return [p for p in sorted(PROGRAMS[role]) if _preset(role, p) in presets and (role, p) not in unusable]


def _missing_programs(bank: str, presets: frozenset[tuple[int, int]]) -> list[str]:
    """Return a line about the instruments that a soundfont lacks, and one about the drum kits."""
    lines = []
    for noun, roles in (("instrument", ("lead", "comp", "bass")), ("drum kit", ("drums",))):
        missing = sorted(
            {p for role in ROLES if role in roles for p in PROGRAMS[role] if _preset(role, p) not in presets}
        )
        if missing:
            plural = "s" if len(missing) > 1 else ""
            lines.append(f"{bank} lacks {len(missing)} {noun}{plural}: {', '.join(map(str, missing))}")
    return lines
