"""The segments on which the similarity of instruments is judged, cut from songs that have been read for training.

The paper cuts 136 songs of about four minutes. Fewer or shorter songs give too few segments, so several draws are made
until there are enough: other starts of the segments (MES-Normal), and other pieces (MES-Pseudo). Segments of one draw
do not overlap, neighbours are looked for within a draw, and intervals are from a bootstrap over songs. For the pictures
and table 6, ten segments per song are needed; in shorter songs they overlap.

n counts segments, d dims of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from soundalike.audio.activity import BLOCK
from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, FloatArray
from soundalike.evaluate.estimates import bootstrap
from soundalike.evaluate.mes_pieces import Cutting, StemPiece
from soundalike.evaluate.mes_sets import MesSet, normal_set, picture_set, pseudo_set
from soundalike.reproduce.comparison import Measurement
from soundalike.train.metric.segments import Cut, Segments
from soundalike.train.metric.triplets import Mixed

__all__ = ["LEAST", "SegmentSet", "normal_segments", "picture_segments", "pseudo_segments"]

LEAST: Final = 1000
"""Segments per cell at least."""
_DRAWS = 60
_EACH = 10
"""Segments of each song for pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSet:
    """Segments of one target instrument, in one draw or several.

    Attributes:
        name: "normal", "pseudo" or "pictures".
        instrument: The number of the target.
        mixtures: The n segments, draw by draw.
        draws: Their labels, for each draw.
    """

    name: str
    instrument: int
    mixtures: tuple[Mixed, ...]
    draws: tuple[MesSet, ...]

    def outcomes(self, rows: FloatArray, *, rest: bool = False) -> BoolArray:
        """Return for rows (n, d) whether a vote of five neighbours by L2 finds the piece of the target, or the `rest`.

        Returns:
            (n,) bool.
        """
        found, first = [], 0
        for draw in self.draws:
            own = rows[first : first + len(draw.segments)]
            found.append(draw.outcomes(own, np.ones(len(own), np.bool_), "l2", rest=rest))
            first += len(own)
        return np.concatenate(found)

    def score(self, rows: FloatArray, seed: int, *, rest: bool = False) -> Measurement:
        """Return the share of right votes in % with an interval from a bootstrap over songs."""
        groups = [name for draw in self.draws for name in (draw.rests if rest else draw.targets)]
        outcomes = self.outcomes(rows, rest=rest).astype(np.float64)
        found = bootstrap(100 * outcomes[:, None], groups, seed)
        return Measurement(float(found.value[0]), float(found.low[0]), float(found.high[0]), len(outcomes))

    def chance(self, seed: int, *, rest: bool = False) -> Measurement:
        """Return the score of rows that say nothing, in %."""
        sizes = [len(draw.segments) for draw in self.draws]
        shares = [draw.chance(seed + number, rest=rest) for number, draw in enumerate(self.draws)]
        return Measurement(100 * float(np.average(shares, weights=sizes)), np.nan, np.nan, sum(sizes))


def normal_segments(segments: Segments, instrument: int, seed: int, least: int = LEAST) -> SegmentSet:
    """Return the segments of MES-Normal.

    Args:
        segments: Where to cut; their length is that of the test.
        instrument: The target.
        seed: Seed of the starts. The first draw cuts from the beginnings of songs.
        least: The number of segments at least.

    Raises:
        UsageError: The target is audible in too few segments.

    Example:
        >>> rows_of = normal_segments(segments, 0, seed=0).mixtures
    """
    rng = np.random.default_rng([seed, instrument, 0])
    return _draw("normal", segments, instrument, least, rng, lambda pieces, name: normal_set(pieces, name))


def pseudo_segments(segments: Segments, instrument: int, seed: int, least: int = LEAST) -> SegmentSet:
    """Return the segments of MES-Pseudo; every draw has ten target pieces with three others each, and other starts.

    Raises:
        UsageError: The target is audible in too few songs.

    Example:
        >>> chance = pseudo_segments(segments, 0, seed=0).chance(0)
    """
    rng = np.random.default_rng([seed, instrument, 1])
    return _draw("pseudo", segments, instrument, least, rng, lambda pieces, name: pseudo_set(pieces, name, rng))


def picture_segments(segments: Segments, instrument: int, seed: int) -> SegmentSet:
    """Return the 1,000 segments of figure 7 and table 6: ten of each pair of ten pieces.

    Raises:
        UsageError: The target is audible in too few segments.

    Example:
        >>> len(picture_segments(segments, 0, seed=0).mixtures)
        1000
    """
    rng = np.random.default_rng([seed, instrument, 2])
    block = round(BLOCK * segments.pieces[0].rate)
    shortest = min(piece.frames for piece in segments.pieces if piece.frames >= segments.length)
    hop = min(segments.length, max(block, (shortest - segments.length) // (2 * _EACH) // block * block))
    drawn = picture_set(_pieces(segments, instrument, 0, hop), segments.instruments[instrument], rng, each=_EACH)
    return SegmentSet("pictures", instrument, _mixtures(drawn, segments, instrument, 0, hop), (drawn,))


def _draw(
    name: str,
    segments: Segments,
    instrument: int,
    least: int,
    rng: np.random.Generator,
    draw: Callable[[Sequence[StemPiece], str], MesSet],
) -> SegmentSet:
    """Draw sets with other starts until there are enough segments."""
    block = round(BLOCK * segments.pieces[0].rate)
    mixtures: list[Mixed] = []
    draws: list[MesSet] = []
    target = segments.instruments[instrument]
    while len(mixtures) < least:
        if len(draws) == _DRAWS:
            raise UsageError(
                f"{target} is audible in {len(mixtures):,} segments of {_DRAWS} draws from {len(segments.pieces):,} "
                f"songs; expected at least {least:,}; give more songs"
            )
        offset = block * int(rng.integers(segments.length // block)) if draws else 0
        found = draw(_pieces(segments, instrument, offset, segments.length), target)
        draws.append(found)
        mixtures += _mixtures(found, segments, instrument, offset, segments.length)
    return SegmentSet(name, instrument, tuple(mixtures), tuple(draws))


def _pieces(segments: Segments, instrument: int, offset: int, hop: int) -> list[StemPiece]:
    """The songs as the sets want them: where the target is audible in segments from an offset on, in samples."""
    rate = segments.pieces[0].rate
    cutting = Cutting(segments.seconds, hop / rate)
    found = []
    for number, piece in enumerate(segments.pieces):
        count = max(0, (piece.frames - offset - segments.length) // hop + 1)
        starts = offset + hop * np.arange(count)
        audible = np.isin(starts, segments.starts(number, instrument))
        found.append(StemPiece(str(number), {}, {segments.instruments[instrument]: audible}, cutting))
    return found


def _mixtures(drawn: MesSet, segments: Segments, instrument: int, offset: int, hop: int) -> tuple[Mixed, ...]:
    kinds = range(len(segments.instruments))
    found = []
    for one in drawn.segments:
        own, rest = (Cut(piece, offset + hop * segment) for piece, segment in (one.target, one.rest))
        found.append(Mixed(tuple(own if kind == instrument else rest for kind in kinds)))
    return tuple(found)
