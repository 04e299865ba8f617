"""Triplets of rendered folders, and the batches of an epoch.

F folders, k positives a folder, T triplets, n rows of a feature matrix, R rows of a batch, B triplets of a batch.

A folder gives k^2 triplets a negative N, as in MERIT: (A, P_i, N), and (P_i, P_j, N) for all i != j. They share k + 2
rows. A batch of whole folders therefore projects each row once where shuffled triplets project it about 3 k^2 / (k + 2)
times: 11 times as much work for k = 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, TypeAlias

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import IntArray

__all__ = ["NEGATIVES", "SAMPLINGS", "Batch", "Negatives", "Sampling", "TripletSet", "Triplets"]

Negatives: TypeAlias = Literal["neutral", "adversarial", "both", "in-batch"]
Sampling: TypeAlias = Literal["folders", "triplets"]

NEGATIVES: tuple[Negatives, ...] = ("neutral", "adversarial", "both", "in-batch")
SAMPLINGS: tuple[Sampling, ...] = ("folders", "triplets")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Part of an epoch: the feature `rows` (R,) it needs, each once, and its `triplets` (B, 3) as positions among them.

    `labels` (R,) tells rows apart that are not known to share anything (`Triplets.labels`).
    """

    rows: IntArray
    triplets: IntArray
    labels: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Triplets:
    """Triplets of rows, folder by folder: `rows` (T, 3) anchor, positive, negative; a folder's are `bounds[f:f + 2]`.

    `labels` (n,): rows of one label share the factor, because a chain of folders has them as anchor or positive. Rows
    of different labels may serve as each other's negatives. `bounds` is (F + 1,).
    """

    rows: IntArray
    bounds: IntArray
    labels: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def steps(self, size: int, sampling: Sampling) -> int:
        """Into how many batches of about `size` triplets an epoch is cut."""
        if sampling == "triplets":
            return -(-len(self) // size)
        folders = len(self.bounds) - 1
        return -(-folders // max(1, size * folders // len(self)))

    def batches(self, steps: int, sampling: Sampling, random: np.random.Generator | None) -> Iterator[Batch]:
        """An epoch: every triplet once, in `steps` batches that are as equal as can be (empty where there are too few).

        `sampling` "folders" keeps the triplets of a folder in one batch; "triplets" shuffles them all, as published.
        Without `random` they come in the order they have.
        """
        count = len(self) if sampling == "triplets" else len(self.bounds) - 1
        order = np.arange(count) if random is None else random.permutation(count)
        for part in np.array_split(order, steps):
            if sampling == "triplets":
                yield self._batch(self.rows[part])
                continue
            sizes = self.bounds[part + 1] - self.bounds[part]
            ends = np.cumsum(sizes)
            within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
            yield self._batch(self.rows[np.repeat(self.bounds[part], sizes) + within])

    def renumber(self, used: IntArray) -> Triplets:
        """The same triplets over the feature rows `used` alone (sorted; all of theirs are among them)."""
        own = np.unique(self.rows)
        labels = np.full(len(used), -1)
        labels[np.searchsorted(used, own)] = self.labels[own]
        return Triplets(np.searchsorted(used, self.rows), self.bounds, labels)

    def _batch(self, triplets: IntArray) -> Batch:
        rows, place = np.unique(triplets, return_inverse=True)
        return Batch(rows, place.reshape(triplets.shape), self.labels[rows])


@dataclass(frozen=True, slots=True, eq=False)
class TripletSet:
    """Folders of one factor: `folders` (F, k + 3) int64 rows of a feature matrix, -1 where a folder lacks a clip.

    Columns: the anchor, k positives, the neutral negative, the adversarial negative. Leave out what is inaudible (-1):
    its row is zero and teaches nothing. Raises ValueError for another shape, or k < 1.
    """

    folders: IntArray

    def __post_init__(self) -> None:
        if self.folders.ndim != 2 or self.folders.shape[1] < 4 or not np.issubdtype(self.folders.dtype, np.integer):
            raise ValueError(
                f"folders of shape {self.folders.shape} and type {self.folders.dtype}; expected integers (F, k + 3)"
            )

    def expand(self, negatives: Negatives) -> Triplets:
        """All k^2 triplets a folder and negative; those that lack a clip, and folders left with none, are dropped.

        With "in-batch" the negative is to be found in the batch: a pair's third column repeats its positive.
        Raises UsageError if no triplet is left.
        """
        members = self.folders[:, :-2]
        k = members.shape[1] - 1
        pairs = np.array([(0, i) for i in range(1, k + 1)] + list(permutations(range(1, k + 1), 2)))
        columns = {"neutral": [-2], "adversarial": [-1], "both": [-2, -1]}.get(negatives)
        anchor, positive = members[:, pairs[:, 0]], members[:, pairs[:, 1]]
        parts = [
            np.stack([anchor, positive, np.broadcast_to(self.folders[:, [column]], anchor.shape)], axis=2)
            for column in columns or ()
        ] or [np.stack([anchor, positive, positive], axis=2)]
        table = np.concatenate(parts, axis=1)
        whole = (table >= 0).all(axis=2)
        rows = table[whole]
        if not len(rows):
            kind = "" if columns is None else f" with {'a' if negatives == 'both' else f'a {negatives}'} negative"
            raise UsageError(f"none of {len(table)} folders has an anchor and a positive{kind}; choose other negatives")
        sizes = whole.sum(axis=1)
        return Triplets(rows, np.concatenate([[0], np.cumsum(sizes[sizes > 0])]), _labels(self.folders))


def _labels(folders: IntArray) -> IntArray:
    """Number the groups of rows that the anchors and positives of `folders` connect; any other row is its own group."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    members, count = folders[:, :-2], int(folders.max()) + 1
    first = np.take_along_axis(members, (members >= 0).argmax(axis=1)[:, None], axis=1)
    left, right = np.broadcast_to(first, members.shape).ravel(), members.ravel()
    known = right >= 0
    edges = (np.ones(int(known.sum()), np.int8), (left[known], right[known]))
    labels: IntArray = connected_components(coo_array(edges, shape=(count, count)), directed=False)[1]
    return labels
