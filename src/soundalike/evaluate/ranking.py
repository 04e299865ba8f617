"""Measures of a ranking: average precision, recall at k, k-occurrence and hubness, with their values by chance.

n recordings; every one is a query, with one row of a similarity matrix (n, n).

References: Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4; Radovanović,
Nanopoulos and Ivanović, Hubs in Space, JMLR 11, 2010.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soundalike.core.types import BoolArray, FloatArray, IntArray

__all__ = [
    "CUTS",
    "NEIGHBOURS",
    "among_best",
    "average_precision_at",
    "chance_of_one",
    "chance_precision_at",
    "chance_scores",
    "first_is_right",
    "hubness",
    "occurrences",
    "ranked",
    "relevance",
    "scores",
    "scores_of_one",
]

CUTS = (1, 5, 10)
NEIGHBOURS = 10


def relevance(labels: Sequence[str], groups: Sequence[str]) -> tuple[BoolArray, BoolArray]:
    """Return which recordings are candidates for which query, and which candidates are right.

    Args:
        labels: n labels.
        groups: n groups; the members of a group are not candidates for each other. "" is no group.

    Returns:
        Two (n, n) bool arrays, one row per query.

    Example:
        >>> allowed, right = relevance(["a", "a", "b"], ["", "", ""])
        >>> right.astype(int).tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    label, group = np.asarray(labels, dtype=np.str_), np.asarray(groups, dtype=np.str_)
    allowed = ~np.eye(len(label), dtype=np.bool_) & ~((group[:, None] == group) & (group != ""))
    return allowed, allowed & (label[:, None] == label)


def ranked(similarity: FloatArray, allowed: BoolArray, seed: int) -> IntArray:
    """Return all recordings per query, most similar first, non-candidates last, ties in random order: (n, n)."""
    shuffled = np.random.default_rng(seed).permutation(len(similarity))
    keys = np.where(allowed, -similarity, np.inf)[:, shuffled]
    return shuffled[np.argsort(keys, axis=1, kind="stable")]


def scores(similarity: FloatArray, allowed: BoolArray, right: BoolArray, seed: int = 0) -> FloatArray:
    """Compute the retrieval measures of every query that has a right candidate.

    Args:
        similarity: (n, n), one row per query.
        allowed: Which recordings are candidates, (n, n) bool, from `relevance`.
        right: Which candidates are right, (n, n) bool, from `relevance`.
        seed: Seed of the order of ties.

    Returns:
        (queries, 5): average precision, R@1, R@5, R@10, and the rank of the first right candidate.

    Example:
        >>> rows = encode_clips(clips).rows["melody"]
        >>> mean_average_precision = scores(rows @ rows.T, *relevance(labels, groups))[:, 0].mean()
    """
    order = ranked(similarity, allowed, seed)
    hits = np.take_along_axis(right, order, axis=1)[right.any(axis=1)]
    ranks = np.arange(1, hits.shape[1] + 1)
    precision = np.cumsum(hits, axis=1) / ranks
    average = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    first = hits.argmax(axis=1) + 1.0
    return np.stack([average, *(first <= cut for cut in CUTS), first], axis=1)


def chance_scores(allowed: BoolArray, right: BoolArray) -> FloatArray:
    """Return the expected means of `scores` for a random ranking.

    With c candidates of which r are right, and H the c-th harmonic number:
    E[AP] = (H + (r - 1) (c - H) / (c - 1)) / c, P(no right one among k) = C(c - r, k) / C(c, k),
    E[first] = (c + 1) / (r + 1).

    Args:
        allowed: Which recordings are candidates, (n, n) bool.
        right: Which candidates are right, (n, n) bool.

    Returns:
        (5,), in the order of `scores`, averaged over the queries that have a right candidate.
    """
    rows = []
    for c, r in zip(allowed.sum(axis=1).tolist(), right.sum(axis=1).tolist(), strict=True):
        if r == 0:
            continue
        harmonic = float((1 / np.arange(1, c + 1)).sum())
        average = (harmonic + (r - 1) * (c - harmonic) / max(c - 1, 1)) / c
        misses = [np.prod([max(c - r - i, 0) / (c - i) for i in range(min(cut, c))]) for cut in CUTS]
        rows.append([average, *(1 - miss for miss in misses), (c + 1) / (r + 1)])
    return np.mean(rows, axis=0)


def occurrences(similarity: FloatArray, allowed: BoolArray, k: int = NEIGHBOURS, seed: int = 0) -> IntArray:
    """Return the k-occurrence N_k of every recording: the number of queries that have it among their k nearest.

    Args:
        similarity: (n, n), one row per query.
        allowed: Which recordings are candidates, (n, n) bool.
        k: The number of neighbours.
        seed: Seed of the order of ties.

    Returns:
        (n,) counts.
    """
    order = ranked(similarity, allowed, seed)[:, :k]
    counted = np.take_along_axis(allowed, order, axis=1)
    return np.bincount(order[counted], minlength=len(similarity))


def among_best(similarity: FloatArray, allowed: BoolArray, counts: int | IntArray, seed: int = 0) -> BoolArray:
    """Return which candidates are among the most similar ones of each query.

    Args:
        similarity: (n, n), one row per query.
        allowed: Which recordings are candidates, (n, n) bool.
        counts: The number of results, for all queries or for each, (n,). There are fewer where candidates run out.
        seed: Seed of the order of ties.

    Returns:
        (n, n) bool, one row per query.

    Example:
        >>> among_best(np.array([[0, 3, 2], [3, 0, 1], [2, 1, 0]]), ~np.eye(3, dtype=bool), 1).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0], [1, 0, 0]]
    """
    order = ranked(similarity, allowed, seed)
    within = np.arange(len(similarity)) < np.broadcast_to(np.asarray(counts), len(similarity))[:, None]
    chosen = np.zeros(allowed.shape, np.bool_)
    np.put_along_axis(chosen, order, within, axis=1)
    return chosen & allowed


def hubness(counts: IntArray) -> float:
    """Return the skewness (third standardised moment) of k-occurrences (n,); NaN if all are equal.

    Example:
        >>> round(hubness(np.array([0, 0, 0, 4])), 3)
        1.155
    """
    centred = counts - counts.mean()
    deviation = float(np.sqrt(np.mean(centred**2)))
    return float(np.mean(centred**3)) / deviation**3 if deviation > 0 else float("nan")


def average_precision_at(
    similarity: FloatArray, allowed: BoolArray, right: BoolArray, k: int = NEIGHBOURS, seed: int = 0
) -> FloatArray:
    """Return the average precision at k of every query: the sum of the precisions at right results, over min(k, r).

    r is the number of right candidates. This is the measure of MERIT's code for tags of instruments.

    Args:
        similarity: (n, n), one row per query.
        allowed: Which recordings are candidates, (n, n) bool.
        right: Which candidates are right, (n, n) bool.
        k: The number of results.
        seed: Seed of the order of ties.

    Returns:
        (n,), NaN for queries without a right candidate.

    Example:
        >>> allowed, right = relevance(["a", "a", "b"], ["", "", ""])
        >>> average_precision_at(np.array([[1, 0.5, 0.9], [0.5, 1, 0], [0.9, 0, 1]]), allowed, right).tolist()
        [0.5, 1.0, nan]
    """
    order = ranked(similarity, allowed, seed)[:, :k]
    hits = np.take_along_axis(right & allowed, order, axis=1)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    count = (right & allowed).sum(axis=1)
    return np.where(count > 0, (precision * hits).sum(axis=1) / np.maximum(np.minimum(k, count), 1), np.nan)


def chance_precision_at(allowed: BoolArray, right: BoolArray, k: int = NEIGHBOURS) -> FloatArray:
    """Return the expected `average_precision_at` of every query for a random ranking.

    With c candidates of which r are right, rank i is right with probability r / c, and then the ranks before it hold
    (i - 1) (r - 1) / (c - 1) right ones on average.

    Returns:
        (n,), NaN for queries without a right candidate.
    """
    found = np.full(len(allowed), np.nan)
    for query, (c, r) in enumerate(
        zip(allowed.sum(axis=1).tolist(), (right & allowed).sum(axis=1).tolist(), strict=True)
    ):
        if r:
            ranks = np.arange(1, min(k, c) + 1)
            hits_so_far = 1 + (ranks - 1) * (r - 1) / max(c - 1, 1)
            found[query] = (r / c * hits_so_far / ranks).sum() / min(k, r)
    return found


def scores_of_one(similarity: FloatArray, right: IntArray, allowed: BoolArray) -> FloatArray:
    """Return recall@1 and the reciprocal rank of the only right candidate of every query.

    Both are expected values over random orders of equally similar candidates.

    Args:
        similarity: (m, n), one row per query.
        right: The number of the right candidate of each query, (m,).
        allowed: Which candidates a query has, (m, n) bool; the right one is among them.

    Returns:
        (m, 2).

    Example:
        >>> scores_of_one(np.array([[0.9, 0.5, 0.5]]), np.array([1]), np.ones((1, 3), bool)).round(3).tolist()
        [[0.0, 0.417]]
    """
    own = np.take_along_axis(similarity, right[:, None], axis=1)
    above = (allowed & (similarity > own)).sum(axis=1)
    tied = (allowed & (similarity == own)).sum(axis=1)  # with the right one
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, similarity.shape[1] + 1))])
    return np.stack([(above == 0) / tied, (harmonic[above + tied] - harmonic[above]) / tied], axis=1)


def chance_of_one(allowed: BoolArray) -> FloatArray:
    """Return the expected `scores_of_one` of every query for a random ranking, (m, 2).

    With c candidates and H the c-th harmonic number: P(first) = 1 / c, E[1 / rank] = H / c.

    Example:
        >>> chance_of_one(np.ones((1, 4), bool)).round(3).tolist()
        [[0.25, 0.521]]
    """
    counts = allowed.sum(axis=1)
    harmonic = np.cumsum(1 / np.arange(1, allowed.shape[1] + 1))[counts - 1]
    return np.stack([1 / counts, harmonic / counts], axis=1)


def first_is_right(similarity: FloatArray, right: BoolArray, allowed: BoolArray) -> FloatArray:
    """Return whether the most similar candidate of every query is one of the right ones.

    It is an expected value over random orders of equally similar candidates.

    Args:
        similarity: (m, n), one row per query.
        right: The right candidates, (m, n) bool.
        allowed: Which candidates a query has, (m, n) bool, at least one each.

    Returns:
        (m,).

    Example:
        >>> first_is_right(np.array([[0.9, 0.9, 0.1]]), np.array([[True, False, True]]), np.ones((1, 3), bool)).tolist()
        [0.5]
    """
    masked = np.where(allowed, similarity, -np.inf)
    first = allowed & (masked == masked.max(axis=1, keepdims=True))
    return (first & right).sum(axis=1) / first.sum(axis=1)
