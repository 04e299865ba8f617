"""Pseudo-pieces for music ID estimation: the target instrument of one piece with the other instruments of another one.

Reference: Imamura, Hashizume, Huang and Toda, Music Similarity Representation Learning Focusing on Individual
Instruments with Source Separation and Human Preference, APSIPA Transactions 14, 2025, sections 4.2.2
(`mes_pseudo_pieces`, Figure 5) and 4.2.4 (`visualisation_set`, Figure 6).

Nothing here reads sound: pieces are numbers, and so are their segments. Where the text leaves a choice:

- Rest pieces are drawn without repetition over all targets where enough pieces remain, so that no rest tells a target
  from another one; otherwise without repetition within a target.
- A pseudo-piece is the sum of two whole pieces from their beginnings, cut into segments, and ends with the shorter one.
- In the visualisation set, each pair of pieces uses each of its ten target segments and ten rest segments once.

n counts segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, IntArray

__all__ = ["PseudoPiece", "PseudoSegments", "mes_pseudo_pieces", "mes_pseudo_segments", "visualisation_set"]


@dataclass(frozen=True, slots=True)
class PseudoPiece:
    """A piece of the test: the target instrument is from one piece, all others from the rest piece.

    Attributes:
        target: Number of the piece of the target instrument.
        rest: Number of the piece of the other instruments; `target` itself in a normal piece.
    """

    target: int
    rest: int

    @property
    def is_normal(self) -> bool:
        """Whether target and rest are one piece."""
        return self.target == self.rest


@dataclass(frozen=True, slots=True, eq=False)
class PseudoSegments:
    """n segments of pseudo-pieces.

    Attributes:
        target: (n,) numbers of the pieces of the target instrument: the labels of the target.
        rest: (n,) numbers of the pieces of the other instruments: the labels of the rest.
        target_segment: (n,) numbers of the segments within the target's pieces.
        rest_segment: (n,) numbers of the segments within the rest's pieces.
        group: (n,) numbers of the pseudo-pieces. For a segment, all segments of its own group are left out.
    """

    target: IntArray
    rest: IntArray
    target_segment: IntArray
    rest_segment: IntArray
    group: IntArray

    def __len__(self) -> int:
        return len(self.group)


def mes_pseudo_pieces(
    usable: Sequence[int], rng: np.random.Generator, *, targets: int = 10, rests: int = 3
) -> tuple[PseudoPiece, ...]:
    """Draw the pieces of MES-Pseudo: 30 pseudo-pieces, and the 10 normal pieces of their targets.

    Args:
        usable: Numbers of the pieces in which the target instrument is audible.
        rng: Source of all draws.
        targets: The number of target pieces, which are removed from the others.
        rests: The number of rest pieces for each of them.

    Returns:
        `targets` · `rests` pseudo-pieces, target by target, then `targets` normal pieces.

    Raises:
        UsageError: There are fewer than `targets` + `rests` pieces.

    Example:
        >>> pieces = mes_pseudo_pieces(range(136), np.random.default_rng(0))
        >>> len(pieces), sum(piece.is_normal for piece in pieces)
        (40, 10)
    """
    numbers = np.asarray(usable, np.int64)
    if len(numbers) < targets + rests:
        raise UsageError(
            f"{len(numbers):,} pieces have the target instrument; expected at least {targets + rests} for {targets} "
            f"target pieces with {rests} rest pieces each"
        )
    order = rng.permutation(numbers)
    chosen, others = order[:targets], order[targets:]
    if len(others) >= targets * rests:
        drawn = others[: targets * rests].reshape(targets, rests)
    else:
        drawn = np.stack([rng.choice(others, rests, replace=False) for _ in chosen])
    pseudo = [
        PseudoPiece(target, rest) for target, own in zip(chosen.tolist(), drawn.tolist(), strict=True) for rest in own
    ]
    return (*pseudo, *(PseudoPiece(target, target) for target in chosen.tolist()))


def mes_pseudo_segments(pieces: Sequence[PseudoPiece], audible: Sequence[BoolArray]) -> PseudoSegments:
    """Cut the pieces of MES-Pseudo into segments, without those whose target is silent.

    Args:
        pieces: The pieces.
        audible: For every piece of the test set, whether the target instrument is audible in its segments, of which
            it has any number.

    Returns:
        The segments, piece by piece. Target and rest of a segment have the same number, so they are heard at the same
        time of their pieces.

    Raises:
        UsageError: The target is silent in all segments of a pseudo-piece.

    Example:
        >>> segments = mes_pseudo_segments([PseudoPiece(0, 1)], [np.array([True, False]), np.array([True, True])])
        >>> segments.target_segment.tolist()
        [0]
    """
    rows: list[tuple[int, int, int, int]] = []
    for group, piece in enumerate(pieces):
        length = min(len(audible[piece.target]), len(audible[piece.rest]))
        slots = np.flatnonzero(audible[piece.target][:length]).tolist()
        if not slots:
            raise UsageError(
                f"pseudo-piece {group} of target piece {piece.target} has no segment with an audible target; "
                "leave the piece out"
            )
        rows += [(piece.target, piece.rest, slot, group) for slot in slots]
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return PseudoSegments(columns[0], columns[1], columns[2], columns[2], columns[3])


def visualisation_set(
    segments: Sequence[IntArray], rng: np.random.Generator, *, pieces: int = 10, each: int = 10
) -> PseudoSegments:
    """Draw the set of Figure 7: every pair of ten pieces, ten segments of each pair.

    Args:
        segments: For every piece of the test set, the numbers of the segments in which the target is audible.
        rng: Source of all draws.
        pieces: The number of pieces, which are both targets and rests.
        each: The number of segments that are drawn from each piece, and of pseudo-segments per pair.

    Returns:
        pieces² · each segments, 1,000 by default. The groups are the pairs; 10 of 100 pairs are a piece with itself.

    Raises:
        UsageError: Fewer than `pieces` pieces have `each` segments.

    Example:
        >>> len(visualisation_set([np.arange(25)] * 136, np.random.default_rng(0)))
        1000
    """
    usable = [number for number, own in enumerate(segments) if len(own) >= each]
    if len(usable) < pieces:
        raise UsageError(
            f"{len(usable):,} of {len(segments):,} pieces have {each} segments with an audible target; "
            f"expected at least {pieces}"
        )
    chosen = rng.choice(usable, pieces, replace=False).tolist()
    cuts = {piece: rng.choice(segments[piece], each, replace=False) for piece in chosen}
    pairs = [(target, rest) for target in chosen for rest in chosen]
    return PseudoSegments(
        target=np.repeat([target for target, _ in pairs], each),
        rest=np.repeat([rest for _, rest in pairs], each),
        target_segment=np.concatenate([rng.permutation(cuts[target]) for target, _ in pairs]),
        rest_segment=np.concatenate([rng.permutation(cuts[rest]) for _, rest in pairs]),
        group=np.repeat(np.arange(len(pairs)), each),
    )
