"""How well dimensions of an embedding tell concepts apart: triplets of labelled recordings, judged by distance.

A *dimension* is the part of the embedding that one concept has, such as tempo; a *mask* keeps some dimensions. The
squared Euclidean distance in an embedding is the sum of those in its dimensions, so distances are computed once per
dimension and serve every mask.

n recordings or segments, m triplets, k dimensions.

Reference: Ribecky, Abeßer and Lukashevich, Multi-Input Architecture and Disentangled Representation Learning for
Multi-Dimensional Modeling of Music Similarity, 2021, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.evaluate.base import triplet_outcome
from soundalike.models import presence

__all__ = ["ALL", "alike_triplets", "all_masks", "mask_name", "mask_outcomes", "masks_of", "triplet_distances"]

ALL = "all"
"""The name of the mask that keeps every dimension."""


def alike_triplets(
    alike: IntArray, songs: Sequence[str] | IntArray, seed: int, *, count: int = 1000, what: str = "the concept"
) -> IntArray:
    """Draw triplets of recordings: the anchor and the positive are alike in a concept, the negative is not.

    Anchors take turns, so that each is in as many triplets as the others. Positives and negatives are drawn at random
    from other songs than that of the anchor, because recordings of one song share more than a concept.

    Args:
        alike: Which pairs are alike, (n, n): 1, 0, or -1 for unknown. Unknown pairs are in no triplet.
        songs: n names or numbers of songs.
        seed: Seed of the draws.
        count: The number m of triplets.
        what: What messages call the concept.

    Returns:
        (m, 3) int64: the numbers of the anchor, the positive and the negative.

    Raises:
        UsageError: No recording has both a positive and a negative.

    Example:
        >>> alike_triplets(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), ["a", "b", "c"], seed=0, count=2).tolist()
        [[1, 0, 2], [0, 1, 2]]
    """
    song = np.unique(np.asarray(songs), return_inverse=True)[1]
    other = song[:, None] != song
    positive, negative = (alike == 1) & other, (alike == 0) & other
    anchors = np.flatnonzero(positive.any(axis=1) & negative.any(axis=1))
    if not len(anchors):
        known = int((np.diagonal(alike) >= 0).sum())
        raise UsageError(
            f"{what} gives no triplets: {known:,} of {len(alike):,} recordings have a label; expected two songs that "
            "are alike and a third that is not"
        )
    rng = np.random.default_rng(seed)
    found: list[tuple[int, ...]] = []
    while len(found) < count:
        for anchor in rng.permutation(anchors)[: count - len(found)]:
            pair = (rng.choice(np.flatnonzero(pool[anchor])) for pool in (positive, negative))
            found.append((anchor, *pair))
    return np.array(found, np.int64)


def masks_of(dimensions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the masks of a table: each dimension by itself, then all of them.

    Example:
        >>> masks_of(["tempo", "key"])
        {'tempo': ('tempo',), 'key': ('key',), 'all': ('tempo', 'key')}
    """
    return {name: (name,) for name in dimensions} | {ALL: tuple(dimensions)}


def all_masks(dimensions: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return every combination of k dimensions, 2^k - 1, those with fewer dimensions first.

    Example:
        >>> list(all_masks(["genre", "tempo", "key"]))
        ['genre', 'tempo', 'key', 'genre + tempo', 'genre + key', 'tempo + key', 'all']
    """
    sizes = range(1, len(dimensions) + 1)
    chosen = [one for size in sizes for one in combinations(dimensions, size)]
    return {mask_name(one, dimensions): one for one in chosen}


def mask_name(mask: Sequence[str], dimensions: Sequence[str]) -> str:
    """Return what tables call a mask: its dimensions, or "all"."""
    return ALL if len(mask) == len(dimensions) > 1 else " + ".join(mask)


def triplet_distances(rows: FloatArray, triplets: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the squared Euclidean distances of m anchors to their positives and negatives: (m,) each.

    Args:
        rows: (n, d).
        triplets: (m, 3) numbers of rows.

    Example:
        >>> triplet_distances(np.array([[0.0], [1.0], [3.0]]), np.array([[0, 1, 2]]))
        (array([1.]), array([9.]))
    """
    exact = rows.astype(np.float64)
    anchor, positive, negative = (exact[triplets[:, at]] for at in range(3))
    return ((anchor - positive) ** 2).sum(axis=1), ((anchor - negative) ** 2).sum(axis=1)


def mask_outcomes(rows: Mapping[str, FloatArray], triplets: IntArray, masks: Mapping[str, Sequence[str]]) -> FloatArray:
    """Score triplets under masks: 1 if the positive is nearer, 0 if the negative is, 1/2 for a tie.

    Args:
        rows: The rows of each dimension, (n, d) each; d may differ. A row of zeros is inaudible: the dimension says
            nothing on triplets with it.
        triplets: (m, 3) numbers of rows.
        masks: The dimensions that each mask keeps.

    Returns:
        (m, masks) float64, in the order of `masks`.

    Example:
        >>> rows = {"tempo": np.array([[1.0], [2.0], [4.0]]), "key": np.array([[1.0], [9.0], [2.0]])}
        >>> mask_outcomes(rows, np.array([[0, 1, 2]]), all_masks(list(rows))).tolist()
        [[1.0, 0.0, 0.0]]
    """
    used = dict.fromkeys(name for mask in masks.values() for name in mask)
    margins = {}
    for name in used:
        near, far = triplet_distances(rows[name], triplets)
        heard = presence(rows[name])[triplets].all(axis=1)
        margins[name] = np.where(heard, far - near, 0.0)
    found = [triplet_outcome(sum((margins[name] for name in mask), np.zeros(len(triplets)))) for mask in masks.values()]
    return np.stack(found, axis=1)
