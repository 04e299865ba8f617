"""Groups of rows, each of which matches by its best row: a track with its passages, or with its single row."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from soundalike.core.types import BoolArray, FloatArray, IntArray

__all__ = ["Groups", "Scored", "positions_of", "runs"]


def runs(sizes: IntArray, limit: int) -> list[slice]:
    """Cut entries (n,) into runs whose sizes sum to about `limit`, exceeding it by less than one entry."""
    part = (np.cumsum(sizes) - sizes) // limit
    edges = [*np.flatnonzero(np.diff(part, prepend=-1)).tolist(), len(sizes)]
    return [slice(first, last) for first, last in pairwise(edges)]


def positions_of(places: IntArray) -> IntArray:
    """The positions (m,) of all rows in `places` (n, 2 or more): first position and number of rows of each."""
    counts = places[:, 1]
    return np.repeat(places[:, 0] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The scores of rows by unit. Each of the u units is a run of rows; no two units share rows.

    Attributes:
        scores: (m,) float32, one unit after the other.
        start, count: (u,) where each unit is in `scores`.
        first: (u,) the store position of each unit's first row, unless `positions` is given.
        best: (g,) the best score of every group.
        unit: (g,) the unit of every group; None if each group has its own.
        positions: (m,) the store position of every row; None if units are contiguous.
    """

    scores: FloatArray
    start: IntArray
    count: IntArray
    first: IntArray
    best: FloatArray
    unit: IntArray | None = None
    positions: IntArray | None = None

    def rows(self, groups: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Every row of some groups (f,): index into `groups`, index into `scores`, store position, (r,) each."""
        units = groups if self.unit is None else self.unit[groups]
        sizes = self.count[units]
        owner = np.repeat(np.arange(len(groups)), sizes)
        offset = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        places = self.start[units][owner] + offset
        if self.positions is not None:
            return owner, places, self.positions[places]
        return owner, places, self.first[units][owner] + offset


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Runs of rows that a search folds into g groups. Made once with `of`, for many searches.

    Attributes:
        start, size: (u,) the distinct runs, by position. Copies of a file share a run.
        unit: (g,) the run of every group; None if each group has its own.
        end: The position of the last row plus 1.
        rows: The number of rows.
    """

    start: IntArray
    size: IntArray
    unit: IntArray | None
    end: int
    rows: int

    @classmethod
    def of(cls, table: IntArray) -> Self:
        """From (g, 2) int64: first position and number of rows of each group. Raises ValueError for an empty group."""
        first, count = np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
        if len(count) and int(count.min()) < 1:
            raise ValueError("a group without rows")
        start, size, unit = first, count, None
        if len(first) > 1 and not bool((first[1:] >= first[:-1] + count[:-1]).all()):
            start, places, unit = np.unique(first, return_index=True, return_inverse=True)
            size = count[places]
        end = int((start + size).max()) if len(start) else 0
        return cls(start, size, unit, end, int(size.sum()))

    def __len__(self) -> int:
        return len(self.start if self.unit is None else self.unit)

    def positions(self, wanted: BoolArray) -> IntArray:
        """The positions (m,) of the rows of the wanted groups (g,) bool, ascending, each once."""
        chosen = np.flatnonzero(self.wanted_units(wanted))
        if self.rows == len(self.start):  # one row each
            return self.start[chosen]
        return positions_of(np.column_stack([self.start[chosen], self.size[chosen]]))

    def rows_of(self, wanted: BoolArray) -> int:
        """The number of rows of the wanted groups (g,) bool."""
        units = self.wanted_units(wanted)
        return int(np.count_nonzero(units) if self.rows == len(self.start) else self.size[units].sum())

    def held(self, positions: IntArray) -> IntArray:
        """The `positions` (m,), ascending, that belong to a group."""
        unit = np.searchsorted(self.start, positions, side="right") - 1
        return positions[(unit >= 0) & (positions < (self.start + self.size)[unit])]

    def wanted_units(self, wanted: BoolArray) -> BoolArray:
        """Which units (u,) belong to a wanted group."""
        if self.unit is None:
            return wanted
        units = np.zeros(len(self.start), np.bool_)
        units[self.unit[wanted]] = True
        return units

    def fold(self, scores: FloatArray) -> Scored:
        """Fold the scores (end,) of all rows."""
        if self.rows == len(self.start):
            best = scores if self.rows == self.end else scores[self.start]
        elif self.rows == self.end:
            best = np.maximum.reduceat(scores, self.start)
        else:  # rows between units belong to no group: reduce these too, and drop the results
            bounds = np.stack([self.start, self.start + self.size], axis=1).reshape(-1)
            best = np.maximum.reduceat(scores, bounds[:-1] if bounds[-1] == len(scores) else bounds)[::2]
        return Scored(scores, self.start, self.size, self.start, self._of_groups(best), self.unit)

    def _of_groups(self, best: FloatArray) -> FloatArray:
        return best if self.unit is None else best[self.unit]

    def fold_some(self, scores: FloatArray, positions: IntArray) -> Scored:
        """Fold the scores (m,) of the rows at `positions` (m,), ascending; groups without such rows get -inf."""
        unit = np.searchsorted(self.start, positions, side="right") - 1
        bounds = np.flatnonzero(np.concatenate([[True], unit[1:] != unit[:-1]])) if len(unit) else np.zeros(0, np.int64)
        start, size = np.zeros(len(self.start), np.int64), np.zeros(len(self.start), np.int64)
        best = np.full(len(self.start), -np.inf, np.float32)
        if len(bounds):
            chosen = unit[bounds]
            start[chosen], size[chosen] = bounds, np.diff(bounds, append=len(unit))
            best[chosen] = np.maximum.reduceat(scores, bounds)
        return Scored(scores, start, size, self.start, self._of_groups(best), self.unit, positions)
