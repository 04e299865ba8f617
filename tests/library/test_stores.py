"""The contract of every store: reads return what was written, searches equal brute force, corruption is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundalike.core import plugins
from soundalike.core.errors import LibraryError
from soundalike.core.types import Calibration, Space
from soundalike.library.stores.base import Store
from soundalike.library.stores.row_groups import Groups
from soundalike.models.heads import unit_rows
from soundalike.models.score import presence, query_terms, score_rows

LEVEL = "passage"
DIMS = {"melody": 16, "rhythm": 3, "timbre": 1}
TABLE = tuple(np.linspace(-1, 1, 101).tolist())
CHANCE = Calibration(0.0, 0.1, TABLE)
SPACES = [
    Space("m", name, "mix", "b", name, "identity", dim,
          dict.fromkeys(("track", "passage"), Calibration(0.2, 0.1 + 0.1 * dim, TABLE)))
    for name, dim in DIMS.items()
]  # fmt: skip


@pytest.fixture(params=[name for name in plugins.names("stores") if name != "milvus"])  # it has no files
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
            store = plugins.load("stores", name, folder=tmp_path, writable=writable)
            stack.callback(store.close)
            return store

        yield make


def fill(store, rows: dict[str, np.ndarray], first: int = 0) -> None:
    for space in SPACES:
        store.write(LEVEL, space.full_name, first, rows[space.name])
    store.flush()


def brute_force(terms, rows: dict[str, np.ndarray], groups: np.ndarray, k: int) -> list[tuple[int, int, float]]:
    """The best row of every group by exact score, best first, ties by row; groups audible in no term are left out."""
    scores = score_rows(terms, rows)
    active = np.any([presence(rows[term.space.name]) for term in terms], axis=0)
    answers = []
    for number, (first, count) in enumerate(groups.tolist()):
        members = [row for row in range(first, first + count) if active[row]]
        if members:
            best = max(members, key=lambda row: (scores[row], -row))
            answers.append((number, best, float(scores[best])))
    return sorted(answers, key=lambda one: (-one[2], one[1]))[:k]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=120),
    keep=st.floats(0.02, 1),
    asked=st.sampled_from([0.05, 0.6, 1.0]),
    k=st.integers(1, 30),
    weights=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 7.0]), min_size=3, max_size=3).filter(any),
    seed=st.integers(0, 99),
    spiky=st.booleans(),
    silent=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_search_equals_brute_force(name, tmp_path_factory, sizes, keep, asked, k, weights, seed, spiky, silent) -> None:
    rows = some_rows(max(1, sum(sizes)), seed, silent, spiky)
    store = plugins.load("stores", name, folder=tmp_path_factory.mktemp("store"), writable=True)
    fill(store, rows)
    query = {space: row[0] for space, row in some_rows(1, seed + 1, 0.0).items()}
    terms = query_terms(SPACES, query, dict(zip(DIMS, weights, strict=True)), LEVEL)
    groups = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    groups = groups[groups[:, 1] > 0]
    chance = np.random.default_rng(seed)
    groups = groups[chance.random(len(groups)) < keep]
    wanted = chance.random(len(groups)) < asked
    hits = store.search(LEVEL, terms, Groups.of(groups), k, wanted if asked < 1 else None)
    assert wanted[hits.group].all()
    expected = brute_force(terms, rows, np.where(wanted[:, None], groups, 0), k)
    assert hits.score.tolist() == pytest.approx([score for _, _, score in expected], abs=1e-9)
    # Rows with equal scores may come in either order; each must have its exact score.
    exact = score_rows(terms, rows)
    assert exact[hits.row].tolist() == pytest.approx(hits.score.tolist(), abs=1e-9)
    for group, row in zip(hits.group, hits.row, strict=True):
        assert groups[group, 0] <= row < groups[group].sum()
    assert len(set(hits.group.tolist())) == len(hits.group)
    store.close()


@pytest.mark.parametrize("neighbours", [False, True], ids=["scattered", "side by side"])
def test_forty_thousand_rows_of_real_width(opened: Callable[..., Store], neighbours: bool) -> None:
    """Enough groups for blocks, with similar ones adjacent or not."""
    random, count = np.random.default_rng(0), 40_001
    space = Space("m", "wide", "mix", "b", "f", "identity", 128, dict.fromkeys(("track", "passage"), CHANCE))
    centres, cluster = random.standard_normal((50, 128)), random.integers(50, size=count)
    cluster = np.sort(cluster) if neighbours else cluster
    rows = unit_rows(centres[cluster] + 0.3 * random.standard_normal((count, 128)))
    store = opened(writable=True)
    store.write("track", space.full_name, 0, rows)
    store.flush()
    groups = Groups.of(np.stack([np.arange(count), np.ones(count, np.int64)], axis=1))
    for number in [*range(0, count, 2500), count - 1]:
        terms = query_terms([space], {"wide": rows[number]}, {"wide": 1.0}, "track")
        for k in (1, 10, 200):
            expected = np.argsort(-score_rows(terms, {"wide": rows}), kind="stable")[:k]
            assert store.search("track", terms, groups, k).row.tolist() == expected.tolist()


def test_groups_may_share_rows(opened: Callable[..., Store]) -> None:
    rows = some_rows(6, 1, silent=0)
    store = opened(writable=True)
    fill(store, rows)
    terms = query_terms(SPACES, {space: row[2] for space, row in rows.items()}, dict.fromkeys(DIMS, 1.0), LEVEL)
    hits = store.search(LEVEL, terms, Groups.of(np.array([[0, 2], [2, 2], [2, 2], [4, 2]])), 2)
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


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_every_flipped_bit_is_found(name: str, opened: Callable[..., Store], tmp_path: Path) -> None:
    """Every bit of every file in turn: exactly the affected rows are reported as corrupt."""
    n, space = 3, SPACES[1]
    fill(opened(writable=True), some_rows(n, 1, silent=0))
    files = sorted(file for file in tmp_path.iterdir() if ".rhythm." in file.name)
    assert files
    for file in files:
        bits = 8 * file.stat().st_size
        for bit in range(bits):
            flip(file, bit)
            reader = plugins.load("stores", name, folder=tmp_path, writable=False)
            corrupt = reader.corrupt(LEVEL, space.full_name, space.dim, np.arange(n))
            assert corrupt.tolist() == [row == bit * n // bits for row in range(n)], (file.name, bit)
            reader.close()
            flip(file, bit)


def test_features_are_stored_exactly(name: str, opened: Callable[..., Store], tmp_path: Path) -> None:
    """Rows of any length; gaps, which are never committed, count as corrupt; every flipped bit is found."""
    random = np.random.default_rng(0)
    rows = np.array(1e3 * random.standard_normal((5, 7)), np.float32)
    rows[2] = 0
    store = opened(writable=True)
    fill(store, some_rows(8, 1))
    store.write("feature", "b/line", 3, rows)
    store.write("feature", "b/line", 0, rows[:0])
    store.flush()
    reader = opened()
    reader.check("feature", "b/line", 7, 8)
    assert np.array_equal(reader.read("feature", "b/line", 7, np.arange(3, 8)), rows)
    assert not reader.read("feature", "b/line", 7, np.arange(3)).any()
    assert reader.corrupt("feature", "b/line", 7, np.arange(8)).tolist() == [True] * 3 + [False] * 5
    with pytest.raises(LibraryError, match="holds 8 rows, 9 were committed"):
        reader.check("feature", "b/line", 7, 9)
    files = [file for file in tmp_path.iterdir() if file.name.startswith("feature.")]
    assert sum(file.stat().st_size for file in files) == 8 * (7 * 4 + 4)
    for file in files:
        bits = 8 * file.stat().st_size
        for bit in range(3 * bits // 8, bits, 5):
            flip(file, bit)
            spoilt = plugins.load("stores", name, folder=tmp_path, writable=False)
            assert spoilt.corrupt("feature", "b/line", 7, np.arange(3, 8)).tolist() == [
                row == bit * 8 // bits for row in range(3, 8)
            ]
            spoilt.close()
            flip(file, bit)


def test_many_queries_are_answered_as_one_by_one(name: str, tmp_path: Path) -> None:
    rows, asked = some_rows(700, 1), some_rows(37, 2, silent=0.3)
    weights = [dict(zip(DIMS, np.random.default_rng(n).choice([-1.0, 0.0, 2.0], 3), strict=True)) for n in range(37)]
    queries = []
    for number, sliders in enumerate(weights):
        query = {space: row[number] for space, row in asked.items()}
        if any(sliders[space] and query[space].any() for space in DIMS):
            queries.append(query_terms(SPACES, query, sliders, LEVEL))
    groups = Groups.of(np.stack([np.arange(0, 700, 7), np.full(100, 5)], axis=1))  # with gaps in between
    answers = []
    for threads in (1, 2):
        store = plugins.load("stores", name, folder=tmp_path, writable=True, threads=threads)
        fill(store, rows)
        answers += [store.search_many(LEVEL, queries, groups, 9), [store.search(LEVEL, q, groups, 9) for q in queries]]
        store.close()
    for others in answers[1:]:
        for one, other in zip(answers[0], others, strict=True):
            assert one.row.tolist() == other.row.tolist()
            assert one.score.tolist() == other.score.tolist()


def test_rows_that_are_no_numbers_come_first(opened: Callable[..., Store], tmp_path: Path) -> None:
    """So that the caller compares their checksums."""
    rows = some_rows(400, 1, silent=0)
    store = opened(writable=True)
    fill(store, rows)
    spoilt = rows["melody"].copy()
    spoilt[7] = np.nan
    (tmp_path / f"{LEVEL}.m.melody.f32").write_bytes(spoilt.tobytes())
    terms = query_terms(SPACES, {space: row[7] for space, row in rows.items()}, dict.fromkeys(DIMS, 1.0), LEVEL)
    groups = Groups.of(np.stack([np.arange(400), np.ones(400, np.int64)], axis=1))
    reader = opened()
    assert reader.search(LEVEL, terms, groups, 3).row[0] == 7
    assert reader.corrupt(LEVEL, "m/melody", 16, np.array([6, 7])).tolist() == [False, True]


def test_the_scan_reads_components_rounded_to_the_nearest(opened: Callable[..., Store], tmp_path: Path) -> None:
    rows = np.array([[0.8, -0.6], [0.6, 0.8], [-1.0, 0.0]], np.float32)  # 127 * 0.8 is 101.6, 127 * 0.6 is 76.2
    store = opened(writable=True)
    store.write(LEVEL, "m/pair", 0, rows)
    store.flush()
    held = np.frombuffer((tmp_path / f"{LEVEL}.m.pair.i8").read_bytes(), np.int8).reshape(-1, 2)
    assert held.tolist() == [[102, -76], [76, 102], [-127, 0]]


def test_missing_files_and_misuse_are_reported(opened: Callable[..., Store]) -> None:
    store = opened()
    with pytest.raises(LibraryError, match="opened for reading only"):
        store.write(LEVEL, "m/melody", 0, some_rows(1, 1)["melody"])
    with pytest.raises(LibraryError, match=r"is missing; .*run: soundalike library check --repair"):
        store.read(LEVEL, "m/melody", 16, np.array([0]))
    writer = opened(writable=True)
    fill(writer, some_rows(4, 1))
    with pytest.raises(LibraryError, match="holds 4 rows, 6 were committed"):
        store.read(LEVEL, "m/melody", 16, np.array([5]))
