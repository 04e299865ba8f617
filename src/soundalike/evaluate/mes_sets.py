"""The sets of segments that music estimation scores are measured on: normal, pseudo, and for pictures.

n counts segments. A set belongs to one target instrument, because only segments in which it is audible are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, Span
from soundalike.evaluate.mes import Metric, chance_of_vote, mes_outcomes
from soundalike.evaluate.mes_pieces import StemPiece
from soundalike.evaluate.pseudo_pieces import (
    PseudoSegments,
    mes_pseudo_pieces,
    mes_pseudo_segments,
    visualisation_set,
)
from soundalike.evaluate.terms import Source

__all__ = ["MesSet", "Mixed", "normal_set", "picture_set", "pseudo_set"]


@dataclass(frozen=True, slots=True)
class Mixed:
    """A segment: the target instrument of one piece with the other instruments of another piece, or of the same one.

    Attributes:
        instrument: The target.
        target: Number of the piece of the target, and of the segment within it.
        rest: Number of the piece of the others, and of the segment within it.
    """

    instrument: str
    target: tuple[int, int]
    rest: tuple[int, int]

    def mix(self, pieces: Sequence[StemPiece], instruments: Sequence[str]) -> tuple[Span, tuple[Source, ...]]:
        """Return a name for the mix, and what it is the sum of. A normal segment has one name for all targets."""
        piece, rest = pieces[self.target[0]], pieces[self.rest[0]]
        if self.target == self.rest:
            source = piece.source(self.target[1], instruments)
            return Span(piece.name, source.start, source.end), (source,)
        own = piece.source(self.target[1], [self.instrument])
        others = rest.source(self.rest[1], [name for name in instruments if name != self.instrument])
        name = f"{self.instrument} of {piece.name}, rest of {rest.name} from {others.start:g} s"
        return Span(name, own.start, own.end), (own, others)

    def stem(self, pieces: Sequence[StemPiece]) -> tuple[Span, tuple[Source, ...]]:
        """Return a name for the stem of the target alone, and what it is the sum of."""
        piece = pieces[self.target[0]]
        source = piece.source(self.target[1], [self.instrument])
        return Span(f"{self.instrument} of {piece.name}", source.start, source.end), (source,)


@dataclass(frozen=True, slots=True, eq=False)
class MesSet:
    """n segments with their labels.

    Attributes:
        segments: The segments.
        targets: The pieces of the target: the labels.
        rests: The pieces of the other instruments.
        excluded: The (pseudo-)pieces, whose own segments are no candidates; None if they are.
        barred: Pairs of segments that are no candidates because they overlap, (n, n) bool; None if none do.
    """

    segments: tuple[Mixed, ...]
    targets: tuple[str, ...]
    rests: tuple[str, ...]
    excluded: tuple[str, ...] | None = None
    barred: BoolArray | None = None

    def outcomes(self, rows: np.ndarray, audible: BoolArray, metric: Metric, *, rest: bool = False) -> BoolArray:
        """Return whether the vote finds the piece of the target, or of the `rest`, from n rows: (n,) bool."""
        labels = self.rests if rest else self.targets
        return mes_outcomes(rows, labels, self.excluded, metric=metric, audible=audible, barred=self.barred)

    def chance(self, seed: int, *, rest: bool = False) -> float:
        """Return the share that rows that say nothing find."""
        return chance_of_vote(self.rests if rest else self.targets, self.excluded, seed=seed, barred=self.barred)


def normal_set(pieces: Sequence[StemPiece], instrument: str) -> MesSet:
    """Return the set of MES-Normal: all segments in which the target is audible. Overlapping ones are barred.

    Raises:
        UsageError: The target is audible in fewer than two segments.

    Example:
        >>> outcomes = normal_set(pieces, "drums").outcomes(rows, audible, "l2")
    """
    places = [
        (number, segment) for number, piece in enumerate(pieces) for segment in _audible(piece, instrument).tolist()
    ]
    if len(places) < 2:
        raise UsageError(f"{instrument} is audible in {len(places)} segments; expected two at least")
    cutting = pieces[0].cutting
    barred = None
    if cutting.hop < cutting.seconds:
        piece, segment = np.array(places).T
        near = np.abs(segment[:, None] - segment) * cutting.hop < cutting.seconds - 1e-6
        barred = (piece[:, None] == piece) & near
    names = tuple(pieces[number].name for number, _ in places)
    return MesSet(tuple(Mixed(instrument, one, one) for one in places), names, names, barred=barred)


def pseudo_set(
    pieces: Sequence[StemPiece], instrument: str, rng: np.random.Generator, *, targets: int = 10, rests: int = 3
) -> MesSet:
    """Draw the set of MES-Pseudo: `targets` · `rests` pseudo-pieces and `targets` normal ones (`pseudo_pieces.py`).

    Raises:
        UsageError: The target is audible in too few pieces.

    Example:
        >>> len(set(pseudo_set(pieces, "drums", np.random.default_rng(0)).excluded))
        40
    """
    shortest = min(len(piece) for piece in pieces)
    usable = [number for number, piece in enumerate(pieces) if piece.audible[instrument][:shortest].any()]
    drawn = mes_pseudo_pieces(usable, rng, targets=targets, rests=rests)
    return _set(pieces, instrument, mes_pseudo_segments(drawn, [piece.audible[instrument] for piece in pieces]))


def picture_set(
    pieces: Sequence[StemPiece], instrument: str, rng: np.random.Generator, *, count: int = 10, each: int = 10
) -> MesSet:
    """Draw the set of figure 7 and table 6: every pair of `count` pieces, `each` segments of each pair.

    Raises:
        UsageError: Too few pieces have `each` segments in which the target is audible.

    Example:
        >>> len(picture_set(pieces, "drums", np.random.default_rng(0)).segments)
        1000
    """
    segments = [_audible(piece, instrument) for piece in pieces]
    return _set(pieces, instrument, visualisation_set(segments, rng, pieces=count, each=each))


def _audible(piece: StemPiece, instrument: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.flatnonzero(piece.audible[instrument]).astype(np.int64)


def _set(pieces: Sequence[StemPiece], instrument: str, drawn: PseudoSegments) -> MesSet:
    targets, rests = drawn.target.tolist(), drawn.rest.tolist()
    segments = tuple(
        Mixed(instrument, (target, own), (rest, other))
        for target, own, rest, other in zip(
            targets, drawn.target_segment.tolist(), rests, drawn.rest_segment.tolist(), strict=True
        )
    )
    names = [piece.name for piece in pieces]
    return MesSet(
        segments,
        tuple(names[number] for number in targets),
        tuple(names[number] for number in rests),
        tuple(map(str, drawn.group.tolist())),
    )
