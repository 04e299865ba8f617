"""Flat files, one set per level and space: an int8 scan of all rows, then an exact float32 rerank.

`sidecars.py` describes the files. Graph and inverted-list indexes lose up to two thirds of the best matches if only one
space has a weight; a flat scan loses none, and needs no building.

Threads may read at once: what is mapped or cached on first use is guarded by a lock, which the scan itself does not
take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS, BoolArray, FloatArray, IntArray, Level, Space
from soundalike.library.stores.base import BestOf, Editions, Hits, Table
from soundalike.library.stores.finalists import rerank
from soundalike.library.stores.pq_prefilter import PqPrefilter, installed
from soundalike.library.stores.row_groups import Groups, Scored
from soundalike.library.stores.scan_kernel import BATCH, Column, ScanTerm, default_scanner, on_threads, scan_on_threads
from soundalike.library.stores.sidecars import LEVELS_INT8, SidecarFiles
from soundalike.models import Term

__all__ = ["FlatStore", "create"]

_SCAN_ERROR = 0.012
"""The assumed error of a cosine from the scan. Rounding 128 components to 1/127 gives a standard deviation of 0.0023
for the row, and at most as much for the query; twice 0.012 is five standard deviations of the difference of two rows.
Rows built to break the assumption can: the worst case is four times as large."""
_NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
_BATCH_ROWS = 1 << 22
"""Queries are scanned together up to this many rows, because all their scores have to fit into memory."""
_PREFILTER_FROM = 3_000_000
"""From this many rows on, the prefilter selects what is scanned, if one was built."""
_PREFILTER_SHARE = 200
"""The prefilter selects one row in this many."""
_Version: TypeAlias = tuple[int, int, int] | None


def create(
    folder: Path,
    *,
    writable: bool = False,
    editions: Editions | None = None,
    threads: int = 1,
    kernel: bool = True,
    prefilter_from: int = _PREFILTER_FROM,
) -> FlatStore:
    """Open the store in `folder`.

    Args:
        folder: The folder of the files.
        writable: Whether rows may be written.
        editions: The editions to read and write; None is edition 0 of everything.
        threads: The number of threads of one search.
        kernel: Use the compiled kernel if there is one.
        prefilter_from: The number of rows from which on the prefilter is used.
    """
    return FlatStore(
        folder, writable=writable, editions=editions, threads=threads, kernel=kernel, prefilter_from=prefilter_from
    )


class FlatStore:
    """Sidecar files in one folder. Written rows are durable after `flush`; readers map committed rows."""

    def __init__(
        self,
        folder: Path,
        *,
        writable: bool,
        editions: Editions | None = None,
        threads: int = 1,
        kernel: bool = True,
        prefilter_from: int = _PREFILTER_FROM,
    ) -> None:
        self._folder = folder
        self._files = SidecarFiles(folder, editions, writable=writable)
        self._lock = self._files.lock
        self._columns: dict[tuple[str, int], Column] = {}
        self._threads = threads
        self._scanner = default_scanner(kernel)
        self._prefilter_from = prefilter_from
        self._prefilters: dict[tuple[Level, str], tuple[_Version, PqPrefilter | None]] = {}
        self._asked: dict[tuple[Level, str], int] = {}
        self._dims: dict[tuple[Table, str], dict[str, int]] = {}  # of the spaces that were checked

    def write(self, table: Table, space: str, first: int, rows: FloatArray) -> None:
        """See `Store.write`."""
        self._files.write(table, space, first, rows)

    def flush(self) -> None:
        """See `Store.flush`."""
        self._files.flush()

    def restore(self, table: Table, space: str, dim: int, rows: int) -> bool:
        """See `Store.restore`: int8 rows and presence follow from the float32 rows."""
        return self._files.restore(table, space, dim, rows)

    def files(self, spaces: Sequence[tuple[Table, str]]) -> frozenset[str]:
        """See `Store.files`."""
        names = {name for table, space in spaces for name in self._files.names(table, space)}
        models = {(table, space.rpartition("/")[0]) for table, space in spaces if table != "feature"}
        return frozenset(names | {f"{self._prefilter_name(table, model)}.derived" for table, model in models})

    def close(self) -> None:
        """Close the files. Mapped memory is released with the last array that uses it."""
        with self._lock:
            self._files.close()
            self._columns, self._prefilters = {}, {}

    def check(self, table: Table, space: str, dim: int, rows: int, *, derive: bool = False) -> None:
        """See `Store.check`: compare the sizes of the files, and map them."""
        self._dims.setdefault((table, space.rpartition("/")[0]), {})[space] = dim
        self._files.check(table, space, dim, rows, derive=derive)

    def read(self, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
        """See `Store.read`."""
        return self._files.read(table, space, dim, positions)

    def corrupt(self, table: Table, space: str, dim: int, positions: IntArray) -> BoolArray:
        """See `Store.corrupt`."""
        return self._files.corrupt(table, space, dim, positions)

    def audible(self, table: Level, space: str, dim: int, rows: int) -> BoolArray:
        """See `Store.audible`."""
        return self._files.rows(table, space, "on", 1, rows)[:, 0].view(np.uint8) != 0

    def search(
        self,
        level: Level,
        terms: Sequence[Term],
        groups: Groups,
        k: int,
        wanted: BoolArray | None = None,
        best_of: BestOf | None = None,
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
        return self._rerank(level, terms, scored, k, wanted, best_of)

    def _prefiltered(
        self, level: Level, terms: Sequence[Term], groups: Groups, k: int, share: float
    ) -> IntArray | None:
        """The rows (m,) worth scanning, ascending, if there is a prefilter; `share` of all rows are wanted.

        Loading the prefilter costs more than a scan or two, so the first search does without it.
        """
        model, *others = {term.space.model for term in terms}
        if others:  # a prefilter covers one model
            return None
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
        """The prefilter on disk, read again if a writer has replaced or deleted it."""
        version = self._prefilter_version(level, model)
        with self._lock:
            if (level, model) not in self._prefilters or self._prefilters[level, model][0] != version:
                dims, name = self._dims.get((level, model)), self._prefilter_name(level, model)
                found = PqPrefilter.load(self._folder, name, dims) if version and dims and installed() else None
                self._prefilters[level, model] = (version, found)
            return self._prefilters[level, model][1]

    def _prefilter_name(self, level: Level, model: str) -> str:
        return f"coarse.{level}.{self._files.stem(level, model)}"

    def _prefilter_version(self, level: Level, model: str) -> _Version:
        """What tells one file of a prefilter from the next; None if there is none."""
        try:
            status = (self._folder / f"{self._prefilter_name(level, model)}.derived").stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def build_prefilter(self, level: Level, model: str, rows: int, progress: Callable[[int, int], None]) -> bool:
        """See `Store.build_prefilter`. A prefilter that lacks at most a tenth of the rows is not rebuilt."""
        dims = self._dims.get((level, model), {})
        if rows < self._prefilter_from or not dims or not installed():
            return False
        existing = self._prefilter_of(level, model)
        if existing is not None and 0.9 * rows <= existing.rows <= rows:
            return False

        def read(space: str, positions: IntArray) -> FloatArray:
            all_rows = self._files.rows(level, space, "i8", dims[space], rows)
            return all_rows[positions].astype(np.float32) / np.float32(LEVELS_INT8)

        prefilter = PqPrefilter.build(dims, rows, read, progress)
        saved = prefilter.save(self._folder, self._prefilter_name(level, model))
        self._prefilters[level, model] = (self._prefilter_version(level, model), prefilter)
        return saved

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
            query = np.rint(term.row * (LEVELS_INT8 / peak)).astype(np.int8)
            factor = float(np.float32(term.scale * peak / LEVELS_INT8**2))
            plan.append(ScanTerm(self._column(level, term.space, n), query, factor, float(np.float32(term.offset))))
        return plan

    def _column(self, level: Level, space: Space, n: int) -> Column:
        name = self._files.name(level, space.full_name, "i8")
        found = self._columns.get((name, n))
        if found is not None:
            return found
        with self._lock:
            rows = self._files.rows(level, space.full_name, "i8", space.dim, n)
            on = self._files.rows(level, space.full_name, "on", 1, n)[:, 0]
            # A new dictionary, because other threads may be reading the old one.
            others = {key: column for key, column in self._columns.items() if key[0] != name}
            self._columns = {**others, (name, n): Column(name, rows, on)}
            return self._columns[name, n]

    def _rerank(
        self, level: Level, terms: Sequence[Term], scored: Scored, k: int, wanted: BoolArray | None,
        best_of: BestOf | None = None,
    ) -> Hits:  # fmt: skip
        margin = 2 * _SCAN_ERROR * float(np.sqrt(sum(term.scale**2 for term in terms)))

        def read(space: Space, positions: IntArray) -> FloatArray:
            return self.read(level, space.full_name, space.dim, positions)

        return rerank(read, terms, scored, k, margin, wanted, best_of)
