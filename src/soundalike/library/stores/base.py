"""The contract of stores, which hold rows on disk and search them; `plugins.load("stores", name)` opens one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from soundalike.core.errors import LibraryError
from soundalike.core.types import BoolArray, FloatArray, IntArray, Level
from soundalike.library.stores.row_groups import Groups
from soundalike.models import NullDistribution, Term

__all__ = ["BestOf", "Editions", "Hits", "RestorableRowsError", "Store", "Table", "read_verified"]

Table: TypeAlias = Level | Literal["feature"]
"""Rows of a level, which are searched, or backbone features, which are only stored: not unit rows, at the positions of
passages, under `backbone/feature` instead of a space."""


@dataclass(frozen=True, slots=True)
class Editions:
    """Which edition of the rows of every model, and of the features of every backbone, a store reads and writes.

    Another version of a model or backbone has another edition, so that committed rows are never overwritten, and
    readers of older snapshots keep theirs.
    """

    models: Mapping[str, int] = field(default_factory=dict)
    features: Mapping[str, int] = field(default_factory=dict)

    def of(self, table: Table, group: str) -> int:
        """The edition of a model, or of a backbone for the table `feature`.

        Raises:
            LibraryError: The store was opened before the model or backbone was added, or the catalogue is corrupt.
        """
        known = self.features if table == "feature" else self.models
        if group not in known:
            raise LibraryError(
                f"the library does not know {group}, or learned of it later; run: soundalike library check"
            )
        return known[group]


class RestorableRowsError(LibraryError):
    """Rows are missing that `Store.restore` can compute from others."""


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The result of a search, best first: `group` (k,) indices into the groups, `row` (k,), `score` (k,) float64."""

    group: IntArray
    row: IntArray
    score: FloatArray

    def first(self, k: int) -> Hits:
        """The first k hits."""
        return Hits(self.group[:k], self.row[:k], self.score[:k])


def read_verified(store: Store, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
    """Read rows that leave the library, such as exports. Raises LibraryError if one fails its checksum."""
    if store.corrupt(table, space, dim, positions).any():
        raise LibraryError(f"rows of {space} are corrupt; see: soundalike library check")
    return store.read(table, space, dim, positions)


@dataclass(frozen=True, slots=True, eq=False)
class BestOf:
    """Order groups by how unlikely it is that the best of as many random rows scores higher.

    The key of a group with n audible rows, whose best one scores t, is n log F(t); see `models/null_distribution.py`.
    """

    null: NullDistribution
    counts: IntArray
    """n of every group, (g,)."""

    def keys(self, groups: IntArray, scores: FloatArray) -> FloatArray:
        """The keys (m,) float64, at most 0, of the groups numbered `groups` (m,) with best scores (m,)."""
        return self.counts[groups] * self.null.log_cdf(scores)


class Store(Protocol):
    """Rows per table and space, addressed by position. Spaces go by their full names.

    The caller (`LibraryFolder`) assigns positions, commits them after `flush`, and reads committed ones only. Any
    number of threads may read at once.
    """

    def write(self, table: Table, space: str, first: int, rows: FloatArray) -> None:
        """Write `rows` (n, d) float32 at positions `first`..., each with a checksum.

        Raises:
            LibraryError: They cannot be written.
        """
        ...

    def check(self, table: Table, space: str, dim: int, rows: int, *, derive: bool = False) -> None:
        """Make sure, by the sizes of files, that at least `rows` rows of `dim` dims exist, and map them.

        From then on they can be read even if their files are deleted. With `derive`, what is missing and `restore`
        could write is computed in memory instead.

        Raises:
            RestorableRowsError: There are fewer, and `restore` can write the rest.
            LibraryError: There are fewer.
        """
        ...

    def corrupt(self, table: Table, space: str, dim: int, positions: IntArray) -> BoolArray:
        """Which of the rows at `positions` (m,) fail their checksum: (m,) bool.

        Raises:
            LibraryError: They cannot be read.
        """
        ...

    def restore(self, table: Table, space: str, dim: int, rows: int) -> bool:
        """Write again what `check` misses and what can be computed from other rows.

        Args:
            table: The table.
            space: The full name of the space.
            dim: Its dims.
            rows: The number of committed rows.

        Returns:
            Whether anything was written.

        Raises:
            LibraryError: It cannot be written.
        """
        ...

    def flush(self) -> None:
        """Sync everything written to disk. Raises LibraryError if that fails."""
        ...

    def files(self, spaces: Sequence[tuple[Table, str]]) -> frozenset[str]:
        """The names of the files that hold these spaces, given as table and full name, and of their prefilters."""
        ...

    def close(self) -> None:
        """Close the files. Reading or writing afterwards raises LibraryError."""
        ...

    def read(self, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
        """The rows (m, dim) float32 at `positions` (m,), exactly as written."""
        ...

    def audible(self, table: Level, space: str, dim: int, rows: int) -> BoolArray:
        """Which of the first `rows` rows of a space are audible, (rows,) bool."""
        ...

    def search(
        self,
        level: Level,
        terms: Sequence[Term],
        groups: Groups,
        k: int,
        wanted: BoolArray | None = None,
        best_of: BestOf | None = None,
    ) -> Hits:
        """Find the k best groups for a weighted query, each by its best row.

        Args:
            level: The level of the rows.
            terms: The active terms of the query.
            groups: The groups; all their rows are committed.
            k: The number of groups.
            wanted: Search only these groups (g,) bool; None searches all.
            best_of: Order groups by its keys, and by score where these are equal; None orders by score.

        Returns:
            At most k hits with exact scores, in exact order. A group that is audible in no term never matches. A row
            whose score is not finite is corrupt and scores infinity, so that the caller's checksum test sees it.
        """
        ...

    def search_many(
        self,
        level: Level,
        queries: Sequence[Sequence[Term]],
        groups: Groups,
        k: int,
        wanted: BoolArray | None = None,
    ) -> list[Hits]:
        """Run `search` for several queries at once, which is cheaper than one after the other."""
        ...

    def build_prefilter(self, level: Level, model: str, rows: int, progress: Callable[[int, int], None]) -> bool:
        """Build the prefilter for the first `rows` rows of a model, if there are enough of them.

        To be called after `check` of the model's spaces. The prefilter is a cache: it can always be built again.

        Args:
            level: The level of the rows.
            model: The name of the model.
            rows: The number of committed rows.
            progress: Called with rows done and all rows.

        Returns:
            Whether a prefilter was built.
        """
        ...

    def drop_prefilter(self, model: str) -> None:
        """Delete the prefilter, before rows are written among those that it covers."""
        ...
