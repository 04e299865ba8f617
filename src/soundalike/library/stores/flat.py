"""Flat files, one set per level and space: an int8 scan of all rows, then an exact float32 rerank.

`<level>.<space>.i8` holds round(127 x) for the scan, `.f32` the exact rows for the rerank, `.on` one byte per row that
says whether it is audible, and `.crc` one checksum per row over all three. `feature.<backbone>.<feature>` has only
`.f32` and `.crc`, because features are never searched. Graph and inverted-list indexes lose up to two thirds of the
best matches if only one space has a weight; a flat scan loses none, and needs no building.

Threads may read at once: what is mapped or cached on first use is guarded by a lock, which the scan itself does not
take.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS, AnyArray, BoolArray, FloatArray, IntArray, Level, Space
from soundalike.library.stores.base import Hits, Table
from soundalike.library.stores.finalists import finalists
from soundalike.library.stores.pq_prefilter import PqPrefilter, installed
from soundalike.library.stores.row_checksums import row_checksums
from soundalike.library.stores.row_groups import Groups, Scored
from soundalike.library.stores.scan_kernel import BATCH, Column, ScanTerm, default_scanner, on_threads, scan_on_threads
from soundalike.models import Term, presence, score_rows

__all__ = ["FlatStore", "create"]

_CAN_ASK = hasattr(os, "posix_fadvise")
_LEVELS_INT8 = 127
_SCAN_ERROR = 0.012
"""The assumed error of a cosine from the scan. Rounding 128 components to 1/127 gives a standard deviation of 0.0023
for the row, and at most as much for the query; twice 0.012 is five standard deviations of the difference of two rows.
Rows built to break the assumption can: the worst case is four times as large."""
_REMEDY = "run: soundalike library check"
_CLOSED = "the library is closed; open it again"
_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "i8": np.dtype("i1"),
    "on": np.dtype("?"),
    "crc": np.dtype("<u4"),
}
_NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
_BATCH_ROWS = 1 << 22
"""Queries are scanned together up to this many rows, because all their scores have to fit into memory."""
_PREFILTER_FROM = 3_000_000
"""From this many rows on, the prefilter selects what is scanned, if one was built."""
_PREFILTER_SHARE = 200
"""The prefilter selects one row in this many."""
_LARGE = 1 << 28
"""Files of this many bytes may not be in memory. Their rows are requested ahead, all at once, because a disk serves a
hundred concurrent requests in the time of a few sequential ones."""
_AT_ONCE = 1 << 12


def create(
    folder: Path,
    *,
    writable: bool = False,
    threads: int = 1,
    kernel: bool = True,
    prefilter_from: int = _PREFILTER_FROM,
) -> FlatStore:
    """Open the store in `folder`.

    Args:
        folder: The folder of the files.
        writable: Whether rows may be written.
        threads: The number of threads of one search.
        kernel: Use the compiled kernel if there is one.
        prefilter_from: The number of rows from which on the prefilter is used.
    """
    return FlatStore(folder, writable=writable, threads=threads, kernel=kernel, prefilter_from=prefilter_from)


class FlatStore:
    """Sidecar files in one folder. Written rows are durable after `flush`; readers map committed rows."""

    def __init__(
        self,
        folder: Path,
        *,
        writable: bool,
        threads: int = 1,
        kernel: bool = True,
        prefilter_from: int = _PREFILTER_FROM,
    ) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._closed = False
        self._writable = writable
        self._unsynced: set[FileIO] = set()
        self._open: dict[str, FileIO] = {}
        self._maps: dict[str, np.ndarray[Any, Any]] = {}
        self._stale: list[FileIO] = []
        self._files: dict[str, FileIO] = {}  # open handles of large mapped files
        self._columns: dict[tuple[str, int], Column] = {}
        self._threads = threads
        self._scanner = default_scanner(kernel)
        self._prefilter_from = prefilter_from
        self._prefilters: dict[tuple[Level, str], PqPrefilter | None] = {}
        self._asked: dict[tuple[Level, str], int] = {}
        self._dims: dict[tuple[Table, str], dict[str, int]] = {}  # of the spaces that were checked

    def write(self, table: Table, space: str, first: int, rows: FloatArray) -> None:
        """See `Store.write`."""
        rows = np.ascontiguousarray(rows, dtype="<f4")
        arrays: dict[str, AnyArray] = {"f32": rows}
        if table != "feature":
            arrays |= {"i8": np.rint(rows * _LEVELS_INT8).astype(np.int8), "on": presence(rows)}
        arrays["crc"] = row_checksums(*arrays.values())
        for suffix, array in arrays.items():
            width = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
            self._put(self._name(table, space, suffix), first * width, array.tobytes())

    def _put(self, name: str, offset: int, data: bytes) -> None:
        if not self._writable:
            raise LibraryError("the library was opened for reading only")
        if self._closed:
            raise LibraryError(_CLOSED)
        try:
            if name not in self._open:
                path = self._folder / name
                self._open[name] = path.open("r+b" if path.exists() else "w+b", buffering=0)
            file = self._open[name]
            file.seek(offset)  # past the end: the gap reads as zero rows, which are never committed
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            raise LibraryError(f"cannot write {name}: {error.strerror}") from error
        self._unsynced.add(file)

    def flush(self) -> None:
        """See `Store.flush`: fsync of every file written since the last time."""
        try:
            for file in self._unsynced:
                os.fsync(file.fileno())
        except OSError as error:
            raise LibraryError(f"cannot write the vectors: {error.strerror}") from error
        self._unsynced.clear()

    def close(self) -> None:
        """Close the files. Mapped memory is released with the last array that uses it."""
        with self._lock:
            self._closed = True
            for file in (*self._open.values(), *self._files.values(), *self._stale):
                file.close()
            self._open, self._files, self._stale = {}, {}, []
            self._maps, self._columns, self._prefilters = {}, {}, {}

    def _name(self, table: Table, space: str, suffix: str) -> str:
        return f"{table}.{space.replace('/', '.')}.{suffix}"

    def check(self, table: Table, space: str, dim: int, rows: int) -> None:
        """See `Store.check`: compare the sizes of the files, and map them."""
        self._dims.setdefault((table, space.partition("/")[0]), {})[space] = dim
        for suffix, width in _sidecars(table, dim) if rows else ():
            self._rows(table, space, suffix, width, rows)

    def _held(self, name: str, width: int, needed: int) -> int:
        """The number of rows of `width` bytes in a file. Raises LibraryError if there are fewer than needed."""
        try:
            held = (self._folder / name).stat().st_size // width
        except OSError as error:
            raise LibraryError(f"cannot read {name} ({error.strerror}); {_REMEDY}") from error
        if held < needed:
            raise LibraryError(f"{name} is truncated: it holds {held} rows, {needed} were committed; {_REMEDY}")
        return held

    def _rows(self, table: Table, space: str, suffix: str, dim: int, n: int) -> np.ndarray[Any, Any]:
        """The first n rows of a sidecar file. The mapping is cached, and renewed when more rows are requested."""
        name = self._name(table, space, suffix)
        found = self._maps.get(name)
        if found is not None and len(found) >= n:
            return found[:n]
        with self._lock:
            return self._map(name, suffix, dim, n)

    def _map(self, name: str, suffix: str, dim: int, n: int) -> np.ndarray[Any, Any]:
        """Map at least n rows of a file, unless another thread just did. Under the lock."""
        if self._closed:
            raise LibraryError(_CLOSED)
        if name not in self._maps or len(self._maps[name]) < n:
            dtype = _DTYPES[suffix]
            held = self._held(name, dtype.itemsize * dim, n)
            try:
                file = (self._folder / name).open("rb", buffering=0)
            except OSError as error:
                raise LibraryError(f"cannot read {name}: {error.strerror}; check its permissions") from error
            mapped = np.memmap(file, dtype=dtype, mode="r", shape=(held, dim))
            if mapped.nbytes >= _LARGE:
                # Another thread may be using the handle of the older mapping: it stays open until `close`.
                self._stale += [self._files[name]] if name in self._files else []
                self._files[name] = file
            else:
                file.close()
            self._maps[name] = mapped.view(np.ndarray)
        return self._maps[name][:n]

    def _gather(self, table: Table, space: str, suffix: str, dim: int, positions: IntArray) -> np.ndarray[Any, Any]:
        """The rows (m, dim) of a sidecar file at `positions` (m,), m >= 1."""
        rows = self._rows(table, space, suffix, dim, int(positions.max()) + 1)
        width = rows.itemsize * dim
        file = self._files.get(self._name(table, space, suffix))
        if file is not None and len(positions) <= _AT_ONCE and _CAN_ASK:
            for position in positions.tolist():
                os.posix_fadvise(file.fileno(), position * width, width, os.POSIX_FADV_WILLNEED)
        return rows[positions]

    def read(self, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
        """See `Store.read`."""
        if len(positions) == 0:
            return np.zeros((0, dim), dtype=np.float32)
        return np.asarray(self._gather(table, space, "f32", dim, positions), dtype=np.float32)

    def corrupt(self, table: Table, space: str, dim: int, positions: IntArray) -> BoolArray:
        """See `Store.corrupt`."""
        if len(positions) == 0:
            return np.zeros(0, np.bool_)
        # As bytes: a corrupt byte of `.on` may be neither 0 nor 1.
        *parts, sums = (
            self._gather(table, space, suffix, width, positions).view(np.uint8)
            for suffix, width in _sidecars(table, dim)
        )
        return np.asarray(row_checksums(*parts) != sums.view(_DTYPES["crc"])[:, 0])

    def search(
        self, level: Level, terms: Sequence[Term], groups: Groups, k: int, wanted: BoolArray | None = None
    ) -> Hits:
        """See `Store.search`. The scan only selects what is reranked: every returned score is exact."""
        if k <= 0 or len(groups) == 0:
            return _NO_HITS
        plan = self._plan(level, terms, groups.end)
        rows, positions = groups.rows, None
        if wanted is not None or groups.rows < self._scanner.gather_below * groups.end:
            selected = np.ones(len(groups), np.bool_) if wanted is None else wanted
            rows = groups.rows_of(selected)
            if rows < self._scanner.gather_below * groups.end:
                positions = groups.positions(selected)
        if positions is None and groups.end >= self._prefilter_from:
            positions = self._prefiltered(level, terms, groups, k, rows / groups.end)
        scores: FloatArray = np.empty(groups.end if positions is None else len(positions), np.float32)

        def part(low: int, high: int) -> None:
            chosen = None if positions is None else positions[low:high]
            self._scanner.scan(plan, low if chosen is None else 0, scores[low:high], chosen)

        scan_on_threads(part, len(scores), self._threads)
        scored = groups.fold(scores) if positions is None else groups.fold_some(scores, positions)
        return self._rerank(level, terms, scored, k, wanted)

    def _prefiltered(
        self, level: Level, terms: Sequence[Term], groups: Groups, k: int, share: float
    ) -> IntArray | None:
        """The rows (m,) worth scanning, ascending, if there is a prefilter; `share` of all rows are wanted.

        Loading the prefilter costs more than a scan or two, so the first search does without it.
        """
        model = terms[0].space.model
        self._asked[level, model] = self._asked.get((level, model), 0) + 1
        prefilter = self._prefilter_of(level, model) if self._asked[level, model] > 1 else None
        if prefilter is None:
            return None
        count = int(max(groups.end / _PREFILTER_SHARE, 100 * k) / share)
        if count > self._scanner.gather_below * groups.end:
            return None
        later = np.arange(prefilter.rows, groups.end)  # rows added after it was built
        return groups.held(np.concatenate([prefilter.candidates(terms, count), later]))

    def _prefilter_of(self, level: Level, model: str) -> PqPrefilter | None:
        with self._lock:
            if (level, model) not in self._prefilters:
                dims, name = self._dims.get((level, model)), self._prefilter_name(level, model)
                found = PqPrefilter.load(self._folder, name, dims) if dims and installed() else None
                self._prefilters[level, model] = found
            return self._prefilters[level, model]

    def _prefilter_name(self, level: Level, model: str) -> str:
        return f"coarse.{level}.{model}"

    def build_prefilter(self, level: Level, model: str, rows: int, progress: Callable[[int, int], None]) -> bool:
        """See `Store.build_prefilter`. A prefilter that lacks at most a tenth of the rows is not rebuilt."""
        dims = self._dims.get((level, model), {})
        if rows < self._prefilter_from or not dims or not installed():
            return False
        existing = self._prefilter_of(level, model)
        if existing is not None and 0.9 * rows <= existing.rows <= rows:
            return False

        def read(space: str, positions: IntArray) -> FloatArray:
            all_rows = self._rows(level, space, "i8", dims[space], rows)
            return all_rows[positions].astype(np.float32) / np.float32(_LEVELS_INT8)

        prefilter = PqPrefilter.build(dims, rows, read, progress)
        self._prefilters[level, model] = prefilter
        return prefilter.save(self._folder, self._prefilter_name(level, model))

    def drop_prefilter(self, model: str) -> None:
        """See `Store.drop_prefilter`."""
        for level in LEVELS:
            self._prefilters.pop((level, model), None)
            path = self._folder / f"{self._prefilter_name(level, model)}.derived"
            try:
                path.unlink(missing_ok=True)
            except OSError as error:  # Windows keeps files that a reader has mapped
                why = f"{error.strerror}; close other programs that use the library, and try again"
                raise LibraryError(f"cannot remove {path}: {why}") from error

    def search_many(
        self,
        level: Level,
        queries: Sequence[Sequence[Term]],
        groups: Groups,
        k: int,
        wanted: BoolArray | None = None,
    ) -> list[Hits]:
        """See `Store.search_many`: one pass over the rows per sixteen queries; threads share the passes."""
        if k <= 0 or len(groups) == 0 or groups.end > _BATCH_ROWS or len(queries) < 2:
            return [self.search(level, terms, groups, k, wanted) for terms in queries]
        plans = [self._plan(level, terms, groups.end) for terms in queries]
        found: list[Hits] = [_NO_HITS] * len(queries)

        def part(first: int) -> None:
            batch = range(first, min(first + BATCH, len(queries)))
            scores: FloatArray = np.empty((len(batch), groups.end), np.float32)
            self._scanner.scan_batch([plans[number] for number in batch], 0, scores)
            for number, row in zip(batch, scores, strict=True):
                found[number] = self._rerank(level, queries[number], groups.fold(row), k, wanted)

        on_threads(part, range(0, len(queries), BATCH), self._threads)
        return found

    def _plan(self, level: Level, terms: Sequence[Term], n: int) -> list[ScanTerm]:
        """The terms for the scanner: queries in int8, each on its own scale, with the first n rows of their spaces."""
        plan = []
        for term in terms:
            peak = float(np.abs(term.row).max())
            query = np.rint(term.row * (_LEVELS_INT8 / peak)).astype(np.int8)
            factor = float(np.float32(term.scale * peak / _LEVELS_INT8**2))
            plan.append(ScanTerm(self._column(level, term.space, n), query, factor, float(np.float32(term.offset))))
        return plan

    def _column(self, level: Level, space: Space, n: int) -> Column:
        name = self._name(level, space.full_name, "i8")
        found = self._columns.get((name, n))
        if found is not None:
            return found
        with self._lock:
            rows = self._rows(level, space.full_name, "i8", space.dim, n)
            on = self._rows(level, space.full_name, "on", 1, n)[:, 0]
            # A new dictionary, because other threads may be reading the old one.
            others = {key: column for key, column in self._columns.items() if key[0] != name}
            self._columns = {**others, (name, n): Column(name, rows, on)}
            return self._columns[name, n]

    def _rerank(self, level: Level, terms: Sequence[Term], scored: Scored, k: int, wanted: BoolArray | None) -> Hits:
        """The k best of the wanted groups (g,) by exact score, among those whose approximate score is close enough."""
        best = scored.best if wanted is None else np.where(wanted, scored.best, np.float32(-np.inf))
        # Each score is off by at most `margin` / 2, so a group within `margin` of the k-th best may be better than it.
        margin = 2 * _SCAN_ERROR * float(np.sqrt(sum(term.scale**2 for term in terms)))
        chosen = finalists(best, k, margin)
        owner, places, positions = scored.rows(chosen)
        owner = chosen[owner]
        near = scored.scores[places] >= best[owner] - margin
        owner, positions = owner[near], positions[near]
        if len(positions) == 0:
            return _NO_HITS
        rows = {t.space.name: self.read(level, t.space.full_name, t.space.dim, positions) for t in terms}
        with np.errstate(invalid="ignore", over="ignore"):
            exact = score_rows(terms, rows)
        # A score that is not finite means a corrupt row: it goes to the top, where the caller compares checksums.
        exact = np.where(np.isfinite(exact), exact, np.inf)
        # Best first; ties in the order of their rows, so that results never depend on the scan.
        order = np.lexsort((positions, -exact))
        _, first = np.unique(owner[order], return_index=True)
        order = order[np.sort(first)][:k]
        return Hits(owner[order], positions[order], exact[order])


def _sidecars(table: Table, dim: int) -> list[tuple[str, int]]:
    """The suffixes of the files with rows of `dim` dims, and the values per row in each; `.crc` comes last."""
    searched = [] if table == "feature" else [("i8", dim), ("on", 1)]
    return [("f32", dim), *searched, ("crc", 1)]
