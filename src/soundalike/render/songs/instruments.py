"""The instruments of songs: which sounds can play a part, in each part of the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.render.score.music import ROLES, Role, Sound, SplitPart
from soundalike.render.songs.song import STEM_CLASSES, Function, StemClass, class_of
from soundalike.render.sound.orchestra import SINGERS, VOICES, Orchestra

__all__ = ["Instrument", "Instruments", "role_of"]

_CHOIRS = range(52, 55)  # synthetic voices, which would be confused with the singers
_OWN_SHARE = 0.25  # of own synthesis, where there are soundfonts too
_ROLES: Mapping[Function, Role] = {
    "drums": "drums", "bass": "bass", "comp": "comp", "pad": "comp", "lead": "lead", "vocals": "lead",
}  # fmt: skip


def role_of(function: Function) -> Role:
    """Return the role in which the orchestra plays a function."""
    return _ROLES[function]


@dataclass(frozen=True, slots=True)
class Instrument:
    """A sound with its General MIDI program (128 for drum kits) and its class."""

    sound: Sound
    program: int
    stem_class: StemClass


class Instruments:
    """The instruments of one part of the split.

    The soundfonts of test songs are used nowhere else. Of the synthesised instruments and singers of each class, every
    third is for test, and the others are for training and validation. Sampled kits follow the orchestra.

    Args:
        orchestra: All sounds.
        part: The part of the split.

    Raises:
        UsageError: A class other than "residuals" has no instrument.

    Example:
        >>> instruments = Instruments(orchestra, "train")
        >>> instruments.draw(rng, "comp", "piano").program
        4
    """

    def __init__(self, orchestra: Orchestra, part: SplitPart) -> None:
        self._orchestra = orchestra
        self._pools: dict[tuple[Role, StemClass], list[Instrument]] = {}
        for role in ROLES:
            found = [self._instrument(sound, role) for sound in orchestra.pool(role, part)]
            train = set(orchestra.pool(role, "train"))
            for stem_class in STEM_CLASSES:
                recorded = [
                    one
                    for one in found
                    if one.stem_class == stem_class
                    and one.program not in _CHOIRS
                    and not self._is_own(one.sound)
                    and (part != "test" or one.sound not in train)
                ]
                self._pools[role, stem_class] = recorded + self._own(role, stem_class, part)
        needed: tuple[tuple[Role, StemClass], ...] = (
            ("drums", "drums"), ("bass", "bass"), ("comp", "piano"), ("comp", "guitar"),
        )  # fmt: skip
        for role, stem_class in needed:
            if not self._pools[role, stem_class]:
                raise UsageError(f"no {stem_class} sound is for {part}; give another --soundfont")

    def has(self, function: Function, stem_class: StemClass) -> bool:
        """Return whether an instrument of a class can play a function."""
        return bool(self._pools[role_of(function), stem_class])

    def draw(
        self, rng: np.random.Generator, function: Function, stem_class: StemClass, unlike: Sequence[Instrument] = ()
    ) -> Instrument:
        """Draw an instrument.

        Args:
            rng: The random generator.
            function: What it plays.
            stem_class: Its class.
            unlike: Instruments with programs that should not occur again.
        """
        role = role_of(function)
        pool = self._pools[role, stem_class]
        used = {one.program for one in unlike}
        free = [one for one in pool if one.program not in used] or pool
        weights = self._orchestra.weights([one.sound for one in free], role)
        own = np.array([self._is_own(one.sound) for one in free])
        if own.any() and not own.all():
            for group, share in ((own, _OWN_SHARE), (~own, 1 - _OWN_SHARE)):
                weights[group] *= share / weights[group].sum()
        return free[int(rng.choice(len(free), p=weights / weights.sum()))]

    def _is_own(self, sound: Sound) -> bool:
        return sound.bank in (VOICES, SINGERS)

    def _own(self, role: Role, stem_class: StemClass, part: SplitPart) -> list[Instrument]:
        """Return the synthesised instruments of a class that belong to a part of the split."""
        found = [self._instrument(sound, role) for sound in self._orchestra.own_sounds(role)]
        found = [one for one in found if one.stem_class == stem_class]
        if stem_class != "vocals":
            found = [one for one in found if one.program not in _CHOIRS]
        return [one for k, one in enumerate(found) if (k % 3 == 1) == (part == "test")]

    def _instrument(self, sound: Sound, role: Role) -> Instrument:
        program = self._orchestra.general_midi(sound, role)
        return Instrument(sound, program, "vocals" if sound.bank == SINGERS else class_of(program))
