"""The material of one part of the split: tunes, chord progressions, rhythms and bands to draw scenes from."""

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
    chord_similarity,
    excerpt,
    groove_similarity,
    matching_passage,
    melody_similarity,
    thin,
)

__all__ = ["Stock"]

Material = TypeVar("Material")

# Probability of each meter. 9/8 is rare because there are few traditional tunes, and little other music, in 9/8.
_METERS = {"4/4": 0.52, "6/8": 0.22, "3/4": 0.18, "9/8": 0.08}
# Two pieces of material count as different if their similarity is below these limits (measures: melodies.py).
_MELODY_LIMIT, _CHORD_LIMIT, _GROOVE_LIMIT = 0.45, 0.55, 0.72
# Range of tempi in quarter notes per minute, for grooves of unknown tempo.
_TEMPI = {"4/4": (78.0, 150.0), "3/4": (85.0, 165.0), "6/8": (95.0, 175.0), "9/8": (95.0, 175.0)}
_SLOWEST, _FASTEST = 70.0, 180.0
_TRIES = 24
_CLIPS = 8  # per folder, each of a different work
_HUMAN, _ENOUGH = 0.7, 80  # share of human grooves, if the meter has at least this many


class Stock:
    """The material of one part of the split. A generator in the same state gives the same draws.

    Args:
        sources: Tunes, human grooves and written chord progressions.
        orchestra: The sounds.
        part: The part of the split.

    Raises:
        UsageError: The part has too few tunes in every meter and mode.

    Example:
        >>> stock = Stock(sources_of(None, None), orchestra_of(()), "train")
        >>> meter, mode = stock.meter_and_mode(rng)
    """

    def __init__(self, sources: Sources, orchestra: Orchestra, part: SplitPart) -> None:
        self.sources, self.orchestra, self.part = sources, orchestra, part
        works = {(meter, mode): sources.tunes.names(part, meter, mode) for meter in BAR for mode in MODES}
        self._works = {place: names for place, names in works.items() if len(names) >= _CLIPS}
        if not self._works:
            raise UsageError(
                f"too few tunes for the {part} part: it has {max(map(len, works.values()))} in one meter and mode, "
                f"expected at least {_CLIPS}; give more to --tunes"
            )

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """The meters and modes with enough tunes."""
        return tuple(self._works)

    def meter_and_mode(self, rng: np.random.Generator) -> tuple[str, str]:
        """Draw the meter and mode that all clips of a folder share."""
        meters = [meter for meter in _METERS if any(meter == known for known, _ in self._works)]
        meter = _draw_weighted(rng, meters, [_METERS[name] for name in meters])
        modes = [mode for known, mode in self._works if known == meter]
        return meter, _draw_weighted(rng, modes, [len(self._works[meter, mode]) for mode in modes])

    def melody(
        self, rng: np.random.Generator, meter: str, mode: str, *, sparse: bool, unlike: Sequence[Melody] = ()
    ) -> Melody:
        """Draw four or eight bars of a tune.

        Args:
            rng: The random generator.
            meter: The meter.
            mode: The mode.
            sparse: Whether to thin the tune to a typical singing pace.
            unlike: Melodies from which the result must differ.

        Raises:
            UsageError: The part has no suitable tune.
        """

        def draw() -> Melody:
            names = self._works[meter, mode]
            settings = self.sources.tunes.settings(names[rng.integers(len(names))])
            tune = settings[rng.integers(len(settings))]
            bars = int(tune.beats / BAR[meter] + 1e-6)
            length = min(int(rng.choice([4, 8])), bars)
            # Excerpts start at a multiple of four bars, where phrases begin.
            first = 4 * int(rng.integers((bars - length) // 4 + 1))
            passage = excerpt(tune, first, length)
            return thin(passage, rng) if sparse else passage

        def is_melodic(melody: Melody) -> bool:
            return len(melody.notes) >= melody.beats / 4 and len({note.pitch for note in melody.notes}) >= 3

        names = {melody.name for melody in unlike}
        return _draw_unlike(
            draw,
            unlike,
            melody_similarity,
            _MELODY_LIMIT,
            lambda melody: melody.name not in names and is_melodic(melody),
        )

    def setting(self, rng: np.random.Generator, melody: Melody) -> Melody:
        """Draw the same bars of a melody from another setting. Return the melody itself if none matches."""
        settings = self.sources.tunes.settings(melody.name)
        other = settings[rng.integers(len(settings))]
        if other.setting == melody.setting:
            return melody
        bars = round(melody.beats / BAR[melody.meter])
        passage, similarity = matching_passage(melody, other, bars)
        return passage if similarity > 0.55 else melody

    def has_settings(self, melody: Melody) -> bool:
        """Return whether the work of a melody has more than one setting."""
        return len(self.sources.tunes.settings(melody.name)) > 1

    def progression(
        self, rng: np.random.Generator, meter: str, mode: str, unlike: Sequence[Progression] = ()
    ) -> Progression:
        """Draw a chord progression: from chorales, if there are any in the meter and mode, or from the grammar.

        Args:
            rng: The random generator.
            meter: The meter.
            mode: The mode.
            unlike: Progressions from which the result must differ.
        """
        chorales = self.sources.progressions_of(self.part, meter, mode)

        def draw() -> Progression:
            if chorales and rng.random() < 0.25:
                return chorales[rng.integers(len(chorales))]
            return draw_progression(rng, meter, mode)

        return _draw_unlike(
            draw,
            unlike,
            chord_similarity,
            _CHORD_LIMIT,
            lambda progression: part_of("chords:" + progression.name) == self.part,
        )

    def rhythm(
        self, rng: np.random.Generator, meter: str, tempo: float | None = None, unlike: Sequence[Rhythm] = ()
    ) -> Rhythm:
        """Draw a groove, and the styles in which chords and bass are played to it.

        Args:
            rng: The random generator.
            meter: The meter.
            tempo: Quarter notes per minute. Grooves of a known tempo must be near it. None allows all.
            unlike: Rhythms from which the result must differ.
        """
        human = [
            groove
            for groove in self.sources.grooves_of(self.part, meter)
            if tempo is None or groove.tempo is None or abs(math.log2(groove.tempo / tempo)) < 0.4
        ]

        # Some meters have very few human grooves, which would otherwise repeat too often.
        human_share = _HUMAN * min(1.0, len(human) / _ENOUGH)

        def draw() -> Groove:
            if rng.random() < human_share:
                return human[rng.integers(len(human))]
            return draw_pattern(rng, meter)

        def fits(groove: Groove) -> bool:
            return not groove.source.startswith("pattern:") or part_of("groove:" + groove.source) == self.part

        groove = _draw_unlike(draw, [rhythm.groove for rhythm in unlike], groove_similarity, _GROOVE_LIMIT, fits)
        comp = _draw_style(rng, comp_styles(meter), [rhythm.comp for rhythm in unlike])
        return Rhythm(groove, comp, _draw_style(rng, bass_styles(meter), [rhythm.bass for rhythm in unlike]))

    def tempo(self, rng: np.random.Generator, groove: Groove) -> float:
        """Draw a tempo in quarter notes per minute: near that of the groove, if it is known."""
        tempo = groove.tempo or float(rng.uniform(*_TEMPI[groove.meter]))
        return float(np.clip(tempo * rng.uniform(0.95, 1.05), _SLOWEST, _FASTEST))

    def band(self, rng: np.random.Generator, layout: Sequence[Role], unlike: Sequence[Band] = ()) -> Band:
        """Draw sounds for the roles of a layout, their levels and the amount of reverberation.

        Args:
            rng: The random generator.
            layout: The roles that sound.
            unlike: Bands with sounds that should not occur again.

        Raises:
            UsageError: There is no sound for a role.
        """
        sounds = {role: self._draw_sound(rng, role, [band.sound(role) for band in unlike]) for role in layout}
        lead_db, drums_db, bass_db = draw_levels(rng, tuple(layout))
        wet = float(rng.choice([0.0, 0.1, 0.25, 0.5], p=[0.2, 0.35, 0.3, 0.15]) * rng.uniform(0.5, 1.5))
        return Band(
            sounds.get("lead"),
            sounds.get("comp"),
            sounds.get("bass"),
            sounds.get("drums"),
            lead_db=lead_db,
            drums_db=drums_db,
            bass_db=bass_db,
            room=wet,
        )

    def _draw_sound(self, rng: np.random.Generator, role: Role, unlike: Sequence[Sound | None]) -> Sound:
        """Draw an unused sound. If all are used, draw one that differs at least from the first."""
        used = [sound for sound in unlike if sound]
        sound = self.orchestra.draw(role, self.part, rng, unlike=used)
        return self.orchestra.draw(role, self.part, rng, unlike=used[:1]) if sound in used[:1] else sound


def _draw_weighted(rng: np.random.Generator, choices: Sequence[str], weights: Sequence[float]) -> str:
    share = np.asarray(weights, dtype=np.float64)
    return choices[int(rng.choice(len(choices), p=share / share.sum()))]


def _draw_style(rng: np.random.Generator, styles: Sequence[str], used: Sequence[str]) -> str:
    """Draw an unused style. If all are used, draw one that differs at least from the first."""
    left = [style for style in styles if style not in used] or [style for style in styles if style not in used[:1]]
    return str(rng.choice(left))


def _draw_unlike(
    draw: Callable[[], Material],
    others: Sequence[Material],
    measure: Callable[[Material, Material], float],
    limit: float,
    fits: Callable[[Material], bool],
) -> Material:
    """Draw until the result fits and its similarity to all others is below `limit`.

    After `_TRIES` fitting draws, return the one that is least similar to the others.
    """
    best: tuple[float, Material] | None = None
    tries = 0
    for _ in range(200 * _TRIES):
        material = draw()
        if not fits(material):
            continue
        similarity = max((measure(other, material) for other in others), default=0.0)
        if similarity < limit:
            return material
        tries += 1
        if best is None or similarity < best[0]:
            best = (similarity, material)
        if tries == _TRIES:
            break
    if best is None:
        raise UsageError("the sources have too little material for one part of the split; give more tunes or grooves")
    return best[1]
