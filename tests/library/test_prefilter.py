"""A search behind the prefilter finds what a search without it finds, with faiss and with an exact index."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from soundalike.core import plugins
from soundalike.core.types import Calibration, Space
from soundalike.library.stores.row_groups import Groups
from soundalike.models.heads import unit_rows
from soundalike.models.score import query_terms

LEVEL = "passage"
CHANCE = Calibration(0.0, 0.1, tuple(np.linspace(-1, 1, 101).tolist()))


class ExactIndex:
    """What the prefilter calls of `faiss.IndexPQFastScan`, by exact inner products: nothing is lost by codes."""

    def __init__(self, width: int, codes: int, bits: int, metric: int) -> None:
        assert width == 4 * codes
        assert bits == 4
        self.d, self.metric, self.trained = width, metric, False
        self.rows = np.zeros((0, width), np.float32)

    def train(self, rows: np.ndarray) -> None:
        assert rows.shape[1] == self.d
        self.trained = True

    def add(self, rows: np.ndarray) -> None:
        assert self.trained
        self.rows = np.concatenate([self.rows, rows])

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = queries @ self.rows.T
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        return np.take_along_axis(scores, best, axis=1), best


def stand_in() -> ModuleType:
    """A module with the names of faiss that the prefilter uses, for machines without faiss."""
    module = ModuleType("faiss")
    module.__spec__ = ModuleSpec("faiss", None)

    def deserialize(data: np.ndarray) -> ExactIndex:
        width = int(data[:4].view(np.int32)[0])
        index = ExactIndex(width, width // 4, 4, 0)
        index.rows = data[4:].view(np.float32).reshape(-1, width)
        return index

    vars(module).update(
        METRIC_INNER_PRODUCT=0,
        IndexPQFastScan=ExactIndex,
        serialize_index=lambda index: np.concatenate(
            [np.array([index.d], np.int32).view(np.uint8), index.rows.reshape(-1).view(np.uint8)]
        ),
        deserialize_index=deserialize,
    )
    return module


@pytest.fixture(params=["exact", "faiss"])
def faiss(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """faiss, or the exact index in its place."""
    if request.param == "exact":
        monkeypatch.setitem(sys.modules, "faiss", stand_in())
    else:
        pytest.importorskip("faiss", reason="soundalike[faiss] is not installed")


@pytest.mark.usefixtures("faiss")
@pytest.mark.parametrize("name", [name for name in plugins.names("stores") if name != "milvus"])
def test_a_prefilter_changes_no_answer_that_matters(name: str, tmp_path: Path) -> None:
    """Clustered rows of real width, every kind of weights, filters, rows that came after it was built."""
    random = np.random.default_rng(0)
    count, dim = 40_000, 64
    spaces = [
        Space("m", space, "mix", "b", space, "identity", dim, dict.fromkeys(("track", "passage"), CHANCE))
        for space in ("melody", "rhythm", "timbre")
    ]
    rows = {}
    for space in spaces:
        centres = random.standard_normal((200, dim))
        rows[space.name] = unit_rows(centres[random.integers(200, size=count)] + random.standard_normal((count, dim)))
        rows[space.name][random.random(count) < 0.1] = 0
    store = plugins.load("stores", name, folder=tmp_path, writable=True, prefilter_from=1000)
    for space in spaces:
        store.write(LEVEL, space.full_name, 0, rows[space.name])
        store.check(LEVEL, space.full_name, dim, count)
    store.flush()
    built = []
    assert not store.build_prefilter(LEVEL, "unknown", count, lambda *told: built.append(told))
    assert store.build_prefilter(LEVEL, "m", count - 500, lambda *told: built.append(told))
    assert built[-1] == (count - 500, count - 500)
    assert not store.build_prefilter(LEVEL, "m", count, lambda *told: None), "it lacks only a few"
    groups = Groups.of(np.stack([np.arange(0, count, 4), np.full(count // 4, 4)], axis=1))
    wanted = random.random(len(groups)) < 0.7
    plain = plugins.load("stores", name, folder=tmp_path, writable=False)
    quick = plugins.load("stores", name, folder=tmp_path, writable=False, prefilter_from=1000)
    for space in spaces:
        quick.check(LEVEL, space.full_name, dim, count)
    right = []
    for sliders in ((1, 1, 1), (1, 0, 0), (0, 1, -1), (0.8, 0.1, 0.1)):
        for place in range(0, count, 3001):
            query = {space: part[place] for space, part in rows.items()}
            weights = dict(zip(rows, map(float, sliders), strict=True))
            if not any(weights[space] and row.any() for space, row in query.items()):
                continue
            terms = query_terms(spaces, query, weights, LEVEL)
            expected = plain.search(LEVEL, terms, groups, 10, wanted)
            found = quick.search(LEVEL, terms, groups, 10, wanted)
            assert wanted[found.group].all()
            assert len(found.group) == 10
            right.append(np.mean(found.score >= expected.score[-1] - 1e-9))
    assert quick._prefilters[LEVEL, "m"] is not None, "the prefilter was not used"
    assert np.mean(right) > 0.95
    # Rows added later are scanned as well.
    last = {space.name: rows[space.name][count - 1] for space in spaces}
    terms = query_terms(spaces, last, dict.fromkeys(last, 1.0), LEVEL)
    assert quick.search(LEVEL, terms, groups, 1).group.tolist() == [len(groups) - 1]
    store.drop_prefilter("m")
    assert not list(tmp_path.glob("*.derived"))
    for one in (store, plain, quick):
        one.close()
