"""Contract of every store: what was written is read, searches equal brute force, tails and damage are handled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundalike import registry
from soundalike.errors import LibraryError
from soundalike.heads import unit_rows
from soundalike.score import presence, query_terms, score_rows
from soundalike.stores import Store
from soundalike.types import Calibration, Space

LEVEL = "passage"
DIMS = {"melody": 16, "rhythm": 3, "timbre": 1}
TABLE = tuple(np.linspace(-1, 1, 101).tolist())
SPACES = [
    Space("m", name, "mix", "b", name, "identity", dim,
          dict.fromkeys(("track", "passage"), Calibration(0.2, 0.1 + 0.1 * dim, TABLE)))
    for name, dim in DIMS.items()
]  # fmt: skip


@pytest.fixture(params=registry.names("stores"))
def name(request: pytest.FixtureRequest) -> str:
    """Every store in turn."""
    return str(request.param)


def some_rows(n: int, seed: int, silent: float = 0.2, spiky: bool = False) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = {}
    for space, dim in DIMS.items():
        values = random.standard_normal((n, dim))
        if spiky:  # one large component: the hardest case for a common int8 scale
            values[np.arange(n), random.integers(dim, size=n)] += 50
        rows[space] = unit_rows(values.astype(np.float32))
        rows[space][random.random(n) < silent] = 0
    return rows


@pytest.fixture
def opened(name: str, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores in the test's folder, and closes them at its end."""
    with ExitStack() as stack:

        def make(*, writable: bool = False) -> Store:
            store = registry.load("stores", name, folder=tmp_path, writable=writable)
            stack.callback(store.close)
            return store

        yield make


def fill(store, rows: dict[str, np.ndarray], first: int = 0) -> None:
    for space in SPACES:
        store.write(LEVEL, space.full_name, first, rows[space.name])
    store.flush()


def brute_force(terms, rows: dict[str, np.ndarray], groups: np.ndarray, k: int) -> list[tuple[int, int, float]]:
    """Every group's best row by the exact score, best first, ties by row; groups heard in no term left out."""
    scores = score_rows(terms, rows)
    heard = np.any([presence(rows[term.space.name]) for term in terms], axis=0)
    answers = []
    for number, (first, count) in enumerate(groups.tolist()):
        members = [row for row in range(first, first + count) if heard[row]]
        if members:
            best = max(members, key=lambda row: (scores[row], -row))
            answers.append((number, best, float(scores[best])))
    return sorted(answers, key=lambda one: (-one[2], one[1]))[:k]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=120),
    keep=st.floats(0.02, 1),
    k=st.integers(1, 30),
    weights=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 7.0]), min_size=3, max_size=3).filter(any),
    seed=st.integers(0, 99),
    spiky=st.booleans(),
    silent=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_search_equals_brute_force(name, tmp_path_factory, sizes, keep, k, weights, seed, spiky, silent) -> None:
    rows = some_rows(max(1, sum(sizes)), seed, silent, spiky)
    store = registry.load("stores", name, folder=tmp_path_factory.mktemp("store"), writable=True)
    fill(store, rows)
    query = {space: row[0] for space, row in some_rows(1, seed + 1, 0.0).items()}
    terms = query_terms(SPACES, query, dict(zip(DIMS, weights, strict=True)), LEVEL)
    groups = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    groups = groups[np.random.default_rng(seed).random(len(groups)) < keep]
    hits = store.search(LEVEL, terms, groups, k)
    expected = brute_force(terms, rows, groups, k)
    assert hits.score.tolist() == pytest.approx([score for _, _, score in expected], abs=1e-9)
    # Rows that score alike may come in either order; each must score what the law says.
    exact = score_rows(terms, rows)
    assert exact[hits.row].tolist() == pytest.approx(hits.score.tolist(), abs=1e-9)
    for group, row in zip(hits.group, hits.row, strict=True):
        assert groups[group, 0] <= row < groups[group].sum()
    assert len(set(hits.group.tolist())) == len(hits.group)
    store.close()


def test_ten_thousand_rows_of_real_width(opened: Callable[..., Store]) -> None:
    random = np.random.default_rng(0)
    chance = dict.fromkeys(("track", "passage"), Calibration(0.0, 0.1, TABLE))
    space = Space("m", "wide", "mix", "b", "f", "identity", 128, chance)
    centres = random.standard_normal((50, 128))
    rows = unit_rows(centres[random.integers(50, size=10_000)] + 0.3 * random.standard_normal((10_000, 128)))
    store = opened(writable=True)
    store.write("track", space.full_name, 0, rows)
    store.flush()
    groups = np.stack([np.arange(10_000), np.ones(10_000, np.int64)], axis=1)
    for number in range(20):
        terms = query_terms([space], {"wide": rows[number]}, {"wide": 1.0}, "track")
        expected = np.argsort(-score_rows(terms, {"wide": rows}), kind="stable")[:10]
        assert store.search("track", terms, groups, 10).row.tolist() == expected.tolist()


def test_groups_may_share_rows(opened: Callable[..., Store]) -> None:
    rows = some_rows(6, 1, silent=0)
    store = opened(writable=True)
    fill(store, rows)
    terms = query_terms(SPACES, {space: row[2] for space, row in rows.items()}, dict.fromkeys(DIMS, 1.0), LEVEL)
    hits = store.search(LEVEL, terms, np.array([[0, 2], [2, 2], [2, 2], [4, 2]]), 2)
    assert sorted(hits.group.tolist()) == [1, 2]
    assert hits.row.tolist() == [2, 2]


def test_reads_what_was_written_and_overwrites_a_tail(opened: Callable[..., Store]) -> None:
    store = opened(writable=True)
    first, tail, second = some_rows(5, 1), some_rows(9, 2), some_rows(3, 3)
    fill(store, first)
    fill(store, tail, first=5)  # never committed: a crash
    fill(store, second, first=5)
    reader = opened()
    for space in SPACES:
        got = reader.read(LEVEL, space.full_name, space.dim, np.arange(8))
        assert np.array_equal(got, np.concatenate([first[space.name], second[space.name]]))
        assert reader.read(LEVEL, space.full_name, space.dim, np.zeros(0, np.int64)).shape == (0, space.dim)


def test_a_reader_sees_rows_that_were_added_after_it_opened(opened: Callable[..., Store]) -> None:
    store = opened(writable=True)
    reader = opened()
    fill(store, some_rows(2, 1))
    space = SPACES[0]
    reader.read(LEVEL, space.full_name, space.dim, np.array([1]))
    more = some_rows(2, 2)
    fill(store, more, first=2)
    assert np.array_equal(reader.read(LEVEL, space.full_name, space.dim, np.array([2, 3])), more[space.name])


def test_a_checksum_tells_rows_apart(opened: Callable[..., Store]) -> None:
    store = opened(writable=True)
    rows = some_rows(4, 1)["melody"]
    once = store.write(LEVEL, "m/melody", 0, rows)
    assert store.write(LEVEL, "m/melody", 0, rows) == once
    changed = rows.copy()
    changed[2, 3] = np.nextafter(changed[2, 3], 2)
    assert store.write(LEVEL, "m/melody", 0, changed) != once


def test_damage_and_misuse_are_named(opened: Callable[..., Store]) -> None:
    store = opened()
    with pytest.raises(LibraryError, match="opened for reading only"):
        store.write(LEVEL, "m/melody", 0, some_rows(1, 1)["melody"])
    with pytest.raises(LibraryError, match=r"cannot read .*the library is damaged; index into a new one"):
        store.read(LEVEL, "m/melody", 16, np.array([0]))
    writer = opened(writable=True)
    fill(writer, some_rows(4, 1))
    with pytest.raises(LibraryError, match="holds 4 rows, 6 were committed"):
        store.read(LEVEL, "m/melody", 16, np.array([5]))
