"""Tracks are ordered by how unlikely their best passages are, which does not favour long tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.core.types import Calibration, Space
from soundalike.library.stores.base import BestOf
from soundalike.library.stores.flat import FlatStore
from soundalike.library.stores.row_groups import Groups
from soundalike.models.heads import unit_rows
from soundalike.models.null_distribution import NullDistribution
from soundalike.models.reference import PairSample, Reference
from soundalike.models.score import combine_terms, presence, query_terms, score_rows

TABLE = tuple(np.linspace(-0.5, 0.5, 101).tolist())
CALIBRATION = dict.fromkeys(("track", "passage"), Calibration(0.0, 0.15, TABLE))
SPACES = [Space("m", name, "mix", "b", name, "identity", 40, CALIBRATION) for name in ("a", "b")]


def random_rows(random: np.random.Generator, count: int, silent: float = 0.0) -> dict[str, np.ndarray]:
    rows = {space.name: unit_rows(random.standard_normal((count, space.dim))) for space in SPACES}
    for part in rows.values():
        part[random.random(count) < silent] = 0
    return rows


def stored(folder: Path, rows: dict[str, np.ndarray]) -> FlatStore:
    store = FlatStore(folder, writable=True)
    for space in SPACES:
        store.write("passage", space.full_name, 0, rows[space.name])
    store.flush()
    return store


def full_scan(terms, rows, sizes, null: NullDistribution) -> list[tuple[int, int]]:
    """(track, best passage) of all tracks, in order, from every exact score."""
    scores = score_rows(terms, rows)
    audible = np.any([presence(rows[term.space.name]) for term in terms], axis=0)
    found, first = [], 0
    for track, size in enumerate(sizes):
        members = [row for row in range(first, first + size) if audible[row]]
        if members:
            best = max(members, key=lambda row: (scores[row], -row))
            key = len(members) * float(null.log_cdf(scores[best : best + 1])[0])
            found.append((-key, -scores[best], best, track))
        first += size
    return [(track, best) for _, _, best, track in sorted(found)]


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 999),
    k=st.integers(1, 40),
    weights=st.lists(st.sampled_from([-1.0, 0.5, 1.0, 3.0]), min_size=2, max_size=2),
    silent=st.sampled_from([0.0, 0.3, 0.9]),
    examples=st.integers(1, 3),
    wanted=st.booleans(),
)
def test_the_order_is_that_of_a_full_scan(tmp_path_factory, seed, k, weights, silent, examples, wanted) -> None:
    """Many short tracks and few long ones: the best by score are nearly all long, and those by rarity are not."""
    random = np.random.default_rng(seed)
    sizes = np.concatenate([np.ones(200, np.int64), random.integers(2, 30, 30), random.integers(100, 700, 4)])
    random.shuffle(sizes)
    rows = random_rows(random, int(sizes.sum()), silent)
    reference = Reference(tuple(SPACES), "passage")
    queries = [
        ((1 if number == 0 else -1) / examples,
         query_terms(SPACES, {name: part[0] for name, part in random_rows(random, 1).items()},
                     dict(zip("ab", weights, strict=True)), "passage"))
        for number in range(examples)
    ]  # fmt: skip
    terms = combine_terms(queries) if examples > 1 else queries[0][1]
    null = reference.null(queries)
    table = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    heard = np.any([presence(part) for part in rows.values()], axis=0)
    counts = np.add.reduceat(heard.astype(np.int64), table[:, 0])
    mask = random.random(len(sizes)) < 0.5 if wanted else None
    store = stored(tmp_path_factory.mktemp("store"), rows)
    hits = store.search("passage", terms, Groups.of(table), k, mask, BestOf(null, counts))
    store.close()
    expected = [one for one in full_scan(terms, rows, sizes, null) if mask is None or mask[one[0]]][:k]
    assert list(zip(hits.group.tolist(), hits.row.tolist(), strict=True)) == expected


def test_the_order_of_random_tracks_does_not_depend_on_their_length(tmp_path: Path) -> None:
    """Tracks of 1 to 700 random passages. The rank correlation of place and length is 0 within its interval; by score
    alone, long tracks come first.
    """
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    sizes = np.unique(np.geomspace(1, 700, 400).astype(np.int64), return_counts=False)
    sizes = np.concatenate([sizes, random.choice(sizes[:60], 300)])
    rows = random_rows(random, int(sizes.sum()))
    sample = PairSample.of(random_rows(random, 2000), 2000)
    reference = Reference.of_library(SPACES, "passage", sample, 2000)
    table = np.stack([np.cumsum(sizes) - sizes, sizes], axis=1)
    store = stored(tmp_path, rows)
    places, by_score = np.zeros(len(sizes)), np.zeros(len(sizes))
    queries = 12
    for _ in range(queries):
        query = {name: part[0] for name, part in random_rows(random, 1).items()}
        terms = query_terms(reference.spaces, query, {"a": 1.0, "b": 2.0}, "passage")
        for order, best_of in ((places, BestOf(reference.null([(1.0, terms)]), sizes)), (by_score, None)):
            hits = store.search("passage", terms, Groups.of(table), len(sizes), None, best_of)
            order[hits.group] += np.arange(len(sizes)) / queries
    store.close()
    # 1.96 standard errors of a rank correlation of independent values; the mean place over queries is one per track.
    interval = 1.96 / np.sqrt(len(sizes) - 1)
    assert abs(spearmanr(places, sizes).statistic) < interval
    assert spearmanr(by_score, sizes).statistic == pytest.approx(-1, abs=0.1)
