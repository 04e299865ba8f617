"""Rows in Milvus: a search gives what the flat store gives, for all weights, missing spaces, filters and orders."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milvus_servers import MilvusLite, running
from soundalike.core import plugins
from soundalike.core.types import Calibration, Space
from soundalike.library.stores import milvus
from soundalike.library.stores.base import BestOf
from soundalike.library.stores.milvus_layout import (
    Layout,
    Manifest,
    StoredModel,
    create_collections,
    write_rows,
)
from soundalike.library.stores.milvus_server import SETTLED, MilvusAddress, MilvusServer
from soundalike.library.stores.row_groups import Groups
from soundalike.models.heads import unit_rows
from soundalike.models.null_distribution import NullDistribution
from soundalike.models.score import query_terms

LEVEL = "passage"
DIMS = {"m/melody": 16, "m/rhythm": 3, "n/timbre": 1}
MODELS = (StoredModel("m", "1", "m", {"melody": 16, "rhythm": 3}), StoredModel("n", "2", "n", {"timbre": 1}))
TABLE = tuple(np.linspace(-1, 1, 101).tolist())
SPACES = [
    Space(full.split("/")[0], full.split("/")[1], "mix", "b", full, "identity", dim,
          dict.fromkeys(("track", "passage"), Calibration(0.2, 0.1 + 0.1 * dim, TABLE)))
    for full, dim in DIMS.items()
]  # fmt: skip
NUMBERS = count()


@pytest.fixture(scope="module", params=["lite", pytest.param("standalone", marks=pytest.mark.slow)])
def running_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusLite]:
    with running(tmp_path_factory.mktemp("milvus") / "data", request.param) as server:
        yield server


@pytest.fixture(scope="module")
def connected(running_server: MilvusLite) -> Iterator[MilvusServer]:
    with MilvusServer(MilvusAddress.parse(running_server.address("unused"))) as server:
        yield server


def some_rows(n: int, seed: int, silent: float) -> dict[str, np.ndarray]:
    """Rows by full name, with neighbours that are nearly or exactly equal."""
    random = np.random.default_rng(seed)
    rows = {}
    for full, dim in DIMS.items():
        values = random.standard_normal((n, dim))
        values[1::3] = values[:-1:3] + 1e-6 * random.standard_normal(values[1::3].shape)
        values[2::3] = values[:-2:3]
        rows[full] = unit_rows(values.astype(np.float32))
        rows[full][random.random(n) < silent] = 0
    return rows


def store_of(running_server: MilvusLite, rows: dict[str, np.ndarray], index: str = "FLAT") -> milvus.MilvusStore:
    address = running_server.address(f"n{next(NUMBERS)}")
    with MilvusServer(MilvusAddress.parse(address)) as server:
        manifest = create_collections(server, MODELS, index)
        layout = Layout.of(MODELS)
        n = len(next(iter(rows.values())))
        write_rows(server, LEVEL, 0, *layout.join(n, rows))
        Manifest(manifest.models, index, 1, {"track": 0, "passage": n}).write(server)
    return milvus.create(address)


def flat_of(folder: Path, rows: dict[str, np.ndarray]):
    store = plugins.load("stores", "flat", folder=folder, writable=True)
    for full, part in rows.items():
        store.write(LEVEL, full, 0, part)
    store.flush()
    return store


@pytest.fixture(scope="module", params=[0.0, 0.3, 0.97], ids=["all audible", "some silent", "most silent"])
def both(request: pytest.FixtureRequest, running_server: MilvusLite, tmp_path_factory: pytest.TempPathFactory):
    """The same 600 rows in Milvus and in a flat store."""
    rows = some_rows(600, 1, request.param)
    stores = store_of(running_server, rows), flat_of(tmp_path_factory.mktemp("flat"), rows)
    yield stores
    for store in stores:
        store.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=90),
    keep=st.floats(0.02, 1),
    asked=st.sampled_from([0.0, 0.05, 0.6, 1.0]),
    k=st.integers(1, 30),
    weights=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 7.0]), min_size=3, max_size=3).filter(any),
    seed=st.integers(0, 99),
    listed=st.sampled_from([0, 4096]),
    most=st.sampled_from([50, 16384]),
    ordered=st.booleans(),
)
def test_results_are_those_of_the_flat_store(both, sizes, keep, asked, k, weights, seed, listed, most, ordered) -> None:
    """With filters and excludes, in both ways of asking, and where one answer of Milvus does not hold enough rows."""
    stored, flat = both
    query = {full.split("/")[1]: row[0] for full, row in some_rows(1, seed, 0.0).items()}
    terms = query_terms(SPACES, query, dict(zip(query, weights, strict=True)), LEVEL)
    table = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    chance = np.random.default_rng(seed)
    table = table[chance.random(len(table)) < keep]
    groups, wanted = Groups.of(table), chance.random(len(table)) < asked if asked < 1 else None
    best_of = None
    if ordered:
        null = NullDistribution.of(chance.standard_normal(500), 60.0, 0.01)
        best_of = BestOf(null, table[:, 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(milvus, "_LISTED", listed)
        patch.setattr(milvus, "MOST", most)
        patch.setattr(milvus, "_FIRST", 1)
        patch.setattr(milvus, "_PER_GROUP", 1)
        found = stored.search(LEVEL, terms, groups, k, wanted, best_of)
    expected = flat.search(LEVEL, terms, groups, k, wanted, best_of)
    assert found.group.tolist() == expected.group.tolist()
    assert found.row.tolist() == expected.row.tolist()
    assert found.score.tolist() == expected.score.tolist()


@pytest.mark.slow  # it waits
def test_readers_wait_for_nothing_after_a_while(running_server: MilvusLite, tmp_path: Path) -> None:
    """The results stay exact, and Milvus itself answers without its delay of 0.2 s per call."""
    rows = some_rows(300, 2, 0.3)
    with closing(store_of(running_server, rows)) as stored, closing(flat_of(tmp_path, rows)) as flat:
        time.sleep(SETTLED + 0.5)
        groups = Groups.of(np.stack([np.arange(300), np.ones(300, np.int64)], axis=1))
        took = []
        for seed in range(10):
            query = {full.split("/")[1]: row[0] for full, row in some_rows(1, seed, 0.0).items()}
            terms = query_terms(SPACES, query, dict.fromkeys(query, 1.0), LEVEL)
            began = time.monotonic()
            found = stored.search(LEVEL, terms, groups, 10)
            took.append(time.monotonic() - began)
            expected = flat.search(LEVEL, terms, groups, 10)
            assert (found.row.tolist(), found.score.tolist()) == (expected.row.tolist(), expected.score.tolist())
        assert np.median(took) < 0.18
