"""Draw the form of a song: its sections, and which parts play in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundalike.render.songs.song import Function, Section, SectionKind, ThemeName

__all__ = ["Voice", "count_bars", "draw_form"]

_LEAST_UNITS = 4  # intro, verse, chorus and outro
_BODIES: tuple[tuple[SectionKind, ...], ...] = (("verse", "chorus"), ("verse", "verse", "chorus"))
_ENERGY: Mapping[SectionKind, tuple[float, float]] = {
    "intro": (0.8, 0.9), "verse": (0.82, 0.92), "chorus": (0.96, 1.04), "bridge": (0.8, 0.95), "outro": (0.82, 0.95),
}  # fmt: skip
# The probabilities with which functions play, of which one set is drawn.
_INTROS: tuple[Mapping[Function, float], ...] = (
    {"comp": 0.5, "pad": 0.4},
    {"comp": 0.5, "pad": 0.5, "drums": 1.0, "bass": 0.5},
    {"comp": 0.3, "bass": 1.0, "drums": 0.7},
    {"comp": 0.8, "pad": 0.6, "drums": 1.0, "bass": 1.0, "lead": 1.0},
)
_BRIDGES: tuple[Mapping[Function, float], ...] = (
    {"comp": 0.5, "pad": 1.0, "bass": 0.6, "lead": 0.8, "vocals": 0.3},
    {"comp": 0.6, "drums": 1.0, "bass": 0.3, "lead": 1.0},
    {"comp": 0.8, "pad": 0.5, "drums": 1.0, "bass": 1.0, "lead": 1.0},
)


@dataclass(frozen=True, slots=True)
class Voice:
    """What the form knows of a part: its name and its function."""

    name: str
    function: Function


def count_bars(seconds: float, bar_seconds: float) -> tuple[int, int]:
    """Return the number of bars that come nearest to a length, and the number of bars per unit of the form.

    Units have four bars. In short songs they have two or one, so that there are at least four units.

    Example:
        >>> count_bars(62.0, 2.0)
        (32, 4)
    """
    for size in (4, 2):
        units = round(seconds / bar_seconds / size)
        if units >= _LEAST_UNITS:
            return units * size, size
    return max(round(seconds / bar_seconds), _LEAST_UNITS), 1


def draw_form(rng: np.random.Generator, bars: int, unit: int, voices: Sequence[Voice]) -> tuple[Section, ...]:
    """Draw the sections of a song and their texture. Parts enter and leave between sections.

    A song has an intro, verses and choruses, a bridge before the last chorus if it is long enough, and an outro. Every
    part plays in at least one section, and every section has a part with pitches. Nothing is sung in intros.

    Args:
        rng: The random generator.
        bars: The length of the song in bars, a multiple of `unit`.
        unit: Bars per unit (see `count_bars`).
        voices: The parts.

    Example:
        >>> sections = draw_form(rng, 32, 4, [Voice("S00", "drums"), Voice("S01", "comp")])
        >>> [section.kind for section in sections]
        ['intro', 'verse', 'chorus', 'verse', 'chorus', 'bridge', 'chorus', 'outro']
    """
    takes: dict[SectionKind, int] = {}
    sections: list[Section] = []
    first = 0
    for kind, units in _plan(rng, bars // unit):
        take = takes.get(kind, 0)
        takes[kind] = take + 1
        low, high = _ENERGY[kind]
        energy = float(rng.uniform(low, high))
        playing = _draw_playing(rng, kind, take, voices)
        sections.append(Section(kind, _theme(kind), take, first, units * unit, playing, energy))
        first += units * unit
    return _with_all_parts(rng, sections, voices)


def _theme(kind: SectionKind) -> ThemeName:
    if kind == "outro":
        return "chorus"
    return "verse" if kind == "intro" else kind


def _plan(rng: np.random.Generator, units: int) -> list[tuple[SectionKind, int]]:
    """Return the kinds of section and their lengths in units, which sum to `units`."""
    size = 2 if units >= 14 or (units >= 10 and rng.random() < 0.5) else 1
    count = (units - 2) // size
    body = _BODIES[rng.integers(len(_BODIES))] if count > 3 else _BODIES[0]
    kinds: list[SectionKind] = [body[k % len(body)] for k in range(count - 1)] + ["chorus"]
    if count >= 5:
        kinds[-2] = "bridge"
    lengths = [size] * count
    left = units - 2 - count * size
    if left:
        lengths[kinds.index("bridge") if "bridge" in kinds else -1] += left
    return [("intro", 1), *zip(kinds, lengths, strict=True), ("outro", 1)]


def _draw_playing(rng: np.random.Generator, kind: SectionKind, take: int, voices: Sequence[Voice]) -> frozenset[str]:
    """Draw the parts that play in a section."""
    names: dict[Function, list[str]] = {}
    for voice in voices:
        names.setdefault(voice.function, []).append(voice.name)
    comps, sung = names.get("comp", []), bool(names.get("vocals"))
    # The probability of each function. Chord parts are drawn one by one, others together.
    shares: Mapping[Function, float] = _draw_shares(rng, kind, take, sung)
    playing = {name for name in comps if rng.random() < shares.get("comp", 0.0)}
    for function in ("pad", "drums", "bass", "lead", "vocals"):
        draws = rng.random(len(names.get(function, [])))
        playing.update(
            name for name, draw in zip(names.get(function, []), draws, strict=True) if draw < shares.get(function, 0.0)
        )
    pitched = [voice.name for voice in voices if voice.function not in ("drums", "vocals")]
    if not playing & set(pitched):
        chords = comps or names.get("pad") or pitched
        playing.update(chords[rng.integers(len(chords)) :][:1])
    return frozenset(playing)


def _draw_shares(rng: np.random.Generator, kind: SectionKind, take: int, sung: bool) -> Mapping[Function, float]:
    """Draw the probability with which each function plays in a section."""
    if kind == "intro":
        return _INTROS[rng.integers(len(_INTROS))]
    if kind == "bridge":
        return _BRIDGES[rng.integers(len(_BRIDGES))]
    if kind == "verse":
        more = 0.4 if take else 0.0
        return {
            "comp": 0.5 + more,
            "pad": 0.2 + more,
            "drums": 0.9 + more / 4,
            "bass": 0.85 + more / 2,
            "vocals": 1.0,
            "lead": 0.1 if sung else 1.0,
        }
    if kind == "chorus":
        return {"comp": 0.93, "pad": 0.85, "drums": 1.0, "bass": 1.0, "vocals": 1.0, "lead": 0.3 if sung else 1.0}
    return {"comp": 0.7, "pad": 0.6, "drums": 0.7, "bass": 0.8, "lead": 0.3, "vocals": 0.2}


def _with_all_parts(
    rng: np.random.Generator, sections: Sequence[Section], voices: Sequence[Voice]
) -> tuple[Section, ...]:
    """Add each part that plays nowhere to a chorus."""
    silent = {voice.name for voice in voices} - frozenset().union(*(section.playing for section in sections))
    choruses = [k for k, section in enumerate(sections) if section.kind == "chorus"]
    added: dict[int, set[str]] = {}
    for name in sorted(silent):
        added.setdefault(choruses[rng.integers(len(choruses))], set()).add(name)
    return tuple(replace(section, playing=section.playing | added.get(k, set())) for k, section in enumerate(sections))
