"""The part of a search that all stores share: which groups to rerank, given approximate scores with a bounded error,
and their order, given exact ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from soundalike.core.types import BoolArray, FloatArray, IntArray, Space
from soundalike.library.stores.base import BestOf, Hits
from soundalike.library.stores.row_groups import Scored
from soundalike.models import Term, score_rows

__all__ = ["finalists", "lowest_needed", "rank_groups", "rerank"]

_BLOCK = 128
_MIN_RERANK = 32


def rank_groups(owner: IntArray, positions: IntArray, scores: FloatArray, best_of: BestOf | None = None) -> IntArray:
    """The best row of every group, best group first, as indices (g,) into rows.

    Ties come in the order of scores, and then of positions, so that results never depend on the scan.

    Args:
        owner: (m,) the group of every row.
        positions: (m,) the position of every row.
        scores: (m,) the score of every row.
        best_of: Order groups by its keys; None orders by score.
    """
    order = np.lexsort((positions, -scores))
    _, first = np.unique(owner[order], return_index=True)
    order = order[np.sort(first)]
    if best_of is None:
        return order
    return order[np.argsort(-best_of.keys(owner[order], scores[order]), kind="stable")]


def finalists(best: FloatArray, k: int, margin: float, best_of: BestOf | None = None) -> IntArray:
    """The groups to rerank: all that can be among the k first, given scores (g,) that are off by `margin` / 2 at most.

    Args:
        best: (g,) the approximate best score of every group; -inf for those that do not match.
        k: The number of groups to find.
        margin: Twice the largest error of a score.
        best_of: How groups are ordered; None orders by score.
    """
    return _by_score(best, k, margin) if best_of is None else _by_key(best, k, margin, best_of)


def _by_score(best: FloatArray, k: int, margin: float) -> IntArray:
    """At least the `_MIN_RERANK` best groups, and all within `margin` of the k-th best.

    Among many groups, first only the best of every block of `_BLOCK` groups is compared: a group among the n best lies
    in a block whose best is among the n best blocks. The groups of a block are far apart, because neighbours are often
    similar.
    """
    keep = max(k, _MIN_RERANK)
    chosen: IntArray = (
        np.arange(len(best)) if len(best) <= 4 * keep * _BLOCK else _in_best_blocks(best, keep, k, margin)
    )
    near = best[chosen]
    return chosen[(near >= _floor(near, keep, k, margin)) & (near > -np.inf)]


def _in_best_blocks(best: FloatArray, keep: int, k: int, margin: float) -> IntArray:
    cut = len(best) // _BLOCK * _BLOCK
    peaks = best[:cut].reshape(_BLOCK, -1).max(axis=0)
    high = np.flatnonzero(peaks >= _floor(peaks, keep, k, margin))
    members = (np.arange(_BLOCK)[:, None] * len(peaks) + high).reshape(-1)
    return np.concatenate([members, np.arange(cut, len(best))])


def _floor(best: FloatArray, keep: int, k: int, margin: float) -> float:
    """The `keep`-th best, or `margin` under the k-th best, whichever is lower; -inf where there are fewer."""
    if len(best) <= keep:
        return -np.inf
    ordered = np.partition(best, (len(best) - keep, len(best) - k))
    return float(min(ordered[len(best) - keep], ordered[len(best) - k] - margin))


def _by_key(best: FloatArray, k: int, margin: float, best_of: BestOf) -> IntArray:
    """At least all groups whose key can be among the k highest.

    A key lies between those of the score less and plus the largest error. The k-th highest lower bound among any groups
    is a bound for all. The key of a group with one row bounds those of all groups with that score, so only groups above
    a certain score need a key.
    """
    error = margin / 2
    floor = _key_floor(best, k, error, best_of)
    if floor == -np.inf:
        chosen = np.flatnonzero(best > -np.inf)
    else:
        chosen = np.flatnonzero(best >= _lowest_at(floor, error, best_of))
        floor = max(floor, _highest(best_of.keys(chosen, best[chosen] - error), k))
    upper = best_of.keys(chosen, best[chosen] + error)
    return chosen[upper >= floor * (1 + 1e-9)]


def _key_floor(best: FloatArray, k: int, error: float, best_of: BestOf) -> float:
    """A lower bound of the k-th highest key; -inf where there are fewer groups."""
    top = _by_score(best, max(4 * k, _MIN_RERANK), 0.0)
    return _highest(best_of.keys(top, best[top] - error), k)


def _lowest_at(floor: float, error: float, best_of: BestOf) -> np.float32:
    """The lowest approximate score of a group whose key can reach a floor."""
    lowest = np.float32(best_of.null.score_at(floor) - error)
    # One unit in the last place and a little more, because both bounds are rounded.
    return np.float32(np.nextafter(lowest, np.float32(-np.inf)) - np.float32(1e-5) * abs(lowest))


def lowest_needed(best: FloatArray, k: int, margin: float, best_of: BestOf | None = None) -> float:
    """The approximate score under which no row that is not among those of `best` can change the k first groups.

    Args:
        best: (g,) the approximate best score of every group among some rows; -inf for those without any.
        k: The number of groups to find.
        margin: Twice the largest error of a score.
        best_of: How groups are ordered; None orders by score.

    Returns:
        The score; -inf where fewer than k groups are known.
    """
    found = best[best > -np.inf]
    if len(found) < k:
        return -np.inf
    if best_of is None:
        return float(np.partition(found, len(found) - k)[len(found) - k]) - margin
    floor = _key_floor(best, k, margin / 2, best_of)
    return -np.inf if floor == -np.inf else float(_lowest_at(floor, margin / 2, best_of))


def rerank(
    read: Callable[[Space, IntArray], FloatArray],
    terms: Sequence[Term],
    scored: Scored,
    k: int,
    margin: float,
    wanted: BoolArray | None = None,
    best_of: BestOf | None = None,
) -> Hits:
    """The k best of the wanted groups (g,) by exact score, among those whose approximate score is close enough.

    Args:
        read: Returns the exact rows (m, d) of a space at positions (m,).
        terms: The terms of the query.
        scored: The approximate scores.
        k: The number of groups to find.
        margin: Twice the largest error of an approximate score.
        wanted: Only these groups (g,) bool; None takes all.
        best_of: How groups are ordered; None orders by score.
    """
    best = scored.best if wanted is None else np.where(wanted, scored.best, np.float32(-np.inf))
    # Each score is off by at most `margin` / 2, so a group within `margin` of the k-th best may be better than it.
    chosen = finalists(best, k, margin, best_of)
    owner, places, positions = scored.rows(chosen)
    owner = chosen[owner]
    near = scored.scores[places] >= best[owner] - margin
    owner, positions = owner[near], positions[near]
    if len(positions) == 0:
        return Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    rows = {term.space.name: read(term.space, positions) for term in terms}
    with np.errstate(invalid="ignore", over="ignore"):
        exact = score_rows(terms, rows)
    # A score that is not finite means a corrupt row: it goes to the top, where the caller compares checksums.
    exact = np.where(np.isfinite(exact), exact, np.inf)
    order = rank_groups(owner, positions, exact, best_of)[:k]
    return Hits(owner[order], positions[order], exact[order])


def _highest(keys: FloatArray, k: int) -> float:
    """The k-th highest key; -inf where there are fewer."""
    return float(np.partition(keys, len(keys) - k)[len(keys) - k]) if len(keys) >= k else -np.inf
