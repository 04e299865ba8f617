"""Draw folders of eight scenes in which one factor is controlled.

Five positives share only the factor with the anchor. The neutral negative shares nothing with the anchor. The
adversarial negative shares everything except the factor. All eight scenes have the same meter and mode. The nuisance
variables (key, tempo, start of the clip, octave, level, effects, codec) have, relative to the anchor, the same
distribution in positives and negatives. Only the factor distinguishes the two.

The design follows MERIT (2026), section 3.1, and adds the harmony factor that the paper proposes as future work. Unlike
the published data, it never reuses an anchor, and it plays the negatives on the same instruments as the positives.
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

# The probability of each combination of parts. The parts that carry the factor always sound, alone or in a band.
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
_STRETCH = {"rhythm": 1.04}  # largest ratio of two tempi; 1.15 for the other factors
_OFFSET = 2.0  # beats, before or after the start of the anchor


@dataclass(frozen=True, slots=True)
class Folder:
    """Eight scenes of one factor.

    Attributes:
        factor: The controlled factor.
        number: The number of the folder within its factor, from 1.
        part: The part of the split that all sources come from.
        attempt: The number of rejected drafts before this one. A draft is rejected if a part is inaudible.
        scenes: The scenes by clip name (see `CLIPS`).
    """

    factor: str
    number: int
    part: SplitPart
    attempt: int
    scenes: Mapping[str, Scene]

    @property
    def name(self) -> str:
        """The name of the folder in MERIT's layout, such as "triplets_3"."""
        return f"triplets_{self.number}"


def folder_part(number: int) -> SplitPart:
    """Return the part of the split that a folder number belongs to: 80 % train, 10 % validation, 10 % test.

    Six folders, a first trial, have all parts.
    """
    return "test" if number % 10 == 6 else "validation" if number % 10 == 5 else "train"


@dataclass(frozen=True, slots=True)
class _Music:
    """The four factors of a scene."""

    melody: Melody
    rhythm: Rhythm
    band: Band
    progression: Progression


def draw_folder(stock: Stock, factor: str, number: int, seed: int, attempt: int = 0) -> Folder:
    """Draw the scenes of a folder. The same arguments and material give the same scenes.

    Args:
        stock: The material of one part of the split.
        factor: One of `FACTORS`.
        number: The number of the folder, from 1.
        seed: The seed of the set.
        attempt: The number of earlier drafts of this folder. Every attempt gives other scenes.

    Raises:
        UsageError: The stock has too little material.

    Example:
        >>> folder = draw_folder(stock, "melody", number=1, seed=7)
        >>> folder.scenes["positive_01"].melody.name == folder.scenes["anchor"].melody.name
        True
    """
    rng = np.random.default_rng([seed, FACTORS.index(factor), number, attempt])
    meter, mode = stock.meter_and_mode(rng)
    layouts = list(_LAYOUTS[factor])
    weights = np.array(list(_LAYOUTS[factor].values()))

    def draw_layout() -> tuple[Role, ...]:
        return layouts[int(rng.choice(len(layouts), p=weights / weights.sum()))]

    sparse = bool(rng.random() < 0.4)
    first = stock.rhythm(rng, meter)
    tempo = stock.tempo(rng, first.groove)
    # In timbre folders all clips have the same parts. Otherwise the number of parts would be a cue.
    shared_layout = draw_layout() if factor == "timbre" else None
    drawn: list[_Music] = []
    while len(drawn) < len(CLIPS):  # all pairs differ, because positives are also compared with each other
        drawn.append(
            _Music(
                stock.melody(rng, meter, mode, sparse=sparse, unlike=[music.melody for music in drawn]),
                stock.rhythm(rng, meter, tempo, unlike=[music.rhythm for music in drawn]) if drawn else first,
                stock.band(rng, shared_layout or draw_layout(), unlike=[music.band for music in drawn]),
                stock.progression(rng, meter, mode, unlike=[music.progression for music in drawn]),
            )
        )
    # Later draws had fewer choices. Shuffling gives anchors, positives and negatives the same distribution. If scarce
    # material was drawn twice, neither copy becomes the anchor.
    distinct = [
        k for k, music in enumerate(drawn) if not any(_overlap(music, other) for other in drawn if other is not music)
    ]
    anchor = drawn.pop(int(rng.choice(distinct)))
    *fresh, neutral, adversary = (drawn[k] for k in rng.permutation(len(drawn)))
    clips = {"anchor": anchor}
    for name, music in zip(POSITIVES, fresh, strict=True):
        clips[name] = _with_factor(music, factor, anchor)
        if factor == "melody" and not sparse and stock.has_settings(anchor.melody):
            clips[name] = replace(clips[name], melody=stock.setting(rng, anchor.melody))
    clips["negative"] = neutral
    clips["negative_adversarial"] = _with_factor(anchor, factor, adversary)

    start = float(rng.uniform(0, max(anchor.melody.beats, anchor.progression.beats)))
    stretch = np.log(_STRETCH.get(factor, 1.15))
    tonic = int(rng.integers(12))
    scenes = {}
    for name, music in clips.items():
        shift, ratio, delay = 0, 1.0, 0.0
        if name != "anchor":
            shift = int(rng.integers(12))
            ratio = float(np.exp(rng.uniform(-stretch, stretch)))
            delay = float(rng.uniform(-_OFFSET, _OFFSET))
        scenes[name] = Scene(
            music.melody,
            music.progression,
            music.rhythm,
            music.band,
            key=(tonic + shift) % 12,
            tempo=tempo * ratio,
            offset=start + _OFFSET + delay,
            octave=int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15])),
            level=float(rng.uniform(-24, -9)),
            effects=draw_effects(rng),
            seed=int(rng.integers(2**31)),
        )
    return Folder(factor, number, stock.part, attempt, scenes)


def _overlap(first: _Music, second: _Music) -> bool:
    """Return whether two scenes share a sound, a comping style or a bass style."""
    sounds = any((sound := first.band.sound(role)) is not None and sound == second.band.sound(role) for role in ROLES)
    return sounds or first.rhythm.comp == second.rhythm.comp or first.rhythm.bass == second.rhythm.bass


def _with_factor(music: _Music, factor: str, other: _Music) -> _Music:
    """Return `music` with one factor replaced by that of `other`."""
    name = {"harmony": "progression", "timbre": "band"}.get(factor, factor)
    return replace(music, **{name: getattr(other, name)})
