"""Flat files, one set per level and space: an int8 scan over everything, then an exact float32 rerank.

`<level>.<space>.i8` holds round(127 x) to scan, `.f32` the rows themselves to rerank, `.on` one byte a row that says
whether it is audible, `.crc` a checksum a row of all three. `feature.<backbone>.<feature>` has `.f32` and `.crc` only,
for it is never searched. Graph and inverted-list indexes lose up to two thirds of the right answers when only one
slider is up; a flat scan never does, and it needs no building.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import LEVELS, AnyArray, BoolArray, FloatArray, IntArray, Level, Space
from soundalike.library.stores.base import Hits, Table
from soundalike.library.stores.pq_prefilter import PqPrefilter, installed
from soundalike.library.stores.row_checksums import row_checksums
from soundalike.library.stores.row_groups import Groups, Scored
from soundalike.library.stores.scan_kernel import BATCH, Column, ScanTerm, default_scanner, on_threads, scan_on_threads
from soundalike.models import Term, presence, score_rows

__all__ = ["FlatStore", "create"]

_CAN_ASK = hasattr(os, "posix_fadvise")
_LEVELS_INT8 = 127
_BLOCK = 128
_SCAN_ERROR = 0.012
"""How far off the scan's cosine is taken to be. Rounding 128 components to 1/127 does 0.0023 to it (standard deviation)
for the row and as much again at most for the query; twice 0.012 is five standard deviations of the difference of two
rows. Rows made to break it can: the worst case is four times as much."""
_MIN_RERANK = 32
_DAMAGED = "the library is damaged: see soundalike library check"
_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "i8": np.dtype("i1"),
    "on": np.dtype("?"),
    "crc": np.dtype("<u4"),
}
_NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
_BATCH_ROWS = 1 << 22
"""Queries are scanned together up to so many rows: their scores have to fit into memory."""
_COARSE_FROM = 3_000_000
"""From so many rows on a coarse stage chooses what is scanned, where one was built."""
_COARSE_KEEPS = 200
"""One row in so many passes the coarse stage."""
_LARGE = 1 << 28
"""Bytes of a file from which on it may well not be in memory: rows of it are asked for ahead, all at once, for a disk
answers a hundred questions together in the time of a few one after the other."""
_AT_ONCE = 1 << 12


def create(
    folder: Path, *, writable: bool = False, threads: int = 1, kernel: bool = True, prefilter_from: int = _COARSE_FROM
) -> FlatStore:
    """Open the store in `folder`.

    A search uses so many threads, the compiled kernel if `kernel`, and from so many rows on the coarse stage.
    """
    return FlatStore(folder, writable=writable, threads=threads, kernel=kernel, prefilter_from=prefilter_from)


class FlatStore:
    """Sidecar files in one folder. What is written is durable after `flush`; readers map what they are told of."""

    def __init__(
        self, folder: Path, *, writable: bool, threads: int = 1, kernel: bool = True, prefilter_from: int = _COARSE_FROM
    ) -> None:
        self._folder = folder
        self._writable = writable
        self._unsynced: set[FileIO] = set()
        self._open: dict[str, FileIO] = {}
        self._maps: dict[str, np.ndarray[Any, Any]] = {}
        self._files: dict[str, FileIO] = {}  # of the mapped ones those that are large
        self._columns: dict[tuple[str, int], Column] = {}
        self._threads = threads
        self._scanner = default_scanner(kernel)
        self._coarse_from = prefilter_from
        self._coarse: dict[tuple[Level, str], PqPrefilter | None] = {}
        self._asked: dict[tuple[Level, str], int] = {}
        self._dims: dict[tuple[Table, str], dict[str, int]] = {}  # of what was checked

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
        try:
            if name not in self._open:
                path = self._folder / name
                self._open[name] = path.open("r+b" if path.exists() else "w+b", buffering=0)
            file = self._open[name]
            file.seek(offset)  # past the end: the gap reads as zero rows, which nobody was told of
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
        """Close the files; what was mapped is let go of with the last array of it."""
        for opened in (self._open, self._files):
            for file in opened.values():
                file.close()
            opened.clear()

    def _name(self, table: Table, space: str, suffix: str) -> str:
        return f"{table}.{space.replace('/', '.')}.{suffix}"

    def check(self, table: Table, space: str, dim: int, rows: int) -> None:
        """See `Store.check`: compares the sizes of the files, and maps them."""
        self._dims.setdefault((table, space.partition("/")[0]), {})[space] = dim
        for suffix, width in _sidecars(table, dim) if rows else ():
            self._rows(table, space, suffix, width, rows)

    def _held(self, name: str, width: int, needed: int) -> int:
        """How many rows of `width` bytes a file holds. Raises LibraryError if it holds fewer than needed."""
        try:
            held = (self._folder / name).stat().st_size // width
        except OSError as error:
            raise LibraryError(f"cannot read {name} ({error.strerror}): {_DAMAGED}") from error
        if held < needed:
            raise LibraryError(f"{name} holds {held} rows, {needed} were committed: {_DAMAGED}")
        return held

    def _rows(self, table: Table, space: str, suffix: str, dim: int, n: int) -> np.ndarray[Any, Any]:
        """The first n rows of a sidecar, mapped; the mapping is kept and renewed when more rows are asked for."""
        name = self._name(table, space, suffix)
        if name not in self._maps or len(self._maps[name]) < n:
            dtype = _DTYPES[suffix]
            held = self._held(name, dtype.itemsize * dim, n)
            try:
                file = (self._folder / name).open("rb", buffering=0)
            except OSError as error:
                raise LibraryError(f"cannot read {name}: {error.strerror}; is it yours to read?") from error
            mapped = np.memmap(file, dtype=dtype, mode="r", shape=(held, dim))
            self._maps[name] = mapped.view(np.ndarray)
            for old in (self._files.pop(name, None), file if mapped.nbytes < _LARGE else None):
                if old is not None:
                    old.close()
            if mapped.nbytes >= _LARGE:
                self._files[name] = file
        return self._maps[name][:n]

    def _gather(self, table: Table, space: str, suffix: str, dim: int, positions: IntArray) -> np.ndarray[Any, Any]:
        """The rows (m, dim) of a sidecar at `positions` (m,), of which there is at least one."""
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
        # As bytes, for one of `.on` that is neither 0 nor 1 is compared as it is.
        *parts, sums = (
            self._gather(table, space, suffix, width, positions).view(np.uint8)
            for suffix, width in _sidecars(table, dim)
        )
        return np.asarray(row_checksums(*parts) != sums.view(_DTYPES["crc"])[:, 0])

    def search(
        self, level: Level, terms: Sequence[Term], groups: Groups, k: int, wanted: BoolArray | None = None
    ) -> Hits:
        """See `Store.search`. The scan only decides who is reranked: every score returned is exact."""
        if k <= 0 or len(groups) == 0:
            return _NO_HITS
        plan = self._plan(level, terms, groups.end)
        rows, positions = groups.rows, None
        if wanted is not None or groups.rows < self._scanner.gather_below * groups.end:
            everybody = np.ones(len(groups), np.bool_) if wanted is None else wanted
            rows = groups.rows_of(everybody)
            if rows < self._scanner.gather_below * groups.end:
                positions = groups.positions(everybody)
        if positions is None and groups.end >= self._coarse_from:
            positions = self._coarsely(level, terms, groups, k, rows / groups.end)
        scores: FloatArray = np.empty(groups.end if positions is None else len(positions), np.float32)

        def part(low: int, high: int) -> None:
            chosen = None if positions is None else positions[low:high]
            self._scanner.scan(plan, low if chosen is None else 0, scores[low:high], chosen)

        scan_on_threads(part, len(scores), self._threads)
        scored = groups.fold(scores) if positions is None else groups.fold_some(scores, positions)
        return self._rerank(level, terms, scored, k, wanted)

    def _coarsely(self, level: Level, terms: Sequence[Term], groups: Groups, k: int, share: float) -> IntArray | None:
        """The rows (m,) that are worth scanning, ascending, if there is a coarse stage; `share` of all are wanted.

        To load it costs more than a scan or two: who asks only once does without.
        """
        model = terms[0].space.model
        self._asked[level, model] = self._asked.get((level, model), 0) + 1
        coarse = self._coarse_stage(level, model) if self._asked[level, model] > 1 else None
        if coarse is None:
            return None
        count = int(max(groups.end / _COARSE_KEEPS, 100 * k) / share)
        if count > self._scanner.gather_below * groups.end:
            return None
        later = np.arange(coarse.rows, groups.end)  # what came after it was built
        return groups.held(np.concatenate([coarse.candidates(terms, count), later]))

    def _coarse_stage(self, level: Level, model: str) -> PqPrefilter | None:
        if (level, model) not in self._coarse:
            dims = self._dims.get((level, model))
            found = (
                PqPrefilter.load(self._folder, self._coarse_name(level, model), dims) if dims and installed() else None
            )
            self._coarse[level, model] = found
        return self._coarse[level, model]

    def _coarse_name(self, level: Level, model: str) -> str:
        return f"coarse.{level}.{model}"

    def build_prefilter(self, level: Level, model: str, rows: int, progress: Callable[[int, int], None]) -> bool:
        """See `Store.build_prefilter`. A stage that lacks at most a tenth of the rows is left as it is."""
        dims = self._dims.get((level, model), {})
        if rows < self._coarse_from or not dims or not installed():
            return False
        there = self._coarse_stage(level, model)
        if there is not None and 0.9 * rows <= there.rows <= rows:
            return False

        def read(space: str, positions: IntArray) -> FloatArray:
            whole = self._rows(level, space, "i8", dims[space], rows)
            return whole[positions].astype(np.float32) / np.float32(_LEVELS_INT8)

        stage = PqPrefilter.build(dims, rows, read, progress)
        self._coarse[level, model] = stage
        return stage.save(self._folder, self._coarse_name(level, model))

    def drop_prefilter(self, model: str) -> None:
        """See `Store.drop_prefilter`."""
        for level in LEVELS:
            self._coarse.pop((level, model), None)
            (self._folder / f"{self._coarse_name(level, model)}.derived").unlink(missing_ok=True)

    def search_many(
        self,
        level: Level,
        queries: Sequence[Sequence[Term]],
        groups: Groups,
        k: int,
        wanted: BoolArray | None = None,
    ) -> list[Hits]:
        """See `Store.search_many`: a pass over the rows for every sixteen queries; threads share the passes."""
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
        """What the scanner is to do: queries in int8, each on its own scale, and where the first n rows lie."""
        plan = []
        for term in terms:
            peak = float(np.abs(term.row).max())
            query = np.rint(term.row * (_LEVELS_INT8 / peak)).astype(np.int8)
            factor = float(np.float32(term.scale * peak / _LEVELS_INT8**2))
            plan.append(ScanTerm(self._column(level, term.space, n), query, factor, float(np.float32(term.offset))))
        return plan

    def _column(self, level: Level, space: Space, n: int) -> Column:
        name = self._name(level, space.full_name, "i8")
        if (name, n) not in self._columns:
            self._columns = {key: column for key, column in self._columns.items() if key[0] != name}
            rows = self._rows(level, space.full_name, "i8", space.dim, n)
            on = self._rows(level, space.full_name, "on", 1, n)[:, 0]
            self._columns[name, n] = Column(name, rows, on)
        return self._columns[name, n]

    def _rerank(self, level: Level, terms: Sequence[Term], scored: Scored, k: int, wanted: BoolArray | None) -> Hits:
        """The k best of the wanted groups (g,) by exact scores, of those whose approximate best comes near enough."""
        best = scored.best if wanted is None else np.where(wanted, scored.best, np.float32(-np.inf))
        # The scan is off by at most `margin` / 2: whoever is that near to the k-th best may really be better.
        margin = 2 * _SCAN_ERROR * float(np.sqrt(sum(term.scale**2 for term in terms)))
        finalists = _finalists(best, k, margin)
        owner, places, positions = scored.rows(finalists)
        owner = finalists[owner]
        near = scored.scores[places] >= best[owner] - margin
        owner, positions = owner[near], positions[near]
        if len(positions) == 0:
            return _NO_HITS
        rows = {t.space.name: self.read(level, t.space.full_name, t.space.dim, positions) for t in terms}
        with np.errstate(invalid="ignore", over="ignore"):
            exact = score_rows(terms, rows)
        # What is no number is damaged: it goes to the top, where whoever asked looks at checksums.
        exact = np.where(np.isfinite(exact), exact, np.inf)
        # Best first; equal scores in the order of their rows, so that answers never depend on the scan.
        order = np.lexsort((positions, -exact))
        _, first = np.unique(owner[order], return_index=True)
        order = order[np.sort(first)][:k]
        return Hits(owner[order], positions[order], exact[order])


def _sidecars(table: Table, dim: int) -> list[tuple[str, int]]:
    """The suffixes of the files that hold rows of `dim` dims, and how many numbers a row has in each; `.crc` last."""
    searched = [] if table == "feature" else [("i8", dim), ("on", 1)]
    return [("f32", dim), *searched, ("crc", 1)]


def _finalists(best: FloatArray, k: int, margin: float) -> IntArray:
    """The groups to rerank: at least the `_MIN_RERANK` best, and who is within `margin` of the k-th best.

    Of many groups only the best of every `_BLOCK` are looked at at first: whoever is among the n best of all lies in a
    block whose best is at least the n-th best of these. A block's groups lie far apart, for neighbours are often alike.
    """
    keep = max(k, _MIN_RERANK)
    chosen: IntArray = (
        np.arange(len(best)) if len(best) <= 4 * keep * _BLOCK else _in_best_blocks(best, keep, k, margin)
    )
    near = best[chosen]
    return chosen[(near >= _floor(near, keep, k, margin)) & (near > -np.inf)]


def _in_best_blocks(best: FloatArray, keep: int, k: int, margin: float) -> IntArray:
    cut = len(best) // _BLOCK * _BLOCK
    peaks = best[:cut].reshape(_BLOCK, -1).max(axis=0)
    high = np.flatnonzero(peaks >= _floor(peaks, keep, k, margin))
    members = (np.arange(_BLOCK)[:, None] * len(peaks) + high).reshape(-1)
    return np.concatenate([members, np.arange(cut, len(best))])


def _floor(best: FloatArray, keep: int, k: int, margin: float) -> float:
    """The `keep`-th best, or `margin` under the k-th best, whichever is lower; -inf where there are fewer."""
    if len(best) <= keep:
        return -np.inf
    ordered = np.partition(best, (len(best) - keep, len(best) - k))
    return float(min(ordered[len(best) - keep], ordered[len(best) - k] - margin))
