"""Music estimation scores (MES): do the nearest neighbours of a segment say which piece it is from?

The piece of every segment is estimated by a vote of its five nearest neighbours among the other segments. The score is
the share of segments whose estimate is right.

- MES-Normal: all other segments are candidates, those of the same piece included.
- MES-Pseudo: segments are mixes of a target's stem of one piece with the other stems of another one, and the label is
  that of the target. Segments of the same (pseudo-)piece as the query are no candidates, or the other stems would tell.
- Target and non-target: MES-Pseudo with the label of the target, and with that of the other stems.

The paper does not say how a vote ends that ties. Here the label whose voters have the smaller sum of distances wins,
and if these are equal too, the label of the nearest voter. Neighbours at equal distances count in the order of the
segments.

Reference: Imamura, Hashizume, Huang and Toda, Music Similarity Representation Learning Focusing on Individual
Instruments with Source Separation and Human Preference, APSIPA Transactions 14, 2025, sections 4.2.1, 4.2.2 and 4.2.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np

from soundalike.core.types import BoolArray, FloatArray, IntArray

__all__ = ["METRICS", "NEIGHBOURS", "Metric", "chance_of_vote", "mes", "mes_outcomes", "vote"]

Metric: TypeAlias = Literal["l2", "cosine"]
METRICS: tuple[Metric, ...] = get_args(Metric)
NEIGHBOURS = 5
"""The number of neighbours that vote, as published."""
_BLOCK = 1 << 22
"""Distances that are in memory at the same time."""
_CHANCE_VOTES = 10_000


def mes(
    rows: FloatArray,
    labels: Sequence[str],
    excluded: Sequence[str] | None = None,
    *,
    k: int = NEIGHBOURS,
    metric: Metric = "l2",
) -> float:
    """Return the share of segments whose label a vote of their nearest neighbours finds.

    Args:
        rows: (n, d), one row per segment.
        labels: n labels: the pieces to find.
        excluded: n names of groups; the members of a group are no candidates for each other. None: every segment is a
            candidate for all others.
        k: The number of neighbours that vote.
        metric: "l2", as published, or "cosine".

    Returns:
        The share, 0 to 1.

    Raises:
        ValueError: The numbers of rows, labels and groups differ, or there are none.

    Example:
        >>> mes(np.array([[0.0], [0.1], [5.0], [5.1]]), ["a", "a", "b", "b"], k=1)
        1.0
    """
    return float(mes_outcomes(rows, labels, excluded, k=k, metric=metric).mean())


def mes_outcomes(
    rows: FloatArray,
    labels: Sequence[str],
    excluded: Sequence[str] | None = None,
    *,
    k: int = NEIGHBOURS,
    metric: Metric = "l2",
    audible: BoolArray | None = None,
    barred: BoolArray | None = None,
) -> BoolArray:
    """Return for every segment whether the vote of its nearest neighbours finds its label.

    Args:
        rows: (n, d), one row per segment.
        labels: n labels: the pieces to find.
        excluded: n names of groups, as in `mes`.
        k: The number of neighbours that vote.
        metric: "l2" or "cosine".
        audible: Which segments have a row, (n,) bool; None: all. One without is no candidate, and is not found.
        barred: Which segments are no candidates for a query for another reason, (n, n) bool, one row per query.

    Returns:
        (n,) bool. A segment without candidates is not found.

    Raises:
        ValueError: The numbers of rows, labels and groups differ, or there are none.

    Example:
        >>> mes_outcomes(np.array([[0.0], [0.1], [5.0]]), ["a", "a", "b"], k=1).tolist()
        [True, True, False]
    """
    number, group = _numbered(len(rows), labels, excluded)
    heard = np.ones(len(rows), np.bool_) if audible is None else audible
    found = np.full(len(rows), -1)
    for part in _blocks(len(rows)):
        allowed = _allowed(part, group, barred) & heard
        found[part] = vote(_distances(rows[part], rows, metric), allowed, number, k)
    return (found == number) & heard


def vote(distances: FloatArray, allowed: BoolArray, labels: IntArray, k: int = NEIGHBOURS) -> IntArray:
    """Return the label that the k nearest candidates of every query vote for.

    Args:
        distances: (q, n), from q queries to n candidates.
        allowed: Which candidates a query has, (q, n) bool.
        labels: The labels of the candidates, (n,), 0 or more.
        k: The number of neighbours that vote; all, where there are fewer.

    Returns:
        (q,) labels; -1 for a query without candidates. For ties see the top of this module.

    Example:
        >>> vote(np.array([[1.0, 2.0, 0.5]]), np.ones((1, 3), bool), np.array([7, 7, 3])).tolist()
        [7]
    """
    masked = np.where(allowed, distances, np.inf)
    nearest = np.argsort(masked, axis=1, kind="stable")[:, :k]
    distance = np.take_along_axis(masked, nearest, axis=1)
    own = np.where(np.isfinite(distance), labels[nearest], -1)
    same = (own[:, :, None] == own[:, None, :]) & (own >= 0)[:, None, :]
    votes = same.sum(axis=2)
    sums = np.where(same, distance[:, None, :], 0.0).sum(axis=2)
    leading = votes == votes.max(axis=1, keepdims=True)
    winner = np.where(leading, sums, np.inf).argmin(axis=1)
    return own[np.arange(len(own)), winner]


def chance_of_vote(
    labels: Sequence[str],
    excluded: Sequence[str] | None = None,
    *,
    k: int = NEIGHBOURS,
    seed: int = 0,
    barred: BoolArray | None = None,
) -> float:
    """Return the score of rows that say nothing: k random candidates vote. Ten thousand votes are drawn.

    Args:
        labels: n labels, as in `mes`.
        excluded: n names of groups, as in `mes`.
        k: The number of candidates that vote.
        seed: Seed of the draws.
        barred: (n, n) bool, as in `mes_outcomes`.

    Returns:
        The share, 0 to 1; its standard error is at most 0.005.

    Raises:
        ValueError: The numbers of labels and groups differ, or there are none.

    Example:
        >>> round(chance_of_vote(["a", "b"] * 50), 1)
        0.5
    """
    number, group = _numbered(len(labels), labels, excluded)
    generator = np.random.default_rng(seed)
    repeats = -(-_CHANCE_VOTES // len(labels))
    right = 0
    for _ in range(repeats):
        for part in _blocks(len(labels)):
            allowed = _allowed(part, group, barred)
            right += int((vote(generator.random(allowed.shape), allowed, number, k) == number[part]).sum())
    return right / (repeats * len(labels))


def _numbered(count: int, labels: Sequence[str], excluded: Sequence[str] | None) -> tuple[IntArray, IntArray]:
    """Labels and groups as numbers. Without groups, every segment is a group of its own."""
    groups = range(count) if excluded is None else excluded
    if not count or len(labels) != count or len(groups) != count:
        raise ValueError(
            f"{count} rows, {len(labels)} labels and {len(groups)} groups; expected as many of each, and some"
        )
    number = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)[1]
    group = np.arange(count) if excluded is None else np.unique(np.asarray(excluded, np.str_), return_inverse=True)[1]
    return number.astype(np.int64), group.astype(np.int64)


def _blocks(count: int) -> Iterator[slice]:
    """Consecutive queries whose distances to all candidates fit a block."""
    size = max(1, _BLOCK // count)
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def _allowed(part: slice, group: IntArray, barred: BoolArray | None) -> BoolArray:
    allowed: BoolArray = group[part, None] != group
    return allowed if barred is None else allowed & ~barred[part]


def _distances(queries: FloatArray, rows: FloatArray, metric: Metric) -> FloatArray:
    """Distances (q, n). Differences are taken before squares, so that equal rows are exactly at 0."""
    from scipy.spatial.distance import cdist

    left, right = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "cosine":
        left, right = (one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12) for one in (left, right))
        return 1.0 - left @ right.T
    return cdist(left, right)
