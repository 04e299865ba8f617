"""Rows in Milvus: one search by inner product over the joined rows of all spaces, then an exact rerank here.

`milvus_layout.py` describes the collections. Weights and presence scale the query, so that the inner product is the
score up to the rounding of float32. Its error is bounded: more rows are asked for until no other row can be among the k
best, which are then read and scored as in the flat store. With the index FLAT the results are those of the flat store.
Milvus's own fusion of several fields (WeightedRanker) is never used, because it loses most of the best matches.

Rows are only read here; `soundalike library push` writes them. A row that was deleted meanwhile is never found.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import BoolArray, FloatArray, IntArray, Level, Space
from soundalike.library.stores.base import BestOf, Hits, Table
from soundalike.library.stores.finalists import lowest_needed, rerank
from soundalike.library.stores.milvus_layout import Layout, Manifest, open_collections
from soundalike.library.stores.milvus_server import MOST, MilvusAddress, MilvusServer
from soundalike.library.stores.row_checksums import row_checksums
from soundalike.library.stores.row_groups import Groups, Scored
from soundalike.models import Term

__all__ = ["MilvusStore", "create"]

_NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
_LISTED = 4096
"""Up to this many wanted rows are named in the search, which then scores exactly these."""
_FIRST, _PER_GROUP = 64, 4
_READ = 512
"""Rows read at a time."""
_CACHED = 1 << 26  # bytes


def create(address: str) -> MilvusStore:
    """Open the rows of a library in Milvus for reading.

    Args:
        address: `milvus://HOST:PORT/NAME`.

    Raises:
        UsageError: It is no such address, or pymilvus is not installed.
        LibraryError: The server cannot be reached, or holds no such library.
    """
    server = MilvusServer(MilvusAddress.parse(address), reads_only=True)
    try:
        return MilvusStore(server, open_collections(server))
    except BaseException:
        server.close()
        raise


class MilvusStore:
    """The rows of one library in Milvus, for reading. See `Store` for the methods.

    Attributes:
        manifest: What the library holds.
        server: The connection, which `close` closes.
    """

    def __init__(self, server: MilvusServer, manifest: Manifest) -> None:
        self.manifest, self.server = manifest, server
        self._layout = Layout.of(manifest.models)
        self._lock = threading.Lock()
        self._rows: OrderedDict[tuple[Level, int], tuple[FloatArray, bool]] = OrderedDict()
        self._kept = max(_READ, _CACHED // (4 * self._layout.width))
        self._silent: dict[Level, BoolArray] = {}

    def close(self) -> None:
        """Close the connection."""
        self.server.close()

    # Writing is the work of `push` ------------------------------------------------------------------------------

    def write(self, table: Table, space: str, first: int, rows: FloatArray) -> None:
        """Raise LibraryError."""
        raise LibraryError(
            f"{self.server.address} is open for reading; index into a library, and push it: soundalike library push"
        )

    def flush(self) -> None:
        """Do nothing."""

    def restore(self, table: Table, space: str, dim: int, rows: int) -> bool:
        """Do nothing: there is nothing to compute from other rows."""
        return False

    def files(self, spaces: Sequence[tuple[Table, str]]) -> frozenset[str]:
        """No files."""
        return frozenset()

    def build_prefilter(self, level: Level, model: str, rows: int, progress: Callable[[int, int], None]) -> bool:
        """Do nothing: Milvus has its own indexes."""
        return False

    def drop_prefilter(self, model: str) -> None:
        """Do nothing."""

    # Reading ----------------------------------------------------------------------------------------------------

    def check(self, table: Table, space: str, dim: int, rows: int, *, derive: bool = False) -> None:
        """See `Store.check`: compare with what the library in Milvus says that it holds."""
        if table == "feature" or self._layout.dims.get(space) != dim:
            raise LibraryError(f"{self.server.address} has no rows of {space} with {dim} dims; push the library again")
        if (held := self.manifest.rows[table]) < rows:
            raise LibraryError(
                f"{self.server.address} holds {held} rows per {table}, expected {rows}; push the library again"
            )

    def read(self, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
        """See `Store.read`. Rows that were deleted meanwhile are zero, and count as corrupt."""
        if not len(positions):
            return np.zeros((0, dim), np.float32)
        return self._layout.take(space, self._fetch(table, positions)[0]).copy()

    def corrupt(self, table: Table, space: str, dim: int, positions: IntArray) -> BoolArray:
        """See `Store.corrupt`. One checksum covers the rows of all spaces."""
        return ~self._fetch(table, positions)[1]

    def _fetch(self, table: Table, positions: IntArray) -> tuple[FloatArray, BoolArray]:
        """The vectors (m, width) at positions (m,), and whether they match their checksums."""
        if table == "feature":
            raise LibraryError(f"{self.server.address} holds no features")
        distinct, place = np.unique(positions, return_inverse=True)
        vectors, intact = np.zeros((len(distinct), self._layout.width), np.float32), np.zeros(len(distinct), np.bool_)
        missing: list[int] = []
        with self._lock:
            for at, position in enumerate(distinct.tolist()):
                found = self._rows.get((table, position))
                if found is None:
                    missing.append(at)
                else:
                    self._rows.move_to_end((table, position))
                    vectors[at], intact[at] = found
        for low in range(0, len(missing), _READ):
            part = missing[low : low + _READ]
            at_of = {int(distinct[at]): at for at in part}
            entities = self.server.query(table, f"id in {list(at_of)}", ["checksum", "vector"])
            if not entities:
                continue
            rows = np.array([one["vector"] for one in entities], np.float32)
            sums = np.array([one["checksum"] for one in entities], np.int64)
            chosen = [at_of[int(one["id"])] for one in entities]
            vectors[chosen], intact[chosen] = rows, row_checksums(rows) == sums
        if len(missing) <= self._kept:
            with self._lock:
                self._rows |= {(table, int(distinct[at])): (vectors[at].copy(), bool(intact[at])) for at in missing}
                while len(self._rows) > self._kept:
                    self._rows.popitem(last=False)
        return vectors[place], intact[place]

    def audible(self, table: Level, space: str, dim: int, rows: int) -> BoolArray:
        """See `Store.audible`."""
        return ~self._silent_at(table)[:rows, list(self._layout.dims).index(space)]

    def _silent_at(self, level: Level) -> BoolArray:
        """Which spaces of which rows are silent, (rows, spaces); read once."""
        with self._lock:
            if level not in self._silent:
                found = np.zeros((self.manifest.rows[level], len(self._layout.dims)), np.bool_)
                for first, end in self._blocks(level):
                    for one in self.server.query(level, f'id >= {first} and id < {end} and silent != ""', ["silent"]):
                        bits = np.frombuffer(bytes.fromhex(one["silent"]), np.uint8)
                        found[int(one["id"])] = np.unpackbits(bits, count=found.shape[1])
                self._silent[level] = found
            return self._silent[level]

    def _blocks(self, level: Level) -> Iterator[tuple[int, int]]:
        """The positions, in blocks that fit into one answer of Milvus: first and end of each."""
        rows = self.manifest.rows[level]
        return ((first, min(first + MOST, rows)) for first in range(0, rows, MOST))

    # Searching --------------------------------------------------------------------------------------------------

    def search(
        self,
        level: Level,
        terms: Sequence[Term],
        groups: Groups,
        k: int,
        wanted: BoolArray | None = None,
        best_of: BestOf | None = None,
    ) -> Hits:
        """See `Store.search`. Milvus only selects what is reranked: every returned score is exact."""
        if k <= 0 or len(groups) == 0:
            return _NO_HITS
        vector, margin = self._query(terms)

        def read(space: Space, positions: IntArray) -> FloatArray:
            return self.read(level, space.full_name, space.dim, positions)

        selected = np.ones(len(groups), np.bool_) if wanted is None else wanted
        if groups.rows_of(selected) <= _LISTED:
            positions = groups.positions(selected)
            if not len(positions):
                return _NO_HITS
            ids, found = self._nearest(level, vector, len(positions), f"id in {positions.tolist()}")
            return rerank(read, terms, self._fold(level, terms, groups, ids, found), k, margin, wanted, best_of)
        limit = max(_FIRST, _PER_GROUP * k)
        while True:
            limit = min(limit, MOST)
            ids, found = self._nearest(level, vector, limit, "")
            complete = len(ids) < limit
            if limit == MOST and not complete:
                blocks = [
                    self._nearest(level, vector, MOST, f"id >= {first} and id < {end}")
                    for first, end in self._blocks(level)
                ]
                ids, found = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
                complete = True
            scored = self._fold(level, terms, groups, ids, found, wanted)
            if complete or found[-1] < lowest_needed(scored.best, k, margin, best_of):
                return rerank(read, terms, scored, k, margin, wanted, best_of)
            limit *= 4

    def search_many(
        self,
        level: Level,
        queries: Sequence[Sequence[Term]],
        groups: Groups,
        k: int,
        wanted: BoolArray | None = None,
    ) -> list[Hits]:
        """See `Store.search_many`."""
        return [self.search(level, terms, groups, k, wanted) for terms in queries]

    def _query(self, terms: Sequence[Term]) -> tuple[FloatArray, float]:
        """The query as a vector (width,), and twice the largest error of its inner products in float32."""
        vector, size = np.zeros(self._layout.width, np.float32), 0.0
        for term in terms:
            start = self._layout.start[term.space.full_name]
            vector[start : start + term.space.dim] = term.scale * term.row
            vector[start + term.space.dim] = term.offset
            size += abs(term.scale) + abs(term.offset)
        # The products of unit rows sum to at most `size`; every addition and rounding loses at most 2^-24 of it.
        return vector, 2 * (self._layout.width + 8) * 2.0**-23 * size

    def _nearest(self, level: Level, vector: FloatArray, limit: int, condition: str) -> tuple[IntArray, FloatArray]:
        """The positions (m,) and scores (m,) of the nearest rows, best first."""
        ids, found = self.server.search(level, vector, limit, condition, self.manifest.index)
        return np.array(ids, np.int64), np.array(found, np.float32)

    def _fold(
        self,
        level: Level,
        terms: Sequence[Term],
        groups: Groups,
        positions: IntArray,
        scores: FloatArray,
        wanted: BoolArray | None = None,
    ) -> Scored:
        """Fold the scores (m,) of rows at positions (m,) into groups, without rows that cannot match."""
        numbers = [list(self._layout.dims).index(term.space.full_name) for term in terms]
        known = (positions >= 0) & (positions < groups.end)
        positions, scores = positions[known], scores[known]
        unit = np.searchsorted(groups.start, positions, side="right") - 1
        held = (unit >= 0) & (positions < (groups.start + groups.size)[unit])
        held &= ~self._silent_at(level)[positions][:, numbers].all(axis=1)
        if wanted is not None:
            held &= groups.wanted_units(wanted)[unit]
        positions, scores = positions[held], scores[held]
        order = np.argsort(positions)
        return groups.fold_some(scores[order], positions[order])
