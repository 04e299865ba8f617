"""The scan: approximate scores of every row from its int8 components, several spaces in one pass.

There are two implementations with bit-identical results: `scan.c`, compiled when the package is built with a C
compiler, and numpy. `$SOUNDALIKE_KERNEL=numpy` selects the second.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from soundalike.core.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = [
    "BATCH",
    "LIBRARY",
    "WAYS",
    "Column",
    "ScanTerm",
    "Scanner",
    "compiled",
    "default_scanner",
    "on_threads",
    "scan_on_threads",
    "ways",
]

BATCH = 16
"""Queries per pass."""
LIBRARY = Path(__file__).with_name("_scan.so")
"""Where the build puts the compiled kernel."""
WAYS = ("plain", "avx2", "vnni")
"""The ways of the compiled kernel to multiply, from slow to fast."""
_CHUNK = 1 << 12
"""Rows that numpy gets at a time, so that they and their scores stay in the cache while the spaces are summed."""
_PRODUCT = 5
"""From so many queries on, one matrix product of numpy is faster than one scan per query with AVX2."""
_EXACT = 1 << 10
"""Dimensions of which float32 sums the products of int8 exactly: 1,024 times 128 squared is 2 to the 24."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The rows of one space: `rows` (n, d) int8, C-contiguous, and `on` (n,) bool, which of them are audible.

    Spaces are summed in the order of their names, so that a query has the same scores alone and in a batch.
    """

    name: str
    rows: AnyArray
    on: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class ScanTerm:
    """One active space of a query: a row scores `factor` * <query, row> + `offset` * on; `query` (d,) int8."""

    column: Column
    query: AnyArray
    factor: float
    offset: float


class Scanner(Protocol):
    """An implementation of the scan. Scores are float32, and -inf where no term is audible."""

    gather_below: float
    """If less than this share of the rows is wanted, scanning only these is faster than scanning all."""

    def scan(self, terms: Sequence[ScanTerm], first: int, out: FloatArray, positions: IntArray | None = None) -> None:
        """Score the rows from `first` on into `out` (m,), or those at `positions` (m,) int64."""
        ...

    def scan_batch(self, queries: Sequence[Sequence[ScanTerm]], first: int, out: FloatArray) -> None:
        """Score the rows from `first` on for up to BATCH queries into `out` (q, m), each as `scan` would."""
        ...


def compiled() -> bool:
    """Whether the compiled kernel exists, and numpy was not requested."""
    return os.environ.get("SOUNDALIKE_KERNEL") != "numpy" and _load() is not None


def ways() -> tuple[str, ...]:
    """The ways of the compiled kernel that this processor can run, from slow to fast; none without the kernel."""
    library = _load()
    return WAYS[: library.scan_best() + 1] if library else ()


def default_scanner(kernel: bool = True, way: str | None = None) -> Scanner:
    """The compiled kernel if there is one and `kernel` is true, else numpy.

    Args:
        kernel: Whether to use the compiled kernel.
        way: One of `ways`; None is the fastest.
    """
    library = _load() if kernel and compiled() else None
    return _Numpy() if library is None else _Kernel(library, WAYS.index(way) if way else library.scan_best())


def scan_on_threads(scan: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call `scan(from, to)` for the parts of `count` rows, one part per thread; few rows use fewer threads."""
    parts = max(1, min(threads, count >> 14))
    bounds = [count * part // parts for part in range(parts + 1)]
    on_threads(lambda part: scan(bounds[part], bounds[part + 1]), range(parts), threads)


def on_threads(work: Callable[[int], None], parts: Sequence[int], threads: int) -> None:
    """Call `work` for every part on `threads` threads."""
    if threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
    else:
        list(_pool(threads).map(work, parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scan")


class _Term(ctypes.Structure):
    """`Term` of scan.c."""

    _fields_ = (
        ("rows", ctypes.c_void_p), ("on", ctypes.c_void_p), ("query", ctypes.c_void_p), ("dim", ctypes.c_int64),
        ("factor", ctypes.c_float), ("offset", ctypes.c_float),
    )  # fmt: skip


class _BatchTerm(ctypes.Structure):
    """`BatchTerm` of scan.c."""

    _fields_ = (
        ("rows", ctypes.c_void_p), ("on", ctypes.c_void_p), ("packed", ctypes.c_void_p), ("dim", ctypes.c_int64),
        ("factor", ctypes.c_float * BATCH), ("offset", ctypes.c_float * BATCH), ("active", ctypes.c_uint16),
    )  # fmt: skip


@cache
def _load() -> ctypes.CDLL | None:
    """The compiled kernel; None if there is none, or one of an older checkout, which has no `scan_best`."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        library.scan_best.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    library.scan.argtypes = [ctypes.c_int, pointer, number, pointer, number, number, pointer]
    if library.scan_best() == WAYS.index("vnni"):
        library.scan_batch.argtypes = [pointer, number, number, number, number, pointer]
    return library


class _Kernel:
    """The compiled kernel. It releases the GIL, so that threads scan in parallel."""

    gather_below = 0.25

    def __init__(self, library: ctypes.CDLL, way: int) -> None:
        self._library, self._way = library, way

    def scan(self, terms: Sequence[ScanTerm], first: int, out: FloatArray, positions: IntArray | None = None) -> None:
        table = (_Term * len(terms))()
        for place, term in enumerate(sorted(terms, key=lambda term: term.column.name)):
            rows, on = term.column.rows, term.column.on
            table[place] = _Term(rows.ctypes.data, on.ctypes.data, term.query.ctypes.data, rows.shape[1],
                                 term.factor, term.offset)  # fmt: skip
        where = None if positions is None else positions.ctypes.data
        self._library.scan(self._way, table, len(terms), where, first, len(out), out.ctypes.data)

    def scan_batch(self, queries: Sequence[Sequence[ScanTerm]], first: int, out: FloatArray) -> None:
        columns = _columns(queries)
        if len(queries) == 1:
            self.scan(queries[0], first, out[0])
            return
        # The batch kernel takes 64 components at a time.
        if WAYS[self._way] != "vnni" or any(column.rows.shape[1] % 64 for column in columns):
            if len(queries) >= _PRODUCT:
                _Numpy().scan_batch(queries, first, out)
                return
            for terms, scores in zip(queries, out, strict=True):
                self.scan(terms, first, scores)
            return
        table = (_BatchTerm * len(columns))()
        packs = []
        for entry, column in zip(table, columns, strict=True):
            dim = column.rows.shape[1]
            packed = np.zeros((BATCH, dim), np.int16)
            entry.rows, entry.on, entry.dim, entry.active = column.rows.ctypes.data, column.on.ctypes.data, dim, 0
            for number, terms in enumerate(queries):
                for term in terms:
                    if term.column is column:
                        packed[number] = term.query
                        entry.factor[number], entry.offset[number] = term.factor, term.offset
                        entry.active |= 1 << number
            packs.append((packed + 128).astype(np.uint8).reshape(BATCH, dim // 4, 4).transpose(1, 0, 2).copy())
            entry.packed = packs[-1].ctypes.data
        whole = out if len(out) == BATCH else np.empty((BATCH, out.shape[1]), np.float32)
        self._library.scan_batch(table, len(columns), first, out.shape[1], whole.strides[0] // 4, whole.ctypes.data)
        if whole is not out:
            out[:] = whole[: len(out)]


class _Numpy:
    """Dot products of float32 copies of the rows, chunk by chunk; numpy sums over the spaces."""

    gather_below = 0.1

    def scan(self, terms: Sequence[ScanTerm], first: int, out: FloatArray, positions: IntArray | None = None) -> None:
        self._scan([terms], first, out[None, :], positions)

    def scan_batch(self, queries: Sequence[Sequence[ScanTerm]], first: int, out: FloatArray) -> None:
        self._scan(queries, first, out, None)

    def _scan(
        self, queries: Sequence[Sequence[ScanTerm]], first: int, out: FloatArray, positions: IntArray | None
    ) -> None:
        plan: list[tuple[Column, FloatArray, IntArray, FloatArray, FloatArray]] = []
        for column in _columns(queries):
            active = [(n, term) for n, terms in enumerate(queries) for term in terms if term.column is column]
            stacked = np.stack([term.query for _, term in active], axis=1).astype(np.float32)
            factors = np.array([[term.factor] for _, term in active], np.float32)
            offsets = np.array([[term.offset] for _, term in active], np.float32)
            plan.append((column, stacked, np.array([n for n, _ in active]), factors, offsets))
        count = out.shape[1]
        products = np.empty((len(queries), min(count, _CHUNK)), np.float32)
        for low in range(0, count, _CHUNK):
            size = min(_CHUNK, count - low)
            places: Any = slice(first + low, first + low + size)
            if positions is not None:
                places = positions[low : low + size]
            audible = np.zeros((len(queries), size), np.bool_)
            totals = out[:, low : low + size]
            totals[:] = 0
            for column, stacked, numbers, factors, offsets in plan:
                on = column.on[places]
                all_queries = len(numbers) == len(queries)
                term, chosen = products[: len(numbers), :size], slice(None) if all_queries else numbers
                np.multiply(_dots(column.rows[places], stacked).T, factors, out=term)
                totals[chosen] += term
                totals[chosen] += np.multiply(on, offsets, out=term)
                audible[chosen] |= on
            np.copyto(totals, -np.inf, where=np.logical_not(audible, out=audible))


def _dots(rows: AnyArray, queries: FloatArray) -> FloatArray:
    """The products of rows (n, d) int8 with queries (d, q) of whole numbers: (n, q) float32, rounded once."""
    dim = rows.shape[1]
    if dim <= _EXACT:
        return rows.astype(np.float32) @ queries
    parts = [slice(low, low + _EXACT) for low in range(0, dim, _EXACT)]
    total = sum((rows[:, part].astype(np.float32) @ queries[part]).astype(np.float64) for part in parts)
    return np.asarray(total, np.float32)


def _columns(queries: Sequence[Sequence[ScanTerm]]) -> list[Column]:
    """The distinct columns of the queries, by name."""
    return sorted({term.column for terms in queries for term in terms}, key=lambda column: column.name)
