"""Flat files, one set per level and space: an int8 scan over everything, then an exact float32 rerank.

`<level>.<space>.i8` holds round(127 x) to scan, `.f32` the rows themselves to rerank, `.on` one byte a row that says
whether it is audible. Graph and inverted-list indexes lose up to two thirds of the right answers when only one
slider is up; a flat scan never does, and it needs no building.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.errors import LibraryError
from soundalike.score import Term, presence, score_rows
from soundalike.stores import Hits
from soundalike.types import FloatArray, IntArray, Level

__all__ = ["FlatStore", "create"]

_LEVELS_INT8 = 127
_EVERY = 32
_CHUNK = 1 << 15
"""Rows scanned at a time: their scores stay in the cache while the spaces are added up."""
_SCAN_ERROR = 0.012
"""How far off the scan's cosine is taken to be. Rounding 128 components to 1/127 does 0.0023 to it (standard deviation)
for the row and as much again at most for the query; twice 0.012 is five standard deviations of the difference of two
rows. Rows made to break it can: the worst case is four times as much."""
_MIN_RERANK = 200
_DAMAGED = "the library is damaged; index into a new one (--library PATH)"
_DTYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "i8": np.dtype("i1"), "on": np.dtype("?")}
_NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
_GATHER_BELOW = 0.1
"""Where fewer of the rows than this are wanted, they are gathered rather than the whole file scanned."""


def create(folder: Path, *, writable: bool = False) -> FlatStore:
    """Open the store in `folder`."""
    return FlatStore(folder, writable=writable)


class FlatStore:
    """Sidecar files in one folder. What is written is durable after `flush`; readers map what they are told of."""

    def __init__(self, folder: Path, *, writable: bool) -> None:
        self._folder = folder
        self._writable = writable
        self._unsynced: set[FileIO] = set()
        self._open: dict[str, FileIO] = {}
        self._maps: dict[str, np.ndarray[Any, Any]] = {}

    def write(self, level: Level, space: str, first: int, rows: FloatArray) -> int:
        """See `Store.write`. The checksum is the CRC-32 of the float32 bytes followed by the int8 bytes."""
        rows = np.ascontiguousarray(rows, dtype="<f4")
        coarse = np.rint(rows * _LEVELS_INT8).astype(np.int8)
        for suffix, array in (("f32", rows), ("i8", coarse), ("on", presence(rows).astype(np.uint8))):
            width = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
            self._put(self._name(level, space, suffix), first * width, array.tobytes())
        return zlib.crc32(coarse.tobytes(), zlib.crc32(rows.tobytes()))

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
        """Close the files that were written to."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _name(self, level: Level, space: str, suffix: str) -> str:
        return f"{level}.{space.replace('/', '.')}.{suffix}"

    def check(self, level: Level, space: str, dim: int, rows: int) -> None:
        """See `Store.check`: compares the sizes of the files."""
        for suffix, width in (("f32", dim), ("i8", dim), ("on", 1)) if rows else ():
            self._held(self._name(level, space, suffix), _DTYPES[suffix].itemsize * width, rows)

    def _held(self, name: str, width: int, needed: int) -> int:
        """How many rows of `width` bytes a file holds. Raises LibraryError if it holds fewer than needed."""
        try:
            held = (self._folder / name).stat().st_size // width
        except OSError as error:
            raise LibraryError(f"cannot read {name} ({error.strerror}): {_DAMAGED}") from error
        if held < needed:
            raise LibraryError(f"{name} holds {held} rows, {needed} were committed: {_DAMAGED}")
        return held

    def _rows(self, level: Level, space: str, suffix: str, dim: int, n: int) -> np.ndarray[Any, Any]:
        """The first n rows of a sidecar, mapped; the mapping is kept and renewed when more rows are asked for."""
        name = self._name(level, space, suffix)
        if name not in self._maps or len(self._maps[name]) < n:
            dtype = _DTYPES[suffix]
            held = self._held(name, dtype.itemsize * dim, n)
            try:
                mapped = np.memmap(self._folder / name, dtype=dtype, mode="r", shape=(held, dim))
            except OSError as error:
                raise LibraryError(f"cannot read {name}: {error.strerror}; is it yours to read?") from error
            self._maps[name] = mapped.view(np.ndarray)
        return self._maps[name][:n]

    def read(self, level: Level, space: str, dim: int, positions: IntArray) -> FloatArray:
        """See `Store.read`."""
        if len(positions) == 0:
            return np.zeros((0, dim), dtype=np.float32)
        return np.asarray(self._rows(level, space, "f32", dim, int(positions.max()) + 1)[positions], dtype=np.float32)

    def search(self, level: Level, terms: Sequence[Term], groups: IntArray, k: int) -> Hits:
        """See `Store.search`. The scan only decides who is reranked: every score returned is exact."""
        filled = np.flatnonzero(groups[:, 1] > 0)
        if len(filled) == 0 or k <= 0:
            return _NO_HITS
        firsts, counts = groups.T if len(filled) == len(groups) else groups[filled].T
        # Candidate rows in one run, group after group: `starts` are the groups' places in it.
        starts = np.cumsum(counts) - counts
        coarse = self._scan(level, terms, firsts, counts, starts)
        best = coarse if len(coarse) == len(filled) else np.maximum.reduceat(coarse, starts)
        # The scan is off by at most `margin` / 2: whoever is that near to the k-th best may really be better.
        margin = 2 * _SCAN_ERROR * float(np.sqrt(sum(term.scale**2 for term in terms)))
        floor = _rerank_from(best, k, margin)
        finalists = np.flatnonzero((best >= floor) & (best > -np.inf))
        sizes = counts[finalists]
        owner = np.repeat(finalists, sizes)
        rows = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + starts[owner]
        near = coarse[rows] >= best[owner] - margin
        owner, rows = owner[near], rows[near]
        if len(rows) == 0:
            return _NO_HITS
        positions = firsts[owner] + rows - starts[owner]
        exact = score_rows(
            terms, {t.space.name: self.read(level, t.space.full_name, t.space.dim, positions) for t in terms}
        )
        if not np.isfinite(exact).all():
            raise LibraryError(f"the vectors of the {level}s hold values that are no numbers: {_DAMAGED}")
        # Best first; equal scores in the order of their rows, so that answers never depend on the scan.
        order = np.lexsort((rows, -exact))
        _, first = np.unique(owner[order], return_index=True)
        order = order[np.sort(first)][:k]
        return Hits(filled[owner[order]], positions[order], exact[order])

    def search_many(self, level: Level, queries: Sequence[Sequence[Term]], groups: IntArray, k: int) -> list[Hits]:
        """See `Store.search_many`."""
        return [self.search(level, terms, groups, k) for terms in queries]

    def _scan(
        self, level: Level, terms: Sequence[Term], firsts: IntArray, counts: IntArray, starts: IntArray
    ) -> FloatArray:
        """Approximate scores (m,) float32 of the groups' rows, group after group; -inf where no term is audible."""
        import numkong

        n = int((firsts + counts).max())
        wanted = int(starts[-1] + counts[-1])
        # Mostly every row is wanted, in order: then nothing has to be gathered, before or after.
        whole = wanted == n and bool(np.array_equal(firsts, starts))
        positions = None if whole else np.repeat(firsts - starts, counts) + np.arange(wanted)
        gather = positions is not None and wanted < _GATHER_BELOW * n
        plan = []
        for term in terms:
            rows = self._rows(level, term.space.full_name, "i8", term.space.dim, n)
            on = self._rows(level, term.space.full_name, "on", 1, n)[:, 0]
            if gather:
                rows, on = rows[positions], on[positions]
            peak = float(np.abs(term.row).max())
            packed = numkong.dots_pack(np.rint(term.row * (_LEVELS_INT8 / peak)).astype(np.int8)[None, :])
            plan.append((rows, on, packed, np.float32(term.scale * peak / _LEVELS_INT8**2), np.float32(term.offset)))
        span = wanted if gather else n
        scores: FloatArray = np.empty(span, dtype=np.float32)
        for first in range(0, span, _CHUNK):
            part = slice(first, min(first + _CHUNK, span))
            if first == 0 or part.stop == span:  # one buffer for all chunks but the last: fresh memory costs a third
                buffer = numkong.zeros((part.stop - first, 1), dtype="int32")
                dots = np.asarray(buffer)[:, 0]
                product = np.empty(len(dots), dtype=np.float32)
            total: FloatArray = np.zeros(len(dots), dtype=np.float32)
            heard = np.zeros(len(dots), dtype=bool)
            for rows, on, packed, factor, offset in plan:
                numkong.dots_packed(rows[part], packed, out=buffer)
                # Into a float32 that is there already: int32 times float32 would make a fresh float64.
                total += np.multiply(dots, factor, out=product, dtype=np.float32, casting="unsafe")
                total += np.multiply(on[part], offset, out=product)
                heard |= on[part]
            scores[part] = np.where(heard, total, np.float32(-np.inf))
        return scores if whole or gather else scores[positions]


def _rerank_from(best: FloatArray, k: int, margin: float) -> float:
    """The score from which groups are reranked: at most the `_MIN_RERANK`-th best, and `margin` under the k-th best.

    Of many groups only the best of every `_EVERY` are looked at: n of them are at least the n-th best of these, so
    that is at most the n-th best of all, and quicker to find.
    """
    keep = max(k, _MIN_RERANK)
    if len(best) > 4 * keep * _EVERY:
        cut = len(best) // _EVERY * _EVERY
        best = best[:cut].reshape(_EVERY, -1).max(axis=0)
    if len(best) <= keep:
        return -np.inf
    ordered = np.partition(best, (len(best) - keep, len(best) - k))
    return float(min(ordered[len(best) - keep], ordered[len(best) - k] - margin))
