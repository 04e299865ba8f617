"""All ways to scan give the same bits, and those of the formula."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.library.stores import scan_kernel
from soundalike.library.stores.scan_kernel import (
    BATCH,
    WAYS,
    Column,
    Scanner,
    ScanTerm,
    default_scanner,
    scan_on_threads,
    ways,
)

ALL = ("numpy", *WAYS)


def scanner(way: str) -> Scanner:
    if way == "numpy":
        return default_scanner(kernel=False)
    if way not in ways():
        pytest.skip("no compiled kernel: there was no C compiler, or this processor lacks AVX2 or AVX-512 VNNI")
    return default_scanner(way=way)


def columns(n: int, dims: list[int], random: np.random.Generator) -> list[Column]:
    return [
        Column(str(place), random.integers(-127, 128, (n, dim)).astype(np.int8), random.random(n) < 0.7)
        for place, dim in enumerate(dims)
    ]


def queries(columns: list[Column], count: int, random: np.random.Generator) -> list[list[ScanTerm]]:
    """Each about some of the columns, in any order."""
    made = []
    for _ in range(count):
        chosen = random.permutation(len(columns))[: random.integers(1, len(columns) + 1)]
        made.append(
            [
                ScanTerm(
                    columns[place],
                    random.integers(-127, 128, columns[place].rows.shape[1]).astype(np.int8),
                    float(np.float32(random.normal() / 1e4)),
                    float(np.float32(random.normal())),
                )
                for place in chosen
            ]
        )
    return made


def by_formula(terms: list[ScanTerm], first: int, count: int) -> np.ndarray:
    """A row at a time, in float32 and in the order of names."""
    scores = np.zeros(count, np.float32)
    for row in range(count):
        total, active = np.float32(0), False
        for term in sorted(terms, key=lambda term: term.column.name):
            dot = np.dot(term.column.rows[first + row].astype(np.int64), term.query.astype(np.int64))
            on = term.column.on[first + row]
            total = np.float32(total + np.float32(np.float32(dot) * np.float32(term.factor)))
            total = np.float32(total + np.float32(np.float32(on) * np.float32(term.offset)))
            active |= bool(on)
        scores[row] = total if active else -np.inf
    return scores


@pytest.mark.parametrize("way", ALL)
@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 700),
    dims=st.lists(st.sampled_from([1, 3, 16, 64, 65, 128, 256, 1100]), min_size=1, max_size=4),
    seed=st.integers(0, 999),
    chunk=st.sampled_from([1, 7, 64, 1 << 14]),
)
def test_scores_are_those_of_the_formula(way: str, n: int, dims: list[int], seed: int, chunk: int) -> None:
    with patch.object(scan_kernel, "_CHUNK", chunk):  # numpy gets this many rows at a time
        _compare_with_the_formula(way, n, dims, seed)


def _compare_with_the_formula(way: str, n: int, dims: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    scan, (terms,) = scanner(way).scan, queries(columns(n, dims, random), 1, random)
    first = int(random.integers(n))
    out = np.empty(n - first, np.float32)
    scan(terms, first, out)
    expected = by_formula(terms, first, n - first)
    assert np.array_equal(out, expected)
    positions = np.sort(random.choice(n, random.integers(1, n + 1), replace=False))
    some = np.empty(len(positions), np.float32)
    scan(terms, 0, some, positions)
    assert np.array_equal(some, by_formula(terms, 0, n)[positions])


@pytest.mark.parametrize("way", ALL)
def test_every_block_of_positions_is_scanned(way: str) -> None:
    """1,500 positions are three blocks for the compiled kernel, and six chunks of this size for numpy."""
    random = np.random.default_rng(0)
    (terms,) = queries(columns(3000, [64, 3], random), 1, random)
    positions, found = np.arange(1, 3000, 2), np.empty(1500, np.float32)
    with patch.object(scan_kernel, "_CHUNK", 256):
        scanner(way).scan(terms, 0, found, positions)
    assert np.array_equal(found, by_formula(terms, 0, 3000)[positions])


@pytest.mark.parametrize("way", ALL)
@pytest.mark.parametrize("dims", [[128, 64, 256], [16, 64], [128]])
@pytest.mark.parametrize("count", [1, 2, BATCH - 1, BATCH])
def test_a_batch_scores_as_one_by_one(way: str, dims: list[int], count: int) -> None:
    random = np.random.default_rng(count)
    held = columns(3001, dims, random)
    asked = queries(held, count, random)
    first = 7
    together, alone = np.empty((count, 2994), np.float32), np.empty((count, 2994), np.float32)
    scanner(way).scan_batch(asked, first, together)
    for terms, scores in zip(asked, alone, strict=True):
        default_scanner(kernel=False).scan(terms, first, scores)
    assert np.array_equal(together, alone)


def test_threads_share_the_rows() -> None:
    random = np.random.default_rng(0)
    held = columns(100_000, [8], random)
    (terms,) = queries(held, 1, random)
    way, parts = default_scanner(), []
    alone, shared = np.empty(100_000, np.float32), np.empty(100_000, np.float32)
    way.scan(terms, 0, alone)

    def part(low: int, high: int) -> None:
        parts.append((low, high))
        way.scan(terms, low, shared[low:high])

    scan_on_threads(part, 100_000, 3)
    assert len(parts) == 3
    assert np.array_equal(alone, shared)


@pytest.mark.parametrize("way", ALL)
def test_dots_beyond_the_whole_numbers_of_float32_are_rounded_once(way: str) -> None:
    """20,000 products of about 127 and 127 sum to 300 million, where float32 has one whole number in 32."""
    random = np.random.default_rng(0)
    column = Column("0", random.integers(100, 128, (64, 20_000)).astype(np.int8), np.ones(64, np.bool_))
    query = random.integers(100, 128, 20_000).astype(np.int8)
    out = np.empty(64, np.float32)
    scanner(way).scan([ScanTerm(column, query, 1.0, 0.0)], 0, out)
    assert np.array_equal(out, (column.rows.astype(np.int64) @ query.astype(np.int64)).astype(np.float32))
