"""Triplets of folders, and the batches of an epoch.

F folders, k positives per folder, T triplets, n rows of a feature matrix, R rows and B triplets of a batch.

As in MERIT, a folder has k^2 triplets per negative N: (A, P_i, N), and (P_i, P_j, N) for all i != j. They share k + 2
rows. A batch of whole folders projects each row once. With shuffled triplets a row is projected about 3 k^2 / (k + 2)
times, which is 11 times for k = 5.
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
Sampling: TypeAlias = Literal["folders", "triplets", "merit"]

NEGATIVES: tuple[Negatives, ...] = ("neutral", "adversarial", "both", "in-batch")
SAMPLINGS: tuple[Sampling, ...] = ("folders", "triplets", "merit")


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch of triplets.

    Attributes:
        rows: (R,), distinct rows of a feature matrix.
        triplets: (B, 3) anchor, positive and negative, as positions in `rows`.
        labels: (R,), the labels of the rows (`Triplets.labels`).
    """

    rows: IntArray
    triplets: IntArray
    labels: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Triplets:
    """Triplets, grouped by folder.

    Attributes:
        rows: (T, 3), rows of a feature matrix: anchor, positive and negative.
        bounds: (F + 1,). The triplets of folder f are `rows[bounds[f]:bounds[f + 1]]`.
        labels: (n,), a label for each row of the matrix. Rows with the same label share the factor, because folders
            that have clips in common connect them as anchor or positive. Rows with different labels can be negatives of
            each other.
    """

    rows: IntArray
    bounds: IntArray
    labels: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def steps(self, size: int, sampling: Sampling) -> int:
        """Return the number of batches of about `size` triplets in an epoch."""
        if sampling != "folders":
            return -(-len(self) // size)
        folders = len(self.bounds) - 1
        return -(-folders // max(1, size * folders // len(self)))

    def batches(self, steps: int, sampling: Sampling, random: np.random.Generator | None) -> Iterator[Batch]:
        """Divide all triplets into the batches of an epoch.

        Args:
            steps: The number of batches. Their sizes are as equal as possible; some are empty if there are too few
                folders or triplets.
            sampling: "folders" keeps the triplets of a folder in one batch; "triplets" shuffles single triplets.
            random: Generator for the order; None keeps the order.

        Yields:
            The batches.
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

    def batches_of(self, order: IntArray, size: int) -> Iterator[Batch]:
        """Divide triplets into batches of exactly `size`, and a last one of the rest.

        Args:
            order: Positions of triplets in `rows`, in the order to take them.
            size: Triplets per batch.

        Yields:
            The batches.
        """
        for start in range(0, len(order), size):
            yield self._batch(self.rows[order[start : start + size]])

    def renumber(self, used: IntArray) -> Triplets:
        """Return the same triplets for a matrix of only the rows `used`, which are sorted and include all of theirs."""
        present = np.unique(self.rows)
        labels = np.full(len(used), -1)
        labels[np.searchsorted(used, present)] = self.labels[present]
        return Triplets(np.searchsorted(used, self.rows), self.bounds, labels)

    def _batch(self, triplets: IntArray) -> Batch:
        rows, positions = np.unique(triplets, return_inverse=True)
        return Batch(rows, positions.reshape(triplets.shape), self.labels[rows])


@dataclass(frozen=True, slots=True, eq=False)
class TripletSet:
    """Triplet folders of one factor, as rows of a feature matrix.

    Args:
        folders: (F, k + 3) integers. The columns are the anchor, k positives, the neutral negative and the adversarial
            negative. Use -1 for missing clips, and for inaudible ones, because their rows are zero.

    Raises:
        ValueError: `folders` has another shape or type, or k < 1.

    Example:
        >>> len(TripletSet(np.array([[0, 1, 2, 3, -1]])).expand("neutral"))
        4
    """

    folders: IntArray

    def __post_init__(self) -> None:
        if self.folders.ndim != 2 or self.folders.shape[1] < 4 or not np.issubdtype(self.folders.dtype, np.integer):
            raise ValueError(
                f"folders of shape {self.folders.shape} and type {self.folders.dtype}; expected integers (F, k + 3)"
            )

    def expand(self, negatives: Negatives) -> Triplets:
        """List the k^2 triplets per folder and negative. Incomplete triplets, and folders without any, are dropped.

        Args:
            negatives: Which negatives to use. With "in-batch", they are chosen in the batch later, and the third column
                repeats the positive.

        Raises:
            UsageError: No triplet is complete.
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
        complete = (table >= 0).all(axis=2)
        rows = table[complete]
        if not len(rows):
            kind = "" if columns is None else f" with {'a' if negatives == 'both' else f'a {negatives}'} negative"
            raise UsageError(f"none of {len(table)} folders has an anchor and a positive{kind}; choose other negatives")
        sizes = complete.sum(axis=1)
        return Triplets(rows, np.concatenate([[0], np.cumsum(sizes[sizes > 0])]), _labels(self.folders))


def _labels(folders: IntArray) -> IntArray:
    """Number the groups of rows that folders connect as anchors and positives. Any other row is a group of its own."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    members, count = folders[:, :-2], int(folders.max()) + 1
    first = np.take_along_axis(members, (members >= 0).argmax(axis=1)[:, None], axis=1)
    left, right = np.broadcast_to(first, members.shape).ravel(), members.ravel()
    known = right >= 0
    edges = (np.ones(int(known.sum()), np.int8), (left[known], right[known]))
    labels: IntArray = connected_components(coo_array(edges, shape=(count, count)), directed=False)[1]
    return labels
