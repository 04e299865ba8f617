"""What the scenes of one part of the split are drawn from: tunes, chords, rhythms and bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.render.score.grammar import draw_progression
from soundalike.render.score.music import (
    BAR,
    MODES,
    Band,
    Groove,
    Melody,
    Progression,
    Rhythm,
    Role,
    Sound,
    SplitPart,
    part_of,
)
from soundalike.render.score.patterns import draw_pattern
from soundalike.render.score.styles import bass_styles, comp_styles
from soundalike.render.sound.mixing import draw_levels
from soundalike.render.sound.orchestra import Orchestra
from soundalike.render.sources.load import Sources
from soundalike.render.sources.melodies import (
    chord_likeness,
    excerpt,
    groove_likeness,
    likeness,
    matching_passage,
    thin,
)

__all__ = ["Stock"]

Made = TypeVar("Made")

# How often each meter is drawn; traditional tunes in 9/8 are few, and so is other music.
_METERS = {"4/4": 0.52, "6/8": 0.22, "3/4": 0.18, "9/8": 0.08}
# Two pieces of material are different if they are less alike than this (see melodies.py for the measures).
_MELODY_LIMIT, _CHORD_LIMIT, _GROOVE_LIMIT = 0.45, 0.55, 0.72
_TRIES = 24
_CLIPS = 8  # in a folder, each of another work
_HUMAN, _ENOUGH = 0.7, 80  # share of grooves by people, where there are enough in the meter


class Stock:
    """The material of one part of the split. Same generator, same draws."""

    def __init__(self, sources: Sources, orchestra: Orchestra, part: SplitPart) -> None:
        self.sources, self.orchestra, self.part = sources, orchestra, part
        works = {(meter, mode): sources.tunes.names(part, meter, mode) for meter in BAR for mode in MODES}
        self._works = {place: names for place, names in works.items() if len(names) >= _CLIPS}
        if not self._works:
            raise UsageError(
                f"too few tunes for the {part} part: it has {max(map(len, works.values()))} in one meter and mode, "
                f"expected at least {_CLIPS}; give more to --tunes"
            )

    def meter_and_mode(self, rng: np.random.Generator) -> tuple[str, str]:
        """Draw what all clips of a folder have in common."""
        meters = [meter for meter in _METERS if any(meter == one for one, _ in self._works)]
        meter = _weighted(rng, meters, [_METERS[one] for one in meters])
        modes = [mode for one, mode in self._works if one == meter]
        return meter, _weighted(rng, modes, [len(self._works[meter, mode]) for mode in modes])

    def melody(
        self, rng: np.random.Generator, meter: str, mode: str, *, sparse: bool, unlike: Sequence[Melody] = ()
    ) -> Melody:
        """Four or eight bars of a tune; `sparse` thins it to how fast people sing."""

        def draw() -> Melody:
            names = self._works[meter, mode]
            settings = self.sources.tunes.settings(names[rng.integers(len(names))])
            whole = settings[rng.integers(len(settings))]
            bars = int(whole.beats / BAR[meter] + 1e-6)
            length = min(int(rng.choice([4, 8])), bars)
            # From a multiple of four bars, where phrases begin.
            first = 4 * int(rng.integers((bars - length) // 4 + 1))
            made = excerpt(whole, first, length)
            return thin(made, rng) if sparse else made

        def enough(one: Melody) -> bool:
            return len(one.notes) >= one.beats / 4 and len({note.pitch for note in one.notes}) >= 3

        names = {one.name for one in unlike}
        return _unlike(draw, unlike, likeness, _MELODY_LIMIT, lambda one: one.name not in names and enough(one))

    def setting(self, rng: np.random.Generator, melody: Melody) -> Melody:
        """The same bars as other people play them, where somebody does; else the melody itself."""
        settings = self.sources.tunes.settings(melody.name)
        other = settings[rng.integers(len(settings))]
        if other.setting == melody.setting:
            return melody
        bars = round(melody.beats / BAR[melody.meter])
        passage, alike = matching_passage(melody, other, bars)
        return passage if alike > 0.55 else melody

    def has_settings(self, melody: Melody) -> bool:
        """Whether there is more than one version of a melody."""
        return len(self.sources.tunes.settings(melody.name)) > 1

    def progression(
        self, rng: np.random.Generator, meter: str, mode: str, unlike: Sequence[Progression] = ()
    ) -> Progression:
        """Chords of this part: from chorales where they have some in the meter and mode, else from the grammar."""
        chorales = self.sources.progressions_of(self.part, meter, mode)

        def draw() -> Progression:
            if chorales and rng.random() < 0.25:
                return chorales[rng.integers(len(chorales))]
            return draw_progression(rng, meter, mode)

        return _unlike(
            draw, unlike, chord_likeness, _CHORD_LIMIT, lambda one: part_of("chords:" + one.name) == self.part
        )

    def rhythm(
        self, rng: np.random.Generator, meter: str, tempo: float | None = None, unlike: Sequence[Rhythm] = ()
    ) -> Rhythm:
        """A groove of this part, near `tempo` if it is given and known of the groove, and how chords and bass go."""
        people = [
            groove
            for groove in self.sources.grooves_of(self.part, meter)
            if tempo is None or groove.tempo is None or abs(math.log2(groove.tempo / tempo)) < 0.4
        ]

        # Few performances are soon heard too often: in some meters there are next to none.
        human = _HUMAN * min(1.0, len(people) / _ENOUGH)

        def draw() -> Groove:
            if rng.random() < human:
                return people[rng.integers(len(people))]
            return draw_pattern(rng, meter)

        def fits(one: Groove) -> bool:
            return not one.source.startswith("pattern:") or part_of("groove:" + one.source) == self.part

        groove = _unlike(draw, [one.groove for one in unlike], groove_likeness, _GROOVE_LIMIT, fits)
        comp = _another(rng, comp_styles(meter), [one.comp for one in unlike])
        return Rhythm(groove, comp, _another(rng, bass_styles(meter), [one.bass for one in unlike]))

    def band(self, rng: np.random.Generator, layout: Sequence[Role], unlike: Sequence[Band] = ()) -> Band:
        """Players for the roles of a layout, their balance and their room."""
        players = {role: self._player(rng, role, [band.sound(role) for band in unlike]) for role in layout}
        lead_db, drums_db, bass_db = draw_levels(rng, tuple(layout))
        wet = float(rng.choice([0.0, 0.1, 0.25, 0.5], p=[0.2, 0.35, 0.3, 0.15]) * rng.uniform(0.5, 1.5))
        return Band(
            players.get("lead"),
            players.get("comp"),
            players.get("bass"),
            players.get("drums"),
            lead_db=lead_db,
            drums_db=drums_db,
            bass_db=bass_db,
            room=wet,
        )

    def _player(self, rng: np.random.Generator, role: Role, unlike: Sequence[Sound | None]) -> Sound:
        """Somebody who is not heard yet; where all are, somebody who is at least not the first one."""
        used = [sound for sound in unlike if sound]
        player = self.orchestra.draw(role, self.part, rng, unlike=used)
        return self.orchestra.draw(role, self.part, rng, unlike=used[:1]) if player in used[:1] else player


def _weighted(rng: np.random.Generator, choices: Sequence[str], weights: Sequence[float]) -> str:
    share = np.asarray(weights, dtype=np.float64)
    return choices[int(rng.choice(len(choices), p=share / share.sum()))]


def _another(rng: np.random.Generator, styles: Sequence[str], used: Sequence[str]) -> str:
    """A style that is not used yet; where all are, one that is at least not the first one's."""
    left = [style for style in styles if style not in used] or [style for style in styles if style not in used[:1]]
    return str(rng.choice(left))


def _unlike(
    draw: Callable[[], Made],
    others: Sequence[Made],
    measure: Callable[[Made, Made], float],
    limit: float,
    fits: Callable[[Made], bool],
) -> Made:
    """Draw until something fits and is less like all others than `limit`; after many draws, the least alike of them."""
    best: tuple[float, Made] | None = None
    tries = 0
    for _ in range(200 * _TRIES):
        one = draw()
        if not fits(one):
            continue
        alike = max((measure(other, one) for other in others), default=0.0)
        if alike < limit:
            return one
        tries += 1
        if best is None or alike < best[0]:
            best = (alike, one)
        if tries == _TRIES:
            break
    if best is None:
        raise UsageError("the sources have too little material for one part of the split; give more tunes or grooves")
    return best[1]
