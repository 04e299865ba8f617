"""Weights of a weighted mean of scores, tuned on triplets: a search over all weights in steps of 0.1."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from soundalike.core.types import FloatArray, IntArray
from soundalike.evaluate.base import EncodedClips, triplet_outcome

__all__ = ["simplex", "tune_weights"]

_STEPS = 10
_FOLDS = 5


def simplex(count: int, steps: int = _STEPS) -> FloatArray:
    """Return all weights of `count` spaces that are multiples of 1 / steps, at least 0, with sum 1: (w, count).

    Example:
        >>> simplex(2, 2).tolist()
        [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    rows = []
    for bars in combinations(range(steps + count - 1), count - 1):
        edges = [-1, *bars, steps + count - 1]
        rows.append([after - before - 1 for before, after in pairwise(edges)])
    return np.array(rows, dtype=np.float64) / steps


def tune_weights(encoded: EncodedClips, order: IntArray, triplets: IntArray, songs: Sequence[str]) -> tuple[str, str]:
    """Find the weights with which the weighted mean of the scores is right on most triplets.

    Args:
        encoded: Encoded clips.
        order: The row numbers of the n recordings that the triplets number, (n,).
        triplets: (m, 3).
        songs: The songs of the m triplets. A song is in one of five parts, for the check on triplets that were not
            tuned on.

    Returns:
        The weights as `--weights` takes them, and a remark with the accuracy on triplets that were left out.

    Example:
        >>> weights, note = tune_weights(encoded, order, triplets, songs)
        >>> weights
        'melody=0.4,rhythm=0.6'
    """
    anchor, positive, negative = order[triplets].T
    gaps = np.stack(
        [encoded.similarity(space, anchor, positive) - encoded.similarity(space, anchor, negative)
         for space in encoded.spaces],
        axis=1,
    )  # fmt: skip
    grid = simplex(len(encoded.spaces))
    outcomes = np.stack([triplet_outcome((gaps * weights).sum(axis=1)) for weights in grid], axis=1)
    best = grid[int(outcomes.mean(axis=0).argmax())]
    _, member = np.unique(np.asarray(songs, dtype=np.str_), return_inverse=True)
    left_out = []
    for fold in range(_FOLDS):
        held = member % _FOLDS == fold
        if held.any() and not held.all():
            left_out.append(outcomes[held, int(outcomes[~held].mean(axis=0).argmax())])
    text = ",".join(f"{space.name}={weight:g}" for space, weight in zip(encoded.spaces, best, strict=True) if weight)
    check = f"{100 * np.concatenate(left_out).mean():.1f} %" if left_out else "unknown, with one song"
    return text, (
        f"Tuned weights: {text}; right on {100 * outcomes.mean(axis=0).max():.1f} % of the triplets they are tuned on, "
        f"and on pairs left out of the tuning, in {_FOLDS} parts: {check}."
    )
