"""Plug-in folder: where vectors live. One file per member; `registry.load("stores", name)` finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from soundalike.core.errors import LibraryError
from soundalike.core.types import BoolArray, FloatArray, IntArray, Level
from soundalike.library.stores.row_groups import Groups
from soundalike.models import Term

__all__ = ["Hits", "Store", "Table", "read_verified"]

Table: TypeAlias = Level | Literal["feature"]
"""Rows of a level, which are searched, or of features, which are only kept: no unit rows, at the positions of passages,
under `backbone/feature` in place of a space."""


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The best of a search, best first: `group` (k,) index into the groups given, `row` (k,), `score` (k,) float64."""

    group: IntArray
    row: IntArray
    score: FloatArray

    def first(self, k: int) -> Hits:
        """The k best of them."""
        return Hits(self.group[:k], self.row[:k], self.score[:k])


def read_verified(store: Store, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
    """`Store.read` of rows that are to leave the library. Raises LibraryError where they are not what was written."""
    if store.corrupt(table, space, dim, positions).any():
        raise LibraryError(f"rows of {space} are damaged; see: soundalike library check")
    return store.read(table, space, dim, positions)


class Store(Protocol):
    """Rows per table and space, addressed by their position; a space is named by its full name.

    The caller (`Library`) hands out positions once, commits them after `flush`, and asks for committed ones only.
    """

    def write(self, table: Table, space: str, first: int, rows: FloatArray) -> None:
        """Put `rows` (n, d) float32 at positions `first`..., with a checksum each.

        Raises LibraryError if they cannot be written.
        """
        ...

    def check(self, table: Table, space: str, dim: int, rows: int) -> None:
        """Raise LibraryError if fewer than `rows` rows of `dim` dims are there; a quick look, not a full one.

        From then on they can be read, whoever deletes their files.
        """
        ...

    def corrupt(self, table: Table, space: str, dim: int, positions: IntArray) -> BoolArray:
        """Which of the rows at `positions` (m,) are not what was written, by their checksums: (m,) bool.

        Raises LibraryError if they cannot be read.
        """
        ...

    def flush(self) -> None:
        """Make everything written durable. Raises LibraryError if that fails."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...

    def read(self, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
        """The rows (m, dim) float32 at `positions` (m,), exactly as written."""
        ...

    def search(
        self, level: Level, terms: Sequence[Term], groups: Groups, k: int, wanted: BoolArray | None = None
    ) -> Hits:
        """The k best groups for a weighted query, each by its best row, of those `wanted` (g,) bool.

        All rows of the groups are committed. A group that is audible in no term is no answer. Scores are exact; fewer
        than k are returned where there are fewer. Rows whose score is no number are damaged, and score infinity.
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
        """`search` for several queries at once, which costs less than one after the other."""
        ...

    def build_prefilter(self, level: Level, model: str, rows: int, progress: Callable[[int, int], None]) -> bool:
        """Prepare what makes searching very many rows of a model quicker, after `check` of its spaces, for `rows` rows.

        Returns whether there was anything to do; it can always be made again. `progress` is told of rows done, of all.
        """
        ...

    def drop_prefilter(self, model: str) -> None:
        """Forget it, before rows of the model are written over."""
        ...
