"""Draw chord progressions: a random walk over the common chords of a mode, in one of several harmonic rhythms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.render.score.music import BAR, CHORDS, METERS, MODES, Chord, Progression
from soundalike.render.score.names import progression_name

__all__ = ["draw_progression"]

# A triad: its root in semitones above the tonic, and its kind.
_Degree: TypeAlias = tuple[int, str]
_Grammar: TypeAlias = Mapping[_Degree, Mapping[_Degree, int]]

# For each degree, the weights of the degrees that may follow.
_MAJOR: _Grammar = {
    (0, "maj"): {(5, "maj"): 5, (7, "maj"): 5, (9, "min"): 4, (2, "min"): 2, (4, "min"): 2},
    (2, "min"): {(7, "maj"): 6, (5, "maj"): 2, (0, "maj"): 1, (4, "min"): 1},
    (4, "min"): {(9, "min"): 3, (5, "maj"): 4, (2, "min"): 1},
    (5, "maj"): {(0, "maj"): 5, (7, "maj"): 5, (2, "min"): 2, (9, "min"): 2, (4, "min"): 1},
    (7, "maj"): {(0, "maj"): 6, (9, "min"): 3, (5, "maj"): 3, (4, "min"): 1, (2, "min"): 1},
    (9, "min"): {(5, "maj"): 5, (2, "min"): 3, (7, "maj"): 3, (4, "min"): 2, (0, "maj"): 1},
}
_MIXOLYDIAN: _Grammar = {
    (0, "maj"): {(10, "maj"): 6, (5, "maj"): 4, (7, "min"): 2, (2, "min"): 1, (9, "min"): 1},
    (2, "min"): {(10, "maj"): 2, (7, "min"): 2, (0, "maj"): 1, (5, "maj"): 1},
    (5, "maj"): {(0, "maj"): 6, (10, "maj"): 3, (7, "min"): 1, (2, "min"): 1},
    (7, "min"): {(0, "maj"): 2, (5, "maj"): 3, (10, "maj"): 2, (2, "min"): 1},
    (9, "min"): {(5, "maj"): 2, (10, "maj"): 2, (7, "min"): 1},
    (10, "maj"): {(5, "maj"): 5, (0, "maj"): 5, (7, "min"): 1, (9, "min"): 1},
}
_DORIAN: _Grammar = {
    (0, "min"): {(5, "maj"): 6, (10, "maj"): 4, (3, "maj"): 2, (7, "min"): 2, (2, "min"): 2},
    (2, "min"): {(0, "min"): 3, (7, "min"): 1, (5, "maj"): 1, (10, "maj"): 1},
    (3, "maj"): {(10, "maj"): 3, (5, "maj"): 4, (0, "min"): 1, (2, "min"): 1},
    (5, "maj"): {(0, "min"): 6, (10, "maj"): 2, (3, "maj"): 2, (7, "min"): 2},
    (7, "min"): {(0, "min"): 3, (5, "maj"): 3, (10, "maj"): 1, (3, "maj"): 1},
    (10, "maj"): {(0, "min"): 4, (5, "maj"): 4, (3, "maj"): 2, (7, "min"): 1},
}
_MINOR: _Grammar = {
    (0, "min"): {(8, "maj"): 4, (10, "maj"): 5, (5, "min"): 4, (7, "maj"): 2, (7, "min"): 2, (3, "maj"): 3},
    (2, "dim"): {(7, "maj"): 4, (7, "min"): 1, (0, "min"): 1},
    (3, "maj"): {(10, "maj"): 4, (8, "maj"): 3, (5, "min"): 2, (0, "min"): 1},
    (5, "min"): {(0, "min"): 3, (7, "maj"): 3, (10, "maj"): 2, (8, "maj"): 1, (2, "dim"): 1},
    (7, "maj"): {(0, "min"): 5, (8, "maj"): 2},
    (7, "min"): {(0, "min"): 3, (8, "maj"): 3, (5, "min"): 2},
    (8, "maj"): {(10, "maj"): 5, (3, "maj"): 3, (7, "maj"): 2, (0, "min"): 2, (5, "min"): 1, (2, "dim"): 1},
    (10, "maj"): {(0, "min"): 4, (3, "maj"): 4, (8, "maj"): 3, (5, "min"): 1},
}
_GRAMMARS: Mapping[str, _Grammar] = {
    "major": _MAJOR,
    "mixolydian": _MIXOLYDIAN,
    "dorian": _DORIAN,
    "minor": _MINOR,
}
_LEADING_TONE = 11  # of the dominant in minor, the only chord tone outside its mode

# Beats of a bar, all on pulses, on which a second (and third) chord may start.
_CHANGES: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "4/4": ((2.0,), (2.0,), (2.0,), (3.0,)),
    "3/4": ((2.0,),),
    "6/8": ((1.5,),),
    "9/8": ((3.0,), (3.0,), (1.5,), (1.5, 3.0)),
}


def draw_progression(rng: np.random.Generator, meter: str, mode: str) -> Progression:
    """Draw a loop of four or eight bars with at least three different chords.

    All chord tones are in the mode, except that the dominant in minor may be a major chord or a dominant seventh.

    Args:
        rng: The random generator.
        meter: One of METERS.
        mode: One of MODES.

    Returns:
        The progression, without gaps. Chords change on pulses only.

    Raises:
        UsageError: The meter or mode is unknown.

    Example:
        >>> draw_progression(np.random.default_rng(0), "4/4", "dorian").mode
        'dorian'
    """
    if meter not in METERS:
        raise UsageError(f"no meter {meter!r}; expected one of {', '.join(METERS)}")
    if mode not in MODES:
        raise UsageError(f"no mode {mode!r}; expected one of {', '.join(MODES)}")
    starts, beats = _harmonic_rhythm(rng, meter)
    walk = _walk(rng, _GRAMMARS[mode], len(starts))
    kinds = _kinds(rng, walk, mode)
    ends = [*starts[1:], beats]
    chords = tuple(
        Chord(start, end - start, degree[0], kinds[degree])
        for start, end, degree in zip(starts, ends, walk, strict=True)
    )
    return Progression(progression_name(chords, beats), meter, mode, beats, chords)


def _harmonic_rhythm(rng: np.random.Generator, meter: str) -> tuple[list[float], float]:
    """Draw the start of each chord in beats, from 0.0, and the length of the loop in beats."""
    bar, changes = BAR[meter], _CHANGES[meter]
    bars = int(rng.choice([4, 8]))
    within = changes[rng.integers(len(changes))]
    style = rng.choice(["one per bar", "two per bar", "one per two bars", "mixed"], p=[0.4, 0.2, 0.15, 0.25])
    if style == "one per two bars":  # four bars would hold only two chords
        bars = 8
        figures: list[tuple[float, ...]] = [(0.0,), ()]
    elif style == "two per bar":
        figures = [(0.0, *within)]
    elif style == "mixed":  # one of two bars is busy, and the second bar may continue the previous chord
        busy = (0.0, *within)
        figures = [[(0.0,), busy], [busy, (0.0,)], [busy, within], [(0.0,), within]][rng.integers(4)]
    else:
        figures = [(0.0,)]
    return [k * bar + at for k in range(bars) for at in figures[k % len(figures)]], bars * bar


def _walk(rng: np.random.Generator, grammar: _Grammar, length: int) -> list[_Degree]:
    """Draw a walk of the given length with at least three roots. Its first degree may follow its last one."""
    degrees = list(grammar)
    while True:
        walk = [degrees[0] if rng.random() < 0.6 else degrees[rng.integers(len(degrees))]]
        while len(walk) < length:
            follow = grammar[walk[-1]]
            weights = np.array(list(follow.values()), float)
            walk.append(list(follow)[rng.choice(len(follow), p=weights / weights.sum())])
        if len({root for root, _ in walk}) >= 3 and walk[0] in grammar[walk[-1]]:
            return walk


def _kinds(rng: np.random.Generator, walk: list[_Degree], mode: str) -> dict[_Degree, str]:
    """Draw the kind of chord for each degree: the triad, sometimes its seventh chord, or rarely sus4."""
    sevenths = rng.random() < 0.35
    kinds = {}
    for root, kind in dict.fromkeys(walk):
        seventh, sus4 = _variants(root, kind, mode)
        if sevenths and rng.random() < 0.8 and seventh:
            kinds[root, kind] = seventh
        elif rng.random() < 0.08 and sus4:
            kinds[root, kind] = sus4
        else:
            kinds[root, kind] = kind
    return kinds


def _variants(root: int, kind: str, mode: str) -> tuple[str | None, str | None]:
    """Return the seventh chord and the sus4 chord of a triad. None for a chord that is not in the mode."""
    candidates = {"maj": ("maj7", "7"), "min": ("min7",), "dim": ("hdim7",)}[kind]
    scale = {*MODES[mode], _LEADING_TONE} if (mode, root, kind) == ("minor", 7, "maj") else {*MODES[mode]}

    def fits(candidate: str) -> bool:
        return all((root + tone) % 12 in scale for tone in CHORDS[candidate])

    seventh = next((candidate for candidate in candidates if fits(candidate)), None)
    return seventh, "sus4" if kind == "maj" and fits("sus4") else None
