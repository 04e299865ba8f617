"""Triplets drawn from labelled recordings: for every query some positives and some negatives, each with each.

Our draws use one generator once, so that all models and all rows of a table are judged on the same triplets. Positives
are drawn at random from recordings with the query's label and another song.

MERIT's code has another construction, which `published_triplets` and `published_pairs` repeat: the positives of a query
are the first ten others of its class in the order of their paths, and one generator runs on from row to row of the
table, so that every head and baseline meets other negatives.

n recordings, m triplets. Triplets are (m, 3) int64: the numbers of the anchor, the positive and the negative.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from soundalike.core.types import BoolArray, IntArray

__all__ = [
    "CLASS_ROWS",
    "PAIR_ROWS",
    "draw_pairs",
    "draw_triplets",
    "label_sets",
    "published_pairs",
    "published_triplets",
    "shares_label",
]

CLASS_ROWS = ("raw", "melody", "rhythm", "timbre", "mean", "concatenation", "weighted mean", "product", "max")
"""The rows of the code's tables for classes, in the order in which its generator serves them."""
PAIR_ROWS = ("raw", "melody", "rhythm", "timbre", "mean", "weighted mean", "concatenation", "product", "max")
"""The rows of the code's table for pairs of covers, in the order in which its generator serves them."""


def label_sets(labels: Sequence[str]) -> list[frozenset[str]]:
    """Return the labels of each recording; several are joined by ",".

    Example:
        >>> label_sets(["voice,guitar"])[0] == {"voice", "guitar"}
        True
    """
    return [frozenset(filter(None, label.split(","))) for label in labels]


def shares_label(labels: Sequence[str]) -> BoolArray:
    """Return which pairs of n recordings share a label: (n, n) bool.

    Example:
        >>> shares_label(["a,b", "b", "c"]).astype(int).tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    sets = label_sets(labels)
    names = {name: number for number, name in enumerate(sorted(frozenset().union(*sets)))}
    member = np.zeros((len(sets), len(names)), np.float32)
    for row, own in enumerate(sets):
        member[row, [names[name] for name in own]] = 1
    return member @ member.T > 0


def draw_triplets(
    labels: Sequence[str], songs: Sequence[str], *, same_song: bool, most: int = 10, seed: int = 0
) -> IntArray:
    """Draw up to `most` positives and `most` negatives for every recording, and combine each with each.

    Args:
        labels: n labels; several are joined by ",".
        songs: n songs. A positive is never of the query's song.
        same_song: Whether negatives are recordings of the query's song that share no label with it, as MERIT's paper
            says, or any others that share none, as its code does.
        most: The number of positives and of negatives per query, if there are as many.
        seed: Seed of the draws.

    Returns:
        Triplets (m, 3), sorted by their anchors. Recordings without positives or without negatives are no anchors.

    Example:
        >>> draw_triplets(["a", "b", "a", "b"], ["1", "1", "2", "2"], same_song=True).tolist()
        [[0, 2, 1], [1, 3, 0], [2, 0, 3], [3, 1, 2]]
    """
    generator = np.random.default_rng(seed)
    song = np.asarray(songs, dtype=np.str_)
    shared = shares_label(labels)
    triplets = [np.zeros((0, 3), np.int64)]
    for query in range(len(song)):
        own_song = song == song[query]
        positives = np.flatnonzero(shared[query] & ~own_song)
        negatives = np.flatnonzero(~shared[query] & own_song if same_song else ~shared[query])
        chosen = [
            np.sort(generator.choice(pool, min(most, len(pool)), replace=False)) for pool in (positives, negatives)
        ]
        triplets.append(_combine(query, *chosen))
    return np.concatenate(triplets)


def draw_pairs(pairs: Sequence[tuple[int, int]], labels: Sequence[str], most: int = 50, seed: int = 0) -> IntArray:
    """Draw up to `most` negatives per pair, which both members of the pair meet.

    Args:
        pairs: The two versions of every song.
        labels: n songs. A further version of the pair's song is no negative.
        most: The number of negatives per pair, if there are as many.
        seed: Seed of the draws.

    Returns:
        Triplets (m, 3), pair by pair, both versions as anchors.

    Example:
        >>> draw_pairs([(0, 1)], ["a", "a", "b"]).tolist()
        [[0, 1, 2], [1, 0, 2]]
    """
    generator = np.random.default_rng(seed)
    label = np.asarray(labels, dtype=np.str_)
    triplets = [np.zeros((0, 3), np.int64)]
    for first, second in pairs:
        pool = np.flatnonzero(label != label[first])
        negatives = np.sort(generator.choice(pool, min(most, len(pool)), replace=False))
        triplets += [_combine(first, np.array([second]), negatives), _combine(second, np.array([first]), negatives)]
    return np.concatenate(triplets)


def published_triplets(
    labels: Sequence[str], rows: Sequence[str], *, most: int = 10, seed: int = 42
) -> Mapping[str, IntArray]:
    """Return the triplets of every row of a table as MERIT's code draws them for classes.

    Args:
        labels: n labels of recordings that are sorted by their paths.
        rows: The rows of the table, in the order of the code: see `CLASS_ROWS`.
        most: The number of positives and of negatives per query.
        seed: Seed of the generator, which serves the rows one after the other.

    Returns:
        Triplets (m, 3) by row, with as many for each.

    Example:
        >>> drawn = published_triplets(labels, CLASS_ROWS)
        >>> len(drawn["raw"]) == len(drawn["timbre"])
        True
    """
    generator = random.Random(seed)
    members: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        members.setdefault(label, []).append(number)
    found = {}
    for row in rows:
        triplets = [np.zeros((0, 3), np.int64)]
        for label, own in members.items():
            others = [number for other, numbers in members.items() if other != label for number in numbers]
            if len(own) < 2 or not others:
                continue
            for query in own:
                negatives = generator.sample(others, min(most, len(others)))
                positives = [number for number in own if number != query][:most]
                triplets.append(_combine(query, np.array(positives), np.array(negatives)))
        found[row] = np.concatenate(triplets)
    return found


def published_pairs(
    pairs: Sequence[tuple[int, int]], count: int, rows: Sequence[str], *, most: int = 50, seed: int = 42
) -> Mapping[str, IntArray]:
    """Return the triplets of every row of a table as MERIT's code draws them for pairs of covers.

    Args:
        pairs: The two versions of every song.
        count: The number n of recordings; all but the two of the pair can be negatives.
        rows: The rows of the table, in the order of the code: see `PAIR_ROWS`.
        most: The number of negatives per pair.
        seed: Seed of the generator, which serves the rows one after the other.

    Returns:
        Triplets (m, 3) by row, pair by pair, both versions as anchors.

    Example:
        >>> len(published_pairs([(0, 1)], 100, ["raw"])["raw"])
        100
    """
    generator = random.Random(seed)
    found = {}
    for row in rows:
        triplets = [np.zeros((0, 3), np.int64)]
        for first, second in pairs:
            others = [number for number in range(count) if number not in (first, second)]
            negatives = np.array(generator.sample(others, min(most, len(others))))
            triplets += [_combine(first, np.array([second]), negatives), _combine(second, np.array([first]), negatives)]
        found[row] = np.concatenate(triplets)
    return found


def _combine(anchor: int, positives: IntArray, negatives: IntArray) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Every positive with every negative, positive by positive: (m, 3)."""
    count = len(positives) * len(negatives)
    combined = np.empty((count, 3), np.int64)
    combined[:, 0] = anchor
    combined[:, 1] = np.repeat(positives, len(negatives))
    combined[:, 2] = np.tile(negatives, len(positives))
    return combined
