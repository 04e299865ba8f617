"""A folder of eight scenes in which one factor is controlled.

Five positives share the factor with the anchor and nothing else; the neutral negative shares nothing with it; the
adversarial negative shares everything but the factor. All eight agree in meter and mode. What should not matter (key,
tempo, where the clip starts, octave, level, effects, codec) has, relative to the anchor, one distribution for positives
and negatives: nothing but the factor tells them apart.

After MERIT (2026), section 3.1, with its harmony outlook; without its reused anchors, and with negatives that come out
of the same instruments as the positives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from soundalike.render.folders.stock import Stock
from soundalike.render.score.music import FACTORS, ROLES, Band, Melody, Progression, Rhythm, Role, Scene, SplitPart
from soundalike.render.sound.effects import draw_effects

__all__ = ["CLIPS", "POSITIVES", "Folder", "draw_folder", "folder_part"]

POSITIVES = tuple(f"positive_{k:02d}" for k in range(1, 6))
CLIPS = ("anchor", *POSITIVES, "negative", "negative_adversarial")

# Which parts sound, and how often: the factor is always heard, from alone to in the midst of a full band.
_LAYOUTS: Mapping[str, Mapping[tuple[Role, ...], float]] = {
    "melody": {
        ("lead",): 0.14,
        ("lead", "bass"): 0.08,
        ("lead", "drums"): 0.08,
        ("lead", "comp"): 0.14,
        ("lead", "comp", "bass"): 0.18,
        ("lead", "comp", "bass", "drums"): 0.38,
    },
    "rhythm": {
        ("drums",): 0.18,
        ("bass", "drums"): 0.12,
        ("lead", "drums"): 0.1,
        ("comp", "bass", "drums"): 0.22,
        ("lead", "comp", "bass", "drums"): 0.38,
    },
    "harmony": {
        ("comp",): 0.14,
        ("bass",): 0.04,
        ("comp", "bass"): 0.22,
        ("lead", "comp"): 0.12,
        ("comp", "bass", "drums"): 0.14,
        ("lead", "comp", "bass", "drums"): 0.34,
    },
    "timbre": {
        ("lead",): 0.1,
        ("comp",): 0.1,
        ("bass",): 0.05,
        ("drums",): 0.08,
        ("lead", "comp"): 0.12,
        ("comp", "bass"): 0.1,
        ("lead", "comp", "bass"): 0.12,
        ("lead", "comp", "bass", "drums"): 0.33,
    },
}
# Quarter notes a minute, where the groove does not say how fast it is.
_TEMPI = {"4/4": (78.0, 150.0), "3/4": (85.0, 165.0), "6/8": (95.0, 175.0), "9/8": (95.0, 175.0)}
_SLOWEST, _FASTEST = 70.0, 180.0
_STRETCH = {"rhythm": 1.04}  # of the tempo, in either direction; every other factor: 1.15
_OFFSET = 2.0  # beats, in either direction


@dataclass(frozen=True, slots=True)
class Folder:
    """Eight scenes under the names of CLIPS. `attempt` counts the drafts before it in which something was mute."""

    factor: str
    number: int
    part: SplitPart
    attempt: int
    scenes: Mapping[str, Scene]

    @property
    def name(self) -> str:
        """Its name in the published layout."""
        return f"triplets_{self.number}"


def folder_part(number: int) -> SplitPart:
    """The part of the split that a folder of a whole set belongs to: eight tenths train, a tenth each for the rest."""
    return "test" if number % 10 == 0 else "validation" if number % 10 == 5 else "train"


@dataclass(frozen=True, slots=True)
class _Music:
    """The four factors of a scene."""

    melody: Melody
    rhythm: Rhythm
    band: Band
    progression: Progression


def draw_folder(stock: Stock, factor: str, number: int, seed: int, attempt: int = 0) -> Folder:
    """Draw folder `number` of `factor`; the same arguments and material give the same scenes."""
    rng = np.random.default_rng([seed, FACTORS.index(factor), number, attempt])
    meter, mode = stock.meter_and_mode(rng)
    layouts = list(_LAYOUTS[factor])
    weights = np.array(list(_LAYOUTS[factor].values()))

    def layout() -> tuple[Role, ...]:
        return layouts[int(rng.choice(len(layouts), p=weights / weights.sum()))]

    sparse = bool(rng.random() < 0.4)
    first = stock.rhythm(rng, meter)
    low, high = _TEMPI[meter]
    tempo = first.groove.tempo or float(rng.uniform(low, high))
    tempo = float(np.clip(tempo * rng.uniform(0.95, 1.05), _SLOWEST, _FASTEST))
    # Timbre belongs to the ensemble: in its folders all clips have the same parts, or their number would be a cue.
    one_layout = layout() if factor == "timbre" else None
    drawn: list[_Music] = []
    while len(drawn) < len(CLIPS):  # all unlike one another, for positives are compared among themselves too
        drawn.append(
            _Music(
                stock.melody(rng, meter, mode, sparse=sparse, unlike=[one.melody for one in drawn]),
                stock.rhythm(rng, meter, tempo, unlike=[one.rhythm for one in drawn]) if drawn else first,
                stock.band(rng, one_layout or layout(), unlike=[one.band for one in drawn]),
                stock.progression(rng, meter, mode, unlike=[one.progression for one in drawn]),
            )
        )
    # The later ones found less to choose from; shuffled, neither anchors nor negatives are rarer than positives. Where
    # material is short and something came twice, it is not the anchor's.
    alone = [k for k, one in enumerate(drawn) if not any(_overlap(one, other) for other in drawn if other is not one)]
    anchor = drawn.pop(int(rng.choice(alone)))
    *fresh, neutral, adversary = (drawn[k] for k in rng.permutation(len(drawn)))
    music = {"anchor": anchor}
    for name, one in zip(POSITIVES, fresh, strict=True):
        music[name] = _with(one, factor, anchor)
        if factor == "melody" and not sparse and stock.has_settings(anchor.melody):
            music[name] = replace(music[name], melody=stock.setting(rng, anchor.melody))
    music["negative"] = neutral
    music["negative_adversarial"] = _with(anchor, factor, adversary)

    start = float(rng.uniform(0, max(anchor.melody.beats, anchor.progression.beats)))
    stretch = np.log(_STRETCH.get(factor, 1.15))
    tonic = int(rng.integers(12))
    scenes = {}
    for name, one in music.items():
        shift, ratio, later = 0, 1.0, 0.0
        if name != "anchor":
            shift = int(rng.integers(12))
            ratio = float(np.exp(rng.uniform(-stretch, stretch)))
            later = float(rng.uniform(-_OFFSET, _OFFSET))
        scenes[name] = Scene(
            one.melody,
            one.progression,
            one.rhythm,
            one.band,
            key=(tonic + shift) % 12,
            tempo=tempo * ratio,
            offset=start + _OFFSET + later,
            octave=int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15])),
            level=float(rng.uniform(-24, -9)),
            effects=draw_effects(rng),
            seed=int(rng.integers(2**31)),
        )
    return Folder(factor, number, stock.part, attempt, scenes)


def _overlap(one: _Music, other: _Music) -> bool:
    """Whether two have a player or a pattern of comping or bass in common."""
    players = any((sound := one.band.sound(role)) is not None and sound == other.band.sound(role) for role in ROLES)
    return players or one.rhythm.comp == other.rhythm.comp or one.rhythm.bass == other.rhythm.bass


def _with(music: _Music, factor: str, other: _Music) -> _Music:
    """`music` with one factor taken from `other`."""
    name = {"harmony": "progression", "timbre": "band"}.get(factor, factor)
    return replace(music, **{name: getattr(other, name)})
