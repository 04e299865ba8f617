"""Which groups to rerank, given approximate scores with a bounded error."""

from __future__ import annotations

import numpy as np

from soundalike.core.types import FloatArray, IntArray

__all__ = ["finalists"]

_BLOCK = 128
_MIN_RERANK = 32


def finalists(best: FloatArray, k: int, margin: float) -> IntArray:
    """The groups to rerank: at least the `_MIN_RERANK` best, and all within `margin` of the k-th best.

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
