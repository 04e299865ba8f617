"""Triplets of segments: which seconds of which songs play together, drawn without reading any sound.

Anchor, positive and negative are mixtures: one cut per instrument. In a triplet of normal pieces, all cuts of a mixture
are from one song; the anchor and the positive are from the same song. In a triplet of pseudo-pieces (Imamura et al.
2025, Figure 1), the target instrument is from another song than all others, the rest:

                target                        rest
    anchor      song 1                        song 2
    positive    song 1, another segment       song 3
    negative    song 4                        song 2, another segment

The four songs are different. The additional triplet swaps positive and negative, and targets another instrument: the
anchor and the new positive share song 2 in it, and the new negative is from song 3.

No target is silent, nor is the whole rest (`segments.py` says what is audible). Two segments of one song do not
overlap. The generator determines all draws. n mixtures, K instruments, t samples per segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray
from soundalike.train.metric.segments import Cut, Segments

__all__ = [
    "Mixed",
    "Triplet",
    "fixed_set",
    "normal_triplets",
    "pseudo_around",
    "pseudo_triplets",
    "random_mixtures",
    "render",
    "render_stems",
    "source_combinations",
    "swapped",
    "vary_levels",
]

_ATTEMPTS = 1000
"""Draws before a triplet is given up. Where few songs have an instrument, some draws leave too few for the rest."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """A mixture: one cut per instrument, and the factor of each; none leaves all as they are."""

    cuts: tuple[Cut, ...]
    factors: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Triplet:
    """Three mixtures. The target is the number of an instrument; anchor and positive have it from one song."""

    target: int
    anchor: Mixed
    positive: Mixed
    negative: Mixed

    @property
    def roles(self) -> tuple[Mixed, Mixed, Mixed]:
        """Anchor, positive and negative."""
        return self.anchor, self.positive, self.negative


def normal_triplets(segments: Segments, target: int | None, count: int, rng: np.random.Generator) -> list[Triplet]:
    """Draw triplets of normal pieces: two segments of one song, and one of another song.

    Args:
        segments: Where to cut.
        target: The instrument that is audible in all three; None draws it anew for every triplet.
        count: The number of triplets.
        rng: Source of all draws.

    Raises:
        UsageError: There are too few songs with the target.

    Example:
        >>> len(normal_triplets(segments, 0, 64, np.random.default_rng([0, epoch, step])))
        64
    """

    def draw(instrument: int) -> list[Triplet] | None:
        own = segments.song(instrument, rng, two=True)
        other = None if own is None else segments.song(instrument, rng, but=[own])
        if own is None or other is None:
            return None
        anchor, positive = segments.two_cuts(own, instrument, rng)
        cuts = (anchor, positive, segments.cut(other, instrument, rng))
        return [Triplet(instrument, *(Mixed((cut,) * len(segments.instruments)) for cut in cuts))]

    return _draw_all(segments, target, count, rng, draw, songs=2)


def pseudo_triplets(
    segments: Segments, target: int | None, count: int, rng: np.random.Generator, *, additional: bool = False
) -> list[Triplet]:
    """Draw triplets of pseudo-pieces from four different songs each (Figure 1).

    Args:
        segments: Where to cut.
        target: The instrument of the basic triplets; None draws it anew for every triplet.
        count: The number of basic triplets.
        rng: Source of all draws.
        additional: Follow every basic triplet by its swapped one, which targets another instrument, drawn at random.

    Returns:
        `count` triplets, or twice as many with the additional ones.

    Raises:
        UsageError: There are too few songs with the target.

    Example:
        >>> one, other = pseudo_triplets(segments, 0, 1, np.random.default_rng(0), additional=True)
        >>> one.positive == other.negative, one.target == other.target
        (True, False)
    """

    def draw(instrument: int) -> list[Triplet] | None:
        own = segments.song(instrument, rng, two=True)
        other = None if own is None else segments.song(instrument, rng, but=[own])
        if own is None or other is None:
            return None
        cuts = (*segments.two_cuts(own, instrument, rng), segments.cut(other, instrument, rng))
        if not additional:
            found = pseudo_around(segments, instrument, cuts, rng)
            return None if found is None else [found]
        for second in rng.permutation(len(segments.instruments)).tolist():
            if second != instrument and (found := pseudo_around(segments, instrument, cuts, rng, second=second)):
                return [found, swapped(found, second)]
        return None

    return _draw_all(segments, target, count, rng, draw, songs=4)


def pseudo_around(
    segments: Segments,
    target: int,
    cuts: tuple[Cut, Cut, Cut],
    rng: np.random.Generator,
    *,
    second: int | None = None,
) -> Triplet | None:
    """Draw the rest of the pseudo-pieces around given segments of the target.

    Args:
        segments: Where to cut the rest.
        target: The target instrument.
        cuts: The target's segments in the anchor, the positive and the negative.
        rng: Source of all draws.
        second: Another instrument that must be audible in the rest; None asks for any.

    Returns:
        The triplet. None if fewer than two other songs have the instruments.

    Example:
        >>> pseudo_around(segments, 0, (Cut(3, 0), Cut(4, 0), Cut(5, 0)), np.random.default_rng(0))
    """
    gate = segments.rest(target) if second is None else second
    songs = [cut.piece for cut in cuts]
    shared = segments.song(gate, rng, but=songs, two=True)
    other = None if shared is None else segments.song(gate, rng, but=[*songs, shared])
    if shared is None or other is None:
        return None
    first, last = segments.two_cuts(shared, gate, rng)
    rests = (first, segments.cut(other, gate, rng), last)
    kinds = range(len(segments.instruments))
    mixtures = (
        Mixed(tuple(cut if kind == target else rest for kind in kinds)) for cut, rest in zip(cuts, rests, strict=True)
    )
    return Triplet(target, *mixtures)


def swapped(triplet: Triplet, target: int) -> Triplet:
    """Return the additional triplet: positive and negative change places, and another instrument is the target.

    Example:
        >>> swapped(triplet, 2).positive == triplet.negative
        True
    """
    return Triplet(target, triplet.anchor, triplet.negative, triplet.positive)


def fixed_set(segments: Segments, count: int, seed: int) -> list[Triplet]:
    """Return the triplets of pseudo-pieces that Direct draws once and uses in every epoch.

    Args:
        segments: Where to cut.
        count: The number of basic triplets per instrument.
        seed: Seed of all draws, at least 0.

    Returns:
        2 · K · `count` triplets: the basic ones of every instrument, each followed by its additional one.

    Example:
        >>> fixed_set(segments, 100, seed=0) == fixed_set(segments, 100, seed=0)
        True
    """
    rng = np.random.default_rng([seed, 1])
    kinds = range(len(segments.instruments))
    return [triplet for kind in kinds for triplet in pseudo_triplets(segments, kind, count, rng, additional=True)]


def random_mixtures(segments: Segments, target: int | None, count: int, rng: np.random.Generator) -> list[Mixed]:
    """Draw segments of normal pieces in which an instrument is audible; with None, in which any one is.

    Example:
        >>> len(random_mixtures(segments, None, 64, np.random.default_rng(0)))
        64
    """
    kinds = segments.present if target is None else [target]
    mixtures = []
    for _ in range(count):
        kind = kinds[rng.integers(len(kinds))]
        song = segments.song(kind, rng)
        if song is None:
            raise _too_few(segments, kind, songs=1)
        mixtures.append(Mixed((segments.cut(song, kind, rng),) * len(segments.instruments)))
    return mixtures


def source_combinations(kinds: int) -> BoolArray:
    """Return every combination of K sources but the silent one, as masks (2^K - 1, K); 31 for five instruments.

    Example:
        >>> source_combinations(2).astype(int).tolist()
        [[1, 0], [0, 1], [1, 1]]
    """
    numbers = np.arange(1, 1 << kinds)
    found: BoolArray = (numbers[:, None] >> np.arange(kinds) & 1).astype(bool)
    return found


def vary_levels(mixed: Mixed, decibels: float, rng: np.random.Generator) -> Mixed:
    """Return a mixture in which each instrument is louder or softer at random.

    Args:
        mixed: The mixture.
        decibels: The largest change in dB, up or down. 0 draws nothing.
        rng: Source of the draws, which are uniform in dB.

    Example:
        >>> vary_levels(Mixed((Cut(0, 0), Cut(0, 0))), 6.0, np.random.default_rng(0)).factors
        (1.2036..., 0.7276...)
    """
    if not decibels:
        return mixed
    drawn = 10 ** (rng.uniform(-decibels, decibels, len(mixed.cuts)) / 20)
    return replace(mixed, factors=tuple(drawn.tolist()))


def render_stems(mixtures: Sequence[Mixed], segments: Segments) -> FloatArray:
    """Return the stems of mixtures: (n, K, t) float32. Their sum over K is the mixture.

    Example:
        >>> render_stems([triplet.anchor], segments).shape
        (1, 5, 48000)
    """
    stems = np.empty((len(mixtures), len(segments.instruments), segments.length), np.float32)
    for found, mixed in zip(stems, mixtures, strict=True):
        for kind, cut in enumerate(mixed.cuts):
            found[kind] = segments.pieces[cut.piece].cut(kind, cut.start, segments.length)
        if mixed.factors:
            found *= np.array(mixed.factors, np.float32)[:, None]
    return stems


def render(triplets: Sequence[Triplet], segments: Segments) -> tuple[FloatArray, FloatArray]:
    """Return the sound of triplets.

    Args:
        triplets: n triplets.
        segments: What they were drawn from.

    Returns:
        The mixtures (n, 3, t) float32, and the stems of the target instruments in them, of the same shape. The second
        axis is anchor, positive and negative.

    Example:
        >>> mixtures, targets = render(triplets, segments)
        >>> mixtures.shape
        (64, 3, 48000)
    """
    mixtures = np.empty((len(triplets), 3, segments.length), np.float32)
    targets = np.empty_like(mixtures)
    rest = np.empty(segments.length, np.float32)
    for number, triplet in enumerate(triplets):
        for role, mixed in enumerate(triplet.roles):
            mixture, stem = mixtures[number, role], targets[number, role]
            own = mixed.cuts[triplet.target]
            segments.pieces[own.piece].read([triplet.target], own.start, stem)
            if mixed.factors:
                stem *= np.float32(mixed.factors[triplet.target])
            total = stem
            for kinds in _read_together(mixed, triplet.target):
                cut = mixed.cuts[kinds[0]]
                segments.pieces[cut.piece].read(kinds, cut.start, rest)
                if mixed.factors:
                    rest *= np.float32(mixed.factors[kinds[0]])
                total = np.add(total, rest, out=mixture)
            if total is stem:  # the only instrument
                mixture[:] = stem
    return mixtures, targets


def _read_together(mixed: Mixed, target: int) -> list[list[int]]:
    """The instruments but the target, in groups that share a cut and a factor."""
    groups: dict[tuple[Cut, int | None], list[int]] = {}
    for kind, cut in enumerate(mixed.cuts):
        if kind != target:
            groups.setdefault((cut, kind if mixed.factors else None), []).append(kind)
    return list(groups.values())


def _draw_all(
    segments: Segments,
    target: int | None,
    count: int,
    rng: np.random.Generator,
    draw: Callable[[int], list[Triplet] | None],
    songs: int,
) -> list[Triplet]:
    """Draw `count` times, each until a draw succeeds."""
    kinds = segments.present if target is None else [target]
    triplets: list[Triplet] = []
    for _ in range(count):
        kind = kinds[rng.integers(len(kinds))]
        found = next(filter(None, (draw(kind) for _ in range(_ATTEMPTS))), None)
        if found is None:
            raise _too_few(segments, kind, songs)
        triplets += found
    return triplets


def _too_few(segments: Segments, target: int, songs: int) -> UsageError:
    name, seconds, total = segments.instruments[target], f"{segments.seconds:g} s", len(segments.pieces)
    found = len(segments.songs_with(target))
    if not found:
        return UsageError(
            f"silent targets everywhere: {name} is audible in no segment of {seconds} of {total:,} songs; "
            f"give songs with {name}"
        )
    return UsageError(
        f"too few songs for triplets: {name} is audible in a segment of {seconds} of {found:,} songs of {total:,}; "
        f"expected {songs} different songs per triplet, of which two have audible {name} and one has it in two segments"
    )
